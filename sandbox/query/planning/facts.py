"""The declared facts a plan rests on, each with its provenance, as every answer lists them (P1.4)."""

from __future__ import annotations

from sandbox.catalog import Column, DatasetSpec, Provenance
from sandbox.flow import Plan
from sandbox.plans import Fact
from sandbox.query.expressions.scope import Scope
from sandbox.query.expressions.typed import columns_of
from sandbox.query.planning.reads import expressions_of

MANIFEST = Provenance(kind="documented", source="manifest")


def declared_facts(plan: Plan, scope: Scope) -> tuple[Fact, ...]:
    """Everything declared that the plan, its price or its rung depends on; `scope` tells where columns come from."""
    facts: dict[tuple[str, str], Fact] = {}

    def add(fact: Fact) -> None:
        facts.setdefault((fact.subject, fact.fact), fact)

    for table in plan.tables:
        for name in ("n_max", "r_max"):
            add(_limit(table.spec, name, str(getattr(table.spec, name))))
    add(_rows(plan))
    people = plan.population
    add(
        Fact(
            subject=people.name, fact="registered", value=str(people.registered),
            provenance=people.registered_provenance,
        )
    )  # fmt: skip
    read = {c for m in plan.measures for c in columns_of(m.expr)}
    for source in scope.sources_of(read | _filtered(plan, scope)):
        if source.column.lower is not None:
            column = source.column
            add(_fact(column, "bounds", f"{column.lower}..{column.upper} x {column.grid}"))
    for key in plan.keys:
        for source in scope.sources_of(columns_of(key.expr)):
            fact = "domain" if source.column.domain is not None else "bounds"
            if key.domain is not None:
                add(_fact(source.column, fact, f"{len(key.domain)} values"))
    return tuple(facts.values())


def _filtered(plan: Plan, scope: Scope) -> set[str]:
    """Columns that conditions read: the proof that nothing overflows rests on their bounds."""
    keyed = {c for k in plan.keys for c in columns_of(k.expr)}
    names = {c for e in expressions_of(plan) for c in columns_of(e)} - keyed
    return {n for n in names if scope.field_of(n) is not None}


def _rows(plan: Plan) -> Fact:
    provenance = plan.spec.provenance.get("default_rows", MANIFEST)
    if plan.bound.form == "groups":
        value = f"{plan.bound.groups} groups x {plan.bound.per_group} rows"
        return Fact(subject=plan.spec.name, fact="groups_per_unit", value=value, provenance=provenance)
    return Fact(subject=plan.spec.name, fact="rows_per_unit", value=str(plan.bound.rows), provenance=provenance)


def _limit(spec: DatasetSpec, fact: str, value: str) -> Fact:
    return Fact(subject=spec.name, fact=fact, value=value, provenance=spec.provenance.get(fact, MANIFEST))


def _fact(column: Column, fact: str, value: str) -> Fact:
    return Fact(subject=column.name, fact=fact, value=value, provenance=column.provenance.get(fact, MANIFEST))
