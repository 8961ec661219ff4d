"""The catalogue's values: populations, datasets, columns, versions, and the declared facts they rest on."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from sandbox.errors import IntegrityFailed


class ColumnType(StrEnum):
    """What a column means. All but `text` are stored as int64 on the column's grid.

    integer: value / grid. decimal: value / grid. boolean: 0 or 1. date: days since 1970-01-01.
    timestamp: seconds since 1970-01-01T00:00:00Z, divided by the grid in seconds. text: valid UTF-8, NFC.
    """

    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    TEXT = "text"


Level: TypeAlias = Literal["general-1", "general-2", "general-3", "general-4", "important", "core"]
"""GB/T 43697-2024: core 核心, important 重要, general 一般; general data in four grades."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text for people, in both languages."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a declared fact comes from (P1.4).

    `documented`: a code list, law or data dictionary. `released`: a charge id. `steward`: somebody looked at the data.
    """

    kind: Literal["documented", "released", "steward"]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a protected or public table.

    `lower` and `upper` are inclusive and in grid units (see `ColumnType`); None for text.
    `domain` lists every value of a public key, in grid units or as text, in display order; None where none is declared.
    `required`: a row without a usable value is dropped at ingest, so no NULL is stored.
    """

    name: str
    type: ColumnType
    meaning: Text
    level: Level
    grid: Decimal = Decimal(1)
    lower: int | None = None
    upper: int | None = None
    domain: tuple[int, ...] | tuple[str, ...] | None = None
    required: bool = False
    header: str | None = None
    """The source's own name for the column, where it is another."""
    provenance: Mapping[str, Provenance]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """The canonical form of a population's identifiers (P2.0): two spellings of one person become one text.

    `digits`: ASCII digits after `spaces`, leading zeros stripped, then padded to `width` if given.
    `text`: NFKC, `case` folded as told, `spaces` removed or trimmed.
    """

    kind: Literal["digits", "text"]
    case: Literal["keep", "upper", "lower"] = "keep"
    spaces: Literal["trim", "remove"] = "trim"
    width: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """The people, vehicles, pupils that a cap protects. Epsilon and delta in ledger units (1e-12, 1e-18)."""

    name: str
    title: Text
    unit: str
    identifier: Identifier
    n_ids: int
    registered: int
    registered_provenance: Provenance
    epsilon: int
    pure: int
    delta: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a connector reads: the connector's name, a path below the gateway's source folders, its options."""

    connector: str
    path: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """A manifest, checked: everything declared about a dataset. A public table has no population and no unit.

    `n_max` rows in all; `r_max` rows of one unit; `tiers` are ascending ordinal edges, the last one `r_max`:
    tier i holds ordinals [tiers[i-1], tiers[i]). `default_rows` is a tier edge: the rows a unit gives by default.
    `slots` names key columns whose (unit, value) pairs are numbered at ingest: for bounds per unit and group.
    """

    name: str
    title: Text
    owner: str
    population: str | None
    unit: str | None
    source: Source
    consent: bool
    n_max: int
    r_max: int
    default_rows: int
    tiers: tuple[int, ...]
    slots: tuple[str, ...]
    external_ids: Mapping[str, str]
    other_persons: str | None
    columns: tuple[Column, ...]
    provenance: Mapping[str, Provenance] = field(default_factory=dict)
    """Of `n_max`, `r_max`, `default_rows` and `tiers`."""

    @property
    def public(self) -> bool:
        """True for a table that protects nobody."""
        return self.population is None

    def column(self, name: str) -> Column | None:
        """The column of that name, or None."""
        return next((c for c in self.columns if c.name == name), None)


BUCKET_ROWS = 6_000_000


def bucket_bits(n_max: int) -> int:
    """Bits of the pseudonym that name the bucket: a function of the declared N_max alone (P2.3)."""
    bits = 0
    while n_max > BUCKET_ROWS << bits:
        bits += 1
    return bits


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedFile:
    """One sealed Parquet file of a version: a bucket's rows whose ordinals lie in one tier.

    `chunks` maps a column to the (offset, length) of its chunk in each row group; `footer` is the offset where the
    Parquet footer starts. Both are plaintext offsets. `sha256` is of the sealed bytes.
    """

    bucket: int
    tier: int
    key: str
    rows: int
    size: int
    sealed_size: int
    sha256: str
    footer: int
    chunks: Mapping[str, tuple[tuple[int, int], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """One sealed sidecar of a version: what a bucket's slots of one key column stand for (see `objects.sidecars`).

    `size` is of the plaintext; `sha256` is of the sealed bytes.
    """

    bucket: int
    column: str
    key: str
    size: int
    sealed_size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """An immutable version of a dataset. `wrapped_key` opens its files, under the population's key.

    `slots` are the key columns that every file has a column `slot.…` of and every bucket a sidecar; none in format 1.
    """

    id: str
    dataset_id: str
    number: int
    suite: str
    format: int
    bits: int
    tiers: tuple[int, ...]
    wrapped_key: bytes
    files: tuple[SealedFile, ...]
    slots: tuple[str, ...] = ()
    sidecars: tuple[Sidecar, ...] = ()

    @property
    def sealed(self) -> tuple[SealedFile | Sidecar, ...]:
        """Every sealed object beside the manifest's own."""
        return (*self.files, *self.sidecars)


# --- their form in JSON: rows of the store and manifest objects hold them ---------------------------------------------

T = TypeVar("T")


def plain(value: object) -> Any:
    """A value of this module as JSON has it: decimals and integers beyond 2^53 - 1 as text, bytes in base64."""
    for kinds, form in _FORMS:
        if isinstance(value, kinds):
            return form(value)
    return {f.name: plain(getattr(value, f.name)) for f in fields(value)}  # type: ignore[arg-type]  # raises if it is none


_FORMS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (StrEnum, lambda v: v.value),
    ((bool, str, NoneType), lambda v: v),
    (int, lambda v: v if abs(v) < 2**53 else str(v)),
    (Decimal, str),
    (bytes, lambda v: base64.b64encode(v).decode("ascii")),
    (Mapping, lambda v: {str(k): plain(item) for k, item in v.items()}),
    ((tuple, list), lambda v: [plain(item) for item in v]),
)


def restored(kind: type[T], form: Any) -> T:
    """The value of `kind` (a class of this module) whose `plain` form this is.

    Raises:
        IntegrityFailed: `catalogue_malformed`, stored JSON that no value has.
    """
    try:
        value: T = _restored(kind, form)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        raise IntegrityFailed("catalogue_malformed", kind=kind.__name__) from None
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _restored(kind: Any, form: Any) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if origin in {UnionType, Union}:
        return None if form is None else _restored(_chosen(args, form), form)
    if origin is tuple:
        return tuple(_restored(args[0], item) for item in form)
    if origin is not None and origin is not Literal:
        return {key: _restored(args[1], item) for key, item in form.items()}
    if is_dataclass(kind):
        return _instance(kind, form)  # type: ignore[arg-type]  # mypy cannot tell a dataclass from its instance here
    return _leaf(kind, args, form)


def _instance(kind: type, form: dict[str, Any]) -> Any:
    hints = _hints(kind)
    return kind(**{name: _restored(hints[name], item) for name, item in form.items()})


def _leaf(kind: Any, choices: tuple[Any, ...], form: Any) -> Any:
    if choices and form not in choices:
        raise ValueError("not one of the choices")
    if kind is bytes:
        return base64.b64decode(form, validate=True)
    return form if choices or kind in {bool, str} else kind(form)


def _chosen(args: tuple[Any, ...], form: Any) -> Any:
    """The member of a union that `form` belongs to; lists are told apart by what they hold."""
    options = [a for a in args if a is not NoneType]
    for option in options[:-1]:
        inner = get_args(option)
        if not inner or all(isinstance(item, inner[0]) for item in form):
            return option
    return options[-1]
