"""Manifests: a dataset's and a population's declared facts, read from YAML and checked, each error with its place.

docs/manifest.md describes the shape for the people who write them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final, get_args

from sandbox.catalog import (
    BUCKET_ROWS,
    Column,
    ColumnType,
    DatasetSpec,
    Identifier,
    Level,
    Population,
    Provenance,
    Source,
    Text,
)
from sandbox.ingest import grids
from sandbox.ingest.places import Spot, read
from sandbox.privacy.accounting import DELTA_UNIT, UNIT, default_delta, delta_0

KINDS: Final = ("documented", "released", "steward")
RESERVED: Final = frozenset({"pseudonym", "ordinal", "ui"})
"""Stored columns that every protected file has besides the declared ones."""

MOST_COLUMNS: Final = 500
MOST_ROWS: Final = 1_000_000_000_000
MOST_UNIT_ROWS: Final = 1_000_000
MOST_TIERS: Final = 16
DEFAULT_EPSILON: Final = 10 * UNIT
DEFAULT_PURE: Final = 6 * UNIT
MOST_EPSILON: Final = 100

_DATASET: Final = re.compile(r"[a-z][a-z0-9_]{0,59}(\.[a-z][a-z0-9_]{0,59})?")
_COLUMN: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_POPULATION: Final = re.compile(r"[a-z][a-z0-9_-]{0,59}")
_FACTS: Final = ("type", "meaning", "level", "bounds", "grid", "domain", "required")
_LIMITS: Final = {"rows": "n_max", "rows_per_unit": "r_max", "default_rows": "default_rows", "tiers": "tiers"}


def parse_population(text: str, file: str) -> Population:
    """The population that a YAML text declares (P2.0, P2.5); its cap by P1.2 and the bureau's defaults.

    Raises:
        RequestError: `manifest_…`, `cap_…`, with file, line and column.
        TooLarge: `manifest_too_large`.
    """
    top = read(text, file).fields(
        ("population", "title", "unit", "identifier", "identifiers_max", "registered"), ("cap",)
    )
    registered = top["registered"].fields(("count", "provenance"))
    count = registered["count"].integer(1, 10**11)
    n_ids = top["identifiers_max"].integer(1, 10**12)
    if n_ids < count:
        raise top["identifiers_max"].wrong("identifiers_below_registered", registered=count)
    epsilon, pure, delta = _cap(top.get("cap"), count)
    grant = delta // 100  # what a grant gets of it; half of that converts, the rest must hold the opening delta_0
    if delta_0(n_ids) + grant // 2 > grant:
        raise top.get("cap", top["identifiers_max"]).wrong("cap_delta_small")
    return Population(
        name=_name(top["population"], _POPULATION),
        title=_both(top["title"]),
        unit=top["unit"].text(60),
        identifier=_identifier(top["identifier"]),
        n_ids=n_ids,
        registered=count,
        registered_provenance=_provenance(registered["provenance"]),
        epsilon=epsilon,
        pure=pure,
        delta=delta,
    )


def parse_manifest(text: str, file: str) -> DatasetSpec:
    """The dataset that a YAML text declares; nothing of the source is looked at.

    Raises:
        RequestError: `manifest_…`, `bounds_…`, `domain_…`, `grid_…`, `tiers_…`, with file, line and column.
        TooLarge: `manifest_too_large`.
    """
    root = read(text, file)
    optional = ("public", "population", "unit", "consent", "other_persons", "external_ids", "slots")
    top = root.fields(("dataset", "title", "owner", "source", "limits", "columns"), optional)
    public = "public" in top and top["public"].flag()
    _check_kind(root, top, public=public)
    columns = _columns(top["columns"], unit=None if public else top["unit"].text(63))
    limits = _limits(top["limits"], public=public)
    return DatasetSpec(
        name=_name(top["dataset"], _DATASET),
        title=_both(top["title"]),
        owner=top["owner"].text(120),
        population=None if public else _name(top["population"], _POPULATION),
        unit=None if public else top["unit"].text(63),
        source=_source(top["source"]),
        consent=not public and top["consent"].flag(),
        slots=_slots(top.get("slots"), columns, None if public else top["unit"].text(63)),
        external_ids={k: v.text(200) for k, v in top["external_ids"].pairs().items()} if "external_ids" in top else {},
        other_persons=None if public else _other_persons(top["other_persons"]),
        columns=columns,
        n_max=limits[0],
        r_max=limits[1],
        default_rows=limits[2],
        tiers=limits[3],
        provenance=limits[4],
    )


def _check_kind(root: Spot, top: Mapping[str, Spot], *, public: bool) -> None:
    """A protected table names population and unit and says what it leaves out; a public table has neither."""
    for key in ("population", "unit", "consent", "other_persons"):
        if public and key in top:
            raise top[key].wrong("manifest_public_has", key=key)
        if not public and key not in top:
            raise root.wrong("manifest_key_missing", key=key)


def _name(spot: Spot, shape: re.Pattern[str]) -> str:
    value = spot.text(121)
    if not shape.fullmatch(value):
        raise spot.wrong("manifest_name")
    return value


def _both(spot: Spot) -> Text:
    parts = spot.fields(("en", "zh"))
    return Text(en=parts["en"].text(), zh=parts["zh"].text())


def _provenance(spot: Spot) -> Provenance:
    """`{documented: where}`, `{released: charge}` or `{steward: who looked at what}` (P1.4)."""
    parts = spot.fields((), KINDS)
    if len(parts) != 1:
        raise spot.wrong("provenance_not_one", known=list(KINDS))
    kind, source = next(iter(parts.items()))
    return Provenance(kind=kind, source=source.text())  # type: ignore[arg-type]  # `fields` admits just the three kinds


def _provenances(spot: Spot, facts: Sequence[str], known: tuple[str, ...]) -> dict[str, Provenance]:
    """One provenance for all facts, or one for each, `others` standing for those not named."""
    if spot.is_mapping() and any(key in KINDS for key in spot.pairs()):
        return dict.fromkeys(facts, _provenance(spot))
    parts = {key: _provenance(value) for key, value in spot.fields((), (*known, "others")).items()}
    others = parts.pop("others", None)
    for fact in facts:
        if fact not in parts:
            if others is None:
                raise spot.wrong("provenance_missing", fact=fact)
            parts[fact] = others
    return parts


def _identifier(spot: Spot) -> Identifier:
    parts = spot.fields(("kind",), ("case", "spaces", "width"))
    kind = parts["kind"].choice(("digits", "text"))
    for key in ("case",) if kind == "digits" else ("width",):
        if key in parts:
            raise parts[key].wrong("identifier_option", key=key, kind=kind)
    return Identifier(
        kind="digits" if kind == "digits" else "text",
        case=parts["case"].choice(("keep", "upper", "lower")) if "case" in parts else "keep",  # type: ignore[arg-type]
        spaces=parts["spaces"].choice(("trim", "remove")) if "spaces" in parts else "trim",  # type: ignore[arg-type]
        width=parts["width"].integer(1, 64) if "width" in parts else None,
    )


def _cap(spot: Spot | None, registered: int) -> tuple[int, int, int]:
    """(E, its pure part, D) in ledger units: declared, or a bureau's defaults (domain.md)."""
    parts = spot.fields((), ("epsilon", "pure", "delta")) if spot else {}
    epsilon = _budget(parts["epsilon"], UNIT, Fraction(MOST_EPSILON)) if "epsilon" in parts else DEFAULT_EPSILON
    pure = _budget(parts["pure"], UNIT, Fraction(epsilon, UNIT)) if "pure" in parts else min(epsilon, DEFAULT_PURE)
    # More than one over the registered number would allow to publish somebody outright.
    delta = _budget(parts["delta"], DELTA_UNIT, Fraction(1, registered)) if "delta" in parts else None
    return epsilon, pure, default_delta(registered) if delta is None else delta


def _budget(spot: Spot, unit: int, most: Fraction) -> int:
    value = Fraction(spot.decimal())
    if not 0 < value <= most:
        raise spot.wrong("cap_range", most=str(float(most)))
    return int(value * unit)


def _source(spot: Spot) -> Source:
    parts = spot.fields(("connector", "path"), ("options",))
    path = parts["path"].text(500)
    steps = path.split("/")
    if path.startswith("/") or "\\" in path or "\x00" in path or any(step in {"", ".", ".."} for step in steps):
        raise parts["path"].wrong("source_path_shape")
    options = {k: v.text(100) for k, v in parts["options"].pairs().items()} if "options" in parts else {}
    return Source(connector=parts["connector"].text(40), path=path, options=options)


def _limits(spot: Spot, *, public: bool) -> tuple[int, int, int, tuple[int, ...], dict[str, Provenance]]:
    """(N_max, R_max, default rows, tiers, provenances): the declared maxima of P2.5 and the storage tiers of P2.3."""
    if public:
        parts = spot.fields(("rows", "provenance"))
        rows = parts["rows"].integer(1, BUCKET_ROWS)
        return rows, rows, rows, (rows,), {"n_max": _provenance(parts["provenance"])}
    parts = spot.fields((*_LIMITS, "provenance"))
    n_max = parts["rows"].integer(1, MOST_ROWS)
    r_max = parts["rows_per_unit"].integer(1, min(n_max, MOST_UNIT_ROWS))
    tiers = tuple(item.integer(1, r_max) for item in parts["tiers"].items())
    if not tiers or tiers[-1] != r_max or list(tiers) != sorted(set(tiers)) or len(tiers) > MOST_TIERS:
        raise parts["tiers"].wrong("tiers_shape", last=r_max, limit=MOST_TIERS)
    default = parts["default_rows"].integer(1, r_max)
    if default not in tiers:
        raise parts["default_rows"].wrong("default_rows_not_a_tier", known=[str(t) for t in tiers])
    named = _provenances(parts["provenance"], list(_LIMITS), tuple(_LIMITS))
    return n_max, r_max, default, tiers, {_LIMITS[fact]: p for fact, p in named.items()}


def _columns(spot: Spot, *, unit: str | None) -> tuple[Column, ...]:
    named = spot.pairs()
    if not named or len(named) > MOST_COLUMNS:
        raise spot.wrong("columns_count", limit=MOST_COLUMNS)
    columns = tuple(_column(name, value, unit=unit) for name, value in named.items())
    if unit is not None and unit not in named:
        raise spot.wrong("unit_not_declared", unit=unit)
    if len(columns) == (unit is not None):
        raise spot.wrong("columns_count", limit=MOST_COLUMNS)
    headers = [c.header or c.name for c in columns]
    for column in columns:
        if headers.count(column.header or column.name) > 1:
            raise named[column.name].wrong("header_twice")
    return columns


def _column(name: str, spot: Spot, *, unit: str | None) -> Column:
    if not _COLUMN.fullmatch(name) or name in RESERVED:
        raise spot.wrong("column_name", reserved=sorted(RESERVED))
    parts = spot.fields(
        ("type", "meaning", "level", "provenance"), ("bounds", "grid", "domain", "required", "header")
    )
    kind = ColumnType(parts["type"].choice([t.value for t in ColumnType]))
    grid, lower, upper, domain = (Decimal(1), None, None, None) if name == unit else _values(spot, parts, kind)
    for key in ("bounds", "grid", "domain", "required") if name == unit else ():
        if key in parts:
            raise parts[key].wrong("unit_has_no_values", key=key)
    facts = [fact for fact in _FACTS if fact in parts]
    return Column(
        name=name,
        type=kind,
        meaning=_both(parts["meaning"]),
        level=parts["level"].choice(get_args(Level)),  # type: ignore[arg-type]  # `choice` gives one of them
        grid=grid,
        lower=lower,
        upper=upper,
        domain=domain,
        required="required" in parts and parts["required"].flag(),
        header=parts["header"].text(200) if "header" in parts else None,
        provenance=_provenances(parts["provenance"], facts, _FACTS),
    )


def _values(
    spot: Spot, parts: Mapping[str, Spot], kind: ColumnType
) -> tuple[Decimal, int | None, int | None, tuple[int, ...] | tuple[str, ...] | None]:
    """(grid, lower, upper, domain): what the column may hold, in grid units."""
    grid = grids.grid_of(parts.get("grid"), kind)
    domain = grids.domain_of(parts["domain"], kind, grid) if "domain" in parts else None
    bounds = grids.bounds_of(parts["bounds"], kind, grid) if "bounds" in parts else None
    if kind is ColumnType.TEXT:
        return grid, None, None, domain
    if kind is ColumnType.BOOLEAN:
        return grid, 0, 1, None
    points = [v for v in domain or () if isinstance(v, int)]
    if bounds is None and not points:
        raise spot.wrong("manifest_key_missing", key="bounds")
    lower, upper = bounds or (min(points), max(points))
    if points and not (lower <= min(points) and max(points) <= upper):
        raise parts["domain"].wrong("domain_outside_bounds")
    return grid, lower, upper, domain


def _other_persons(spot: Spot) -> str | None:
    """Persons named inside a row whom its unit does not protect (P1.5): a text, or the word `none`."""
    text = spot.text()
    return None if text == "none" else text


def _slots(spot: Spot | None, columns: tuple[Column, ...], unit: str | None) -> tuple[str, ...]:
    """Key columns whose values are numbered per unit: any of a protected table but the unit itself, each once."""
    if spot is None:
        return ()
    if unit is None:
        raise spot.wrong("manifest_public_has", key="slots")
    names = [item.choice([c.name for c in columns if c.name != unit]) for item in spot.items()]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise spot.wrong("manifest_key_twice", key=name)
    return tuple(names)
