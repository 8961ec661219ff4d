"""Scopes: the columns that a name may mean at one place of a query, each with its type, range and sources."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from sandbox.catalog import Column, ColumnType, DatasetSpec
from sandbox.errors import RequestError
from sandbox.names import nearest
from sandbox.plans import Call, Col, Lit, Scalar
from sandbox.query.expressions.typed import Kind, Typed
from sandbox.query.language.syntax import Name

COLUMN_TYPES: dict[Kind, ColumnType] = {
    "text": ColumnType.TEXT, "boolean": ColumnType.BOOLEAN, "date": ColumnType.DATE, "timestamp": ColumnType.TIMESTAMP,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A declared column that a field rests on."""

    dataset: str
    column: Column


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A column of a relation. `typed` reads it; the unit's has none, since nothing but a join or a group may see it."""

    name: str
    table: str | None
    typed: Typed | None
    """None for the unit, and for a column without declared bounds."""
    sources: tuple[Source, ...] = ()
    domain: tuple[Scalar, ...] | None = None
    """Every stored value it may have, None for NULL among them, where that is declared."""
    required: bool = False
    """It is never NULL."""
    unit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The fields that names mean here."""

    fields: tuple[Field, ...]
    shown: str
    """What a message calls the place: a table's name."""

    def find(self, name: Name) -> Field:
        """The one field that a name means.

        Raises:
            RequestError: `unknown_column`, `unknown_column_near`, `sql_unknown_table`, `column_ambiguous`.
        """
        found = [f for f in self.fields if f.name == name.name and _qualifies(name.table, f.table)]
        if len(found) == 1:
            return found[0]
        if found:
            raise RequestError("column_ambiguous", column=name.name, position=name.at)
        if name.table is not None and not any(_qualifies(name.table, f.table) for f in self.fields):
            raise RequestError("sql_unknown_table", table=name.table, position=name.at)
        near = nearest(name.name, [f.name for f in self.fields if not f.unit])
        code = "unknown_column_near" if near else "unknown_column"
        params = {"nearest": near} if near else {}
        raise RequestError(code, column=name.name, dataset=self.shown, position=name.at, **params)

    def resolve(self, name: Name) -> Typed:
        """The typed column that a name means.

        Raises:
            RequestError: as `find`; `unit_column_hidden` (P3.3), `column_without_bounds`.
        """
        field = self.find(name)
        if field.unit:
            raise RequestError("unit_column_hidden", column=name.name, position=name.at)
        if field.typed is None:
            raise RequestError("column_without_bounds", column=name.name, position=name.at)
        return field.typed

    def sources_of(self, columns: Iterable[str]) -> tuple[Source, ...]:
        """The declared columns behind these columns of the relation, each once, in the scope's order."""
        wanted, found = set(columns), dict[tuple[str, str], Source]()
        for field in self.fields:
            if field.typed is not None and column_name(field.typed) in wanted:
                found |= {(s.dataset, s.column.name): s for s in field.sources}
        return tuple(found.values())

    def field_of(self, column: str) -> Field | None:
        """The field that reads this column of the relation."""
        return next((f for f in self.fields if f.typed is not None and column_name(f.typed) == column), None)

    def called(self, table: str | None) -> Scope:
        """The same fields under another table's name."""
        return Scope(fields=tuple(replace(f, table=table) for f in self.fields), shown=table or self.shown)


def _qualifies(asked: str | None, table: str | None) -> bool:
    """`schema.table` may be called by its last part; an alias by itself alone."""
    return asked is None or asked == table or (table is not None and table.endswith(f".{asked}"))


def column_name(typed: Typed) -> str:
    """The relation's column that a field reads."""
    expr = typed.expr.args[0] if isinstance(typed.expr, Call) else typed.expr
    return expr.name if isinstance(expr, Col) else ""


def stored(internal: str, column: Column) -> Typed | None:
    """A stored column as a typed one; None if numbers have no declared bounds."""
    if column.type is not ColumnType.TEXT and (column.lower is None or column.upper is None):
        return None
    kind: Kind = {v: k for k, v in COLUMN_TYPES.items()}.get(column.type, "number")
    scale = Fraction(1) if kind in {"date", "text", "boolean"} else Fraction(column.grid)
    # Of a text the upper end counts how many stored texts it is made of.
    lower, upper = column.lower or 0, 1 if kind == "text" else column.upper or 0
    return read(internal, Typed(expr=Lit(None), kind=kind, scale=scale, lower=lower, upper=upper))


def read(internal: str, value: Typed) -> Typed:
    """How a value reads once it stands in a column of that name: booleans are stored as 0 and 1."""
    kind = COLUMN_TYPES.get(value.kind, ColumnType.INTEGER if value.scale == 1 else ColumnType.DECIMAL)
    col = Col(internal, kind)
    if value.kind == "boolean":
        return Typed(expr=Call("=", (col, Lit(1))), kind="boolean")
    return replace(value, expr=col)


def fields_of(spec: DatasetSpec, prefix: str, alias: str) -> tuple[Field, ...]:
    """The fields of a stored table, whose columns a relation calls by `prefix` and their name."""
    return tuple(
        Field(
            name=c.name, table=alias, unit=c.name == spec.unit,
            typed=None if c.name == spec.unit else stored(prefix + c.name, c),
            sources=(Source(dataset=spec.name, column=c),), domain=_domain(c), required=c.required,
        )
        for c in spec.columns
    )  # fmt: skip


MAX_DOMAIN = 10_000
"""Values of a key."""


def _domain(column: Column) -> tuple[Scalar, ...] | None:
    """Every value of a column if that is declared (P5.3): its domain, or all between narrow bounds; NULL last."""
    values: tuple[Scalar, ...] | None = column.domain
    bounded = column.lower is not None and column.upper is not None and column.type is not ColumnType.DECIMAL
    if values is None and bounded and (column.upper or 0) - (column.lower or 0) < MAX_DOMAIN:
        values = tuple(range(column.lower or 0, (column.upper or 0) + 1))
    if values is None:
        return None
    return values if column.required else (*values, None)
