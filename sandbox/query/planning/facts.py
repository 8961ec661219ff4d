"""The declared facts a plan rests on, each with its provenance, as every answer lists them (P1.4)."""

from __future__ import annotations

from sandbox.catalog import Column, DatasetSpec, Population, Provenance
from sandbox.flow import Bound, Expr, Fact, Key, Measure
from sandbox.query.expressions.bind import columns_of

MANIFEST = Provenance(kind="documented", source="manifest")


def declared_facts(
    spec: DatasetSpec,
    population: Population,
    *,
    keys: tuple[Key, ...],
    measures: tuple[Measure, ...],
    where: Expr | None,
    bound: Bound,
) -> tuple[Fact, ...]:
    """Everything declared that the plan, its price or its rung depends on."""
    facts = [
        _limit(spec, "n_max", str(spec.n_max)),
        _limit(spec, "r_max", str(spec.r_max)),
        Fact(
            subject=spec.name,
            fact="rows_per_unit",
            value=str(bound.rows),
            provenance=spec.provenance.get("default_rows", MANIFEST),
        ),
        Fact(
            subject=population.name,
            fact="registered",
            value=str(population.registered),
            provenance=population.registered_provenance,
        ),
    ]
    summed: set[str] = set()
    for measure in measures:
        if measure.kind == "sum":
            summed |= columns_of(measure.expr)
    for name in sorted(summed | columns_of(where)):
        column = spec.column(name)
        if column is not None and column.lower is not None:
            facts.append(_fact(column, "bounds", f"{column.lower}..{column.upper} x {column.grid}"))
    for key in keys:
        column = spec.column(key.column)
        if column is not None:
            fact = "domain" if column.domain is not None else "bounds"
            facts.append(_fact(column, fact, f"{len(key.domain)} values"))
    return tuple(facts)


def _limit(spec: DatasetSpec, fact: str, value: str) -> Fact:
    return Fact(subject=spec.name, fact=fact, value=value, provenance=spec.provenance.get(fact, MANIFEST))


def _fact(column: Column, fact: str, value: str) -> Fact:
    return Fact(subject=column.name, fact=fact, value=value, provenance=column.provenance.get(fact, MANIFEST))
