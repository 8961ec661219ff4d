"""Manifests: what is declared is what is read, and every error has its place."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest

from sandbox.catalog import ColumnType, Provenance
from sandbox.errors import SandboxError
from sandbox.ingest.manifest import parse_manifest, parse_population
from sandbox.messages import both, texts
from sandbox.privacy.accounting import DELTA_UNIT, UNIT, delta_0
from tests.promises import promise
from tests.workshop import POPULATION, manifest

COLUMNS = """\
visits: {type: integer, bounds: [0, 50], %}
cost: {type: decimal, bounds: ["-0.5", "99.99"], grid: "0.25", %}
kind: {type: text, domain: [NO, yes, "10"], %}
on: {type: date, bounds: [2020-01-01, 2020-12-31], %}
at: {type: timestamp, bounds: ["2020-01-01T00:00:00Z", "2020-12-31"], grid: 3600, %}
month: {type: integer, domain: {from: 1, to: 12}, required: true, header: 月份, %}
ok: {type: boolean, %}
"""


def test_everything_declared_is_read() -> None:
    spec = parse_manifest(manifest(COLUMNS), "m.yaml")
    assert (spec.name, spec.population, spec.unit, spec.public) == ("city.visits", "people", "person", False)
    assert (spec.n_max, spec.r_max, spec.default_rows, spec.tiers) == (1000, 4, 2, (1, 2, 4))
    assert spec.provenance["tiers"] == Provenance(kind="documented", source="t")
    found = {c.name: c for c in spec.columns}
    assert list(found) == ["person", "visits", "cost", "kind", "on", "at", "month", "ok"]
    assert (found["cost"].grid, found["cost"].lower, found["cost"].upper) == (Decimal("0.25"), -2, 399)
    assert found["kind"].domain == ("NO", "yes", "10")
    assert (found["on"].lower, found["on"].upper) == (18262, 18627)
    assert (found["at"].lower, found["at"].upper) == (18262 * 24, 18627 * 24)
    assert found["month"].domain == tuple(range(1, 13))
    assert (found["month"].lower, found["month"].upper, found["month"].required) == (1, 12, True)
    assert found["month"].header == "月份"
    assert (found["ok"].type, found["ok"].lower, found["ok"].upper) == (ColumnType.BOOLEAN, 0, 1)
    assert set(found["visits"].provenance) == {"type", "meaning", "level", "bounds"}


def test_bounds_are_the_grids_inside() -> None:
    spec = parse_manifest(manifest('x: {type: decimal, bounds: ["-1.7", "1.7"], grid: 1, %}'), "m.yaml")
    column = spec.column("x")
    assert column is not None
    assert (column.lower, column.upper) == (-1, 1)


def test_provenance_may_differ_by_fact() -> None:
    own = "x: {type: integer, bounds: [0, 9], meaning: {en: m, zh: 义}, level: core, provenance: {bounds: {steward: Li}, others: {documented: law}}}"
    spec = parse_manifest(manifest(own), "m.yaml")
    column = spec.column("x")
    assert column is not None
    assert column.provenance["bounds"].kind == "steward"
    assert column.provenance["level"].source == "law"


@promise("P2.0")
def test_a_population_is_declared_with_its_canonical_form_and_maxima() -> None:
    population = parse_population(POPULATION, "p.yaml")
    assert (population.identifier.kind, population.identifier.case) == ("text", "upper")
    assert (population.n_ids, population.registered) == (1_000_000, 20_000)
    assert (population.epsilon, population.pure) == (10 * UNIT, 6 * UNIT)
    assert population.delta == DELTA_UNIT // 200_000


def test_a_population_may_declare_its_cap() -> None:
    population = parse_population(POPULATION + 'cap: {epsilon: "3.5", pure: 1, delta: "1e-6"}\n', "p.yaml")
    assert (population.epsilon, population.pure, population.delta) == (3_500_000_000_000, UNIT, DELTA_UNIT // 10**6)


BAD = {
    "manifest_key_missing": manifest(COLUMNS).replace("unit: person\n", ""),
    "unit_not_declared": manifest(COLUMNS).replace("unit: person\n", "unit: somebody\n"),
    "manifest_choice": manifest("x: {type: integr, bounds: [0, 1], %}"),
    "bounds_upside_down": manifest("x: {type: integer, bounds: [5, 1], %}"),
    "manifest_key_unknown": manifest("x: {type: integer, bound: [1, 5], %}"),
    "domain_too_long": manifest("x: {type: integer, domain: {from: 1, to: 1000000}, %}"),
    "manifest_list_too_long": manifest(f"x: {{type: integer, domain: [{', '.join(map(str, range(20_000)))}], %}}"),
    "manifest_too_large": manifest(f"x: {{type: integer, domain: [{', '.join(map(str, range(1_000_000)))}], %}}"),
    "manifest_anchor": manifest("x: {type: integer, bounds: &b [1, 5], %}\ny: {type: integer, bounds: *b, %}"),
    "manifest_tag": manifest("x: {type: !!python/object:os.system integer, bounds: [0, 1], %}"),
    "manifest_too_deep": "dataset: " + "[" * 500_000,
    "manifest_key_twice": manifest("x: {type: integer, bounds: [0, 1], %}\nx: {type: integer, bounds: [0, 1], %}"),
    "manifest_syntax": "dataset: {a: b",
    "manifest_empty": "# nothing\n",
    "manifest_type": manifest("x: {type: integer, bounds: [a, b], %}"),
    "bounds_not_two": manifest("x: {type: integer, bounds: [1, 2, 3], %}"),
    "bounds_hold_no_grid_point": manifest("x: {type: integer, bounds: [11, 12], grid: 10, %}"),
    "bounds_too_large": manifest('x: {type: decimal, bounds: [0, "9000000000000"], grid: "0.000001", %}'),
    "bounds_not_for_type": manifest("x: {type: text, bounds: [1, 2], %}"),
    "grid_not_for_type": manifest("x: {type: date, bounds: [2020-01-01, 2020-01-02], grid: 2, %}"),
    "grid_range": manifest('x: {type: integer, bounds: [0, 9], grid: "0.5", %}'),
    "domain_off_grid": manifest("x: {type: integer, domain: [1, 2], grid: 2, %}"),
    "domain_value_twice": manifest("x: {type: text, domain: [a, a], %}"),
    "domain_outside_bounds": manifest("x: {type: integer, domain: [1, 20], bounds: [0, 10], %}"),
    "domain_empty": manifest("x: {type: text, domain: [], %}"),
    "domain_not_for_type": manifest("x: {type: boolean, domain: [true], %}"),
    "column_name": manifest("ordinal: {type: integer, bounds: [0, 1], %}"),
    "header_twice": manifest("x: {type: integer, bounds: [0, 1], header: person, %}"),
    "unit_has_no_values": manifest(COLUMNS).replace("person: {type: text,", "person: {type: text, domain: [a],"),
    "tiers_shape": manifest(COLUMNS).replace("tiers: [1, 2, 4]", "tiers: [1, 2]"),
    "default_rows_not_a_tier": manifest(COLUMNS).replace("default_rows: 2", "default_rows: 3"),
    "provenance_missing": manifest("x: {type: integer, bounds: [0, 1], meaning: {en: m, zh: 义}, level: core, provenance: {bounds: {steward: Li}}}"),
    "provenance_not_one": manifest(COLUMNS).replace("{documented: t}", "{documented: t, steward: u}"),
    "source_path_shape": manifest(COLUMNS).replace("path: visits.csv", "path: ../../etc/passwd"),
    "manifest_name": manifest(COLUMNS, name="Robert'); DROP TABLE"),
    "manifest_number_range": manifest(COLUMNS).replace("rows: 1000", "rows: 0"),
    "manifest_public_has": manifest(COLUMNS) + "public: true\n",
}  # fmt: skip


@pytest.mark.parametrize("code", sorted(BAD))
def test_a_bad_manifest_has_one_clear_error_with_its_place(code: str) -> None:
    began = time.monotonic()
    with pytest.raises(SandboxError) as caught:
        parse_manifest(BAD[code], "m.yaml")
    assert caught.value.code == code
    assert time.monotonic() - began < 20, "a bad manifest must not cost more than reading it"
    assert code in texts()
    assert both(code, caught.value.params)["zh"]
    if code != "manifest_too_large":
        position = caught.value.position
        assert position is not None
        assert (position.file, position.line >= 1, position.column >= 1) == ("m.yaml", True, True)


def test_the_place_is_the_values_own() -> None:
    text = manifest("x: {type: integer, bounds: [5, 1], %}")
    with pytest.raises(SandboxError) as caught:
        parse_manifest(text, "m.yaml")
    position = caught.value.position
    assert position is not None
    line = text.splitlines()[position.line - 1]
    assert line[position.column - 1 :].startswith("[5, 1]")


def test_an_unknown_key_is_told_with_the_nearest() -> None:
    with pytest.raises(SandboxError) as caught:
        parse_manifest(BAD["manifest_key_unknown"], "m.yaml")
    assert caught.value.params["nearest"] == "bounds"


def test_a_bomb_of_aliases_is_refused_before_it_grows() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    with pytest.raises(SandboxError) as caught:
        parse_manifest("\n".join(lines), "bomb.yaml")
    assert (caught.value.code, caught.value.position.line if caught.value.position else 0) == ("manifest_anchor", 1)


def test_control_characters_have_a_place_too() -> None:
    with pytest.raises(SandboxError) as caught:
        parse_manifest("dataset: a\ntitle: \x00\n", "m.yaml")
    assert (caught.value.code, caught.value.position.line if caught.value.position else 0) == ("manifest_syntax", 2)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('cap: {epsilon: 0}', "cap_range"),
        ('cap: {epsilon: "1e30"}', "cap_range"),
        ('cap: {epsilon: nan}', "manifest_type"),
        ('cap: {epsilon: -1}', "cap_range"),
        ('cap: {epsilon: 3, pure: 4}', "cap_range"),
        ('cap: {delta: "0.01"}', "cap_range"),
        ('cap: {delta: "1e-14"}', "cap_delta_small"),
    ],
)  # fmt: skip
def test_a_bad_cap_is_refused(text: str, code: str) -> None:
    with pytest.raises(SandboxError) as caught:
        parse_population(POPULATION + text, "p.yaml")
    assert caught.value.code == code


@promise("P2.2")
def test_fewer_identifiers_than_are_registered_are_refused_with_the_place() -> None:
    text = POPULATION.replace("1_000_000", "19_999")
    with pytest.raises(SandboxError) as caught:
        parse_population(text, "p.yaml")
    assert (caught.value.code, caught.value.params["registered"]) == ("identifiers_below_registered", 20_000)
    assert caught.value.position is not None
    assert "19_999" in text.splitlines()[caught.value.position.line - 1]
    assert parse_population(POPULATION.replace("1_000_000", "20_000"), "p.yaml").n_ids == 20_000


@promise("P2.2")
def test_so_many_identifiers_that_a_collision_is_likely_are_refused() -> None:
    with pytest.raises(SandboxError) as caught:
        parse_population(POPULATION.replace("count: 20_000", "count: 100_000_000").replace("1_000_000", "1_000_000_000"), "p")
    assert caught.value.code == "cap_delta_small"
    assert delta_0(10**9) == 54210109
