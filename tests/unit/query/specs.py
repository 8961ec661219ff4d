"""A small declared dataset for the query tests."""

from __future__ import annotations

from decimal import Decimal

from sandbox.catalog import (
    Column,
    ColumnType,
    DatasetSpec,
    Identifier,
    Population,
    Provenance,
    Source,
    Text,
)  # fmt: skip

DOCUMENTED = Provenance(kind="documented", source="test")
FACTS = {"bounds": DOCUMENTED, "domain": DOCUMENTED, "grid": DOCUMENTED}


def column(name: str, type_: ColumnType, **declared: object) -> Column:
    return Column(
        name=name, type=type_, meaning=Text(en=name, zh=name), level="general-1", provenance=FACTS, **declared  # type: ignore[arg-type]
    )


SPEC = DatasetSpec(
    name="city.trips",
    title=Text(en="Trips", zh="行程"),
    owner="bureau",
    population="riders",
    unit="rider",
    source=Source(connector="csv", path="trips.csv", options={}),
    consent=False,
    n_max=1000,
    r_max=10,
    default_rows=3,
    tiers=(1, 3, 10),
    slots=(),
    external_ids={},
    other_persons=None,
    columns=(
        column("rider", ColumnType.TEXT),
        column("line", ColumnType.TEXT, domain=("A", "B", "C")),
        column("hour", ColumnType.INTEGER, lower=0, upper=23, required=True),
        column("fare", ColumnType.DECIMAL, lower=-500, upper=20000, grid=Decimal("0.01")),
        column("delay", ColumnType.INTEGER, lower=-60, upper=1300),
        column("big", ColumnType.INTEGER, lower=-(2**62), upper=2**62),
        column("day", ColumnType.DATE, lower=-719162, upper=2932896),
        column("at", ColumnType.TIMESTAMP, lower=-62135596800, upper=253402300799),
        column("paid", ColumnType.BOOLEAN, lower=0, upper=1),
        column("note", ColumnType.TEXT),
    ),
)

POPULATION = Population(
    name="riders",
    title=Text(en="Riders", zh="乘客"),
    unit="rider",
    identifier=Identifier(kind="text"),
    n_ids=10**6,
    registered=10_000,
    registered_provenance=DOCUMENTED,
    epsilon=10 * 10**12,
    pure=6 * 10**12,
    delta=10**13,
)
