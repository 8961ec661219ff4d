"""Bad input to the engine, over HTTP: one clear problem in both languages at its place, or a right answer; never a hang."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from sandbox.ingest import duty as ingest
from sandbox.messages import render
from sandbox.query.planning.rung import CostModel
from tests.house import PATIENT, City, city
from tests.promises import promise
from tests.trips import MANIFEST

MORE: Final = """\
  note: {type: text, meaning: {en: note, zh: 备注}, level: general-1, provenance: {others: {documented: test}}}
  flat: {type: integer, meaning: {en: flat, zh: 常数}, level: general-1, bounds: [7, 7], provenance: {others: {documented: test}}}
"""
HEADER: Final = "rider,line,hour,delay,fare,paid,day,note,flat\n"
NFC, NFD = "caf\u00e9", "cafe\u0301"
MEGABYTES = "\u00e9" * 5_000_000
"""Ten of them, in UTF-8."""
KEYS: Final = {
    "missing": "", "empty": '""', "composed": NFC, "decomposed": NFD, "longest": "x" * 4096, "longer": "x" * 4097, "lines": '"a\nb"',
}  # fmt: skip
EACH: Final = 300
"""Riders of each key: so many that every key that is one is shown."""


def line(rider: str, *, of: str = "A", hour: int = 3, note: str = "x", flat: int = 7) -> str:
    return f"{rider},{of},{hour},7,1.50,1,2013-02-03,{note},{flat}\n"


def load(town: City, name: str, lines: list[str], *, rows: int = 5000) -> dict[str, Any]:
    """Ingest these lines as a dataset; gives the ingest as its steward sees it."""
    town.source(f"{name}.csv", HEADER + "".join(lines))
    manifest = MANIFEST.replace("city.trips", name).replace("trips.csv", f"{name}.csv").replace("rows: 5000", f"rows: {rows}")
    accepted = town.ok("POST", "/v1/datasets", {"file": "m.yaml", "text": manifest + MORE}, part="steward")
    while ingest.run_next(town.ingest_parts()):
        pass
    found: dict[str, Any] = town.ok("GET", f"/v1/ingests/{accepted['ingest']}", part="steward")
    return found


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    # Rungs of a second: two dozen columns at once, on a machine that others use.
    with city(tmp_path_factory.mktemp("bad"), model=dataclasses.replace(PATIENT, fixed=0.32)) as it:
        load(it, "city.one", [line("r1")])
        load(it, "city.own", [line("r1", of="ABC"[i % 3], hour=i % 24, note=f"n{i}", flat=9) for i in range(500)])
        odd = [line(f"{name}{i}", note=note) for name, note in KEYS.items() for i in range(EACH)]
        load(it, "city.odd", [*odd, line("huge", note=MEGABYTES)])
        it.grant([f"city.{name}" for name in ("one", "own", "odd")], epsilon="10")
        yield it


def is_one_clear_problem(got: Any, status: int, code: str) -> None:
    """The status and the code that were foreseen, told in both languages, and no story of ours."""
    assert (got.status_code, got.json()["code"]) == (status, code), got.text[:400]
    text = got.json()["text"]
    assert text["en"]
    assert any("\u4e00" <= c <= "\u9fff" for c in text["zh"])
    assert not any(word in got.text for word in ("Traceback", ".py", "Error(", "duckdb", "sqlglot"))


def chain(step: str, last: str, *, of: int = 15) -> str:
    """CTEs that each read the one before."""
    named = "".join(f", a{i} AS (SELECT {step.format(i=i)} AS x FROM a{i - 1})" for i in range(1, of))
    return f"WITH a0 AS (SELECT {{x}} AS x FROM city.one){named} SELECT {last} FROM a{of - 1}"


ONE: Final = "FROM city.one"
QUESTIONS: Final[dict[str, tuple[str, int, str]]] = {
    "NUL": (f"SELECT count(*) {ONE} WHERE line = 'A\0'", 400, "sql_control_character"),
    "two in a CTE": (f"WITH a AS (SELECT line {ONE}; DROP TABLE t) SELECT count(*) FROM a", 400, "sql_several_statements"),
    "open comment": (f"SELECT count(*) {ONE} /* ", 400, "sql_syntax"),
    "a megabyte of IN": (f"WITH a AS (SELECT line {ONE}) SELECT count(*) FROM a WHERE line IN ({'1,' * 500_000}1)", 413, "query_too_long"),
    "a megabyte of comment": (f"SELECT count(*) {ONE} /*{'x' * 1_000_000}*/", 413, "query_too_long"),
    "column of a CTE": (f"WITH a AS (SELECT lnie {ONE}) SELECT count(*) FROM a", 400, "unknown_column_near"),
    "column under an alias": (f"WITH a AS (SELECT line AS l {ONE}) SELECT count(line) FROM a", 400, "unknown_column"),
    "column in FILTER": (f"SELECT count(*) FILTER (WHERE dleay > 1) {ONE}", 400, "unknown_column_near"),
    "column in WITHIN GROUP": (f"SELECT percentile_cont(ARRAY[0.5]) WITHIN GROUP (ORDER BY dleay) {ONE}", 400, "unknown_column_near"),
    "column twice": (f"SELECT count(line) FROM (SELECT line, delay AS line {ONE}) a", 400, "column_ambiguous"),
    "column twice in a CTE": (f"WITH a AS (SELECT line, delay AS line {ONE}) SELECT count(*) FROM a", 400, "column_ambiguous"),
    "function": (f"SELECT medain(delay) {ONE}", 400, "sql_function_near"),
    "type": (f"SELECT sum(delay::intt) {ONE}", 400, "sql_cast_type"),
    "sum of texts": (f"SELECT sum(note) {ONE}", 400, "aggregate_type"),
    "median of texts": (f"SELECT median(note) {ONE}", 400, "aggregate_type"),
    "variance of dates": (f"SELECT variance(day) {ONE}", 400, "aggregate_type"),
    "histogram of texts": (f"SELECT histogram(note, 0, 1, 2) {ONE}", 400, "aggregate_type"),
    "number for a condition": (f"SELECT count(*) {ONE} WHERE delay", 400, "where_not_boolean"),
    "number in HAVING": (f"SELECT line, count(*) {ONE} GROUP BY line HAVING count(*)", 400, "where_not_boolean"),
    "text and number": (f"SELECT count(*) {ONE} WHERE note = 5", 400, "expression_mixed"),
    "branches apart": (f"SELECT CASE WHEN paid THEN 1 ELSE 'x' END AS c, count(*) {ONE} GROUP BY c", 400, "expression_mixed"),
    "parts apart": (f"SELECT count(*) FROM (SELECT note AS a {ONE} UNION ALL SELECT delay {ONE}) x", 400, "expression_mixed"),
    "a day that is none": (f"SELECT count(*) {ONE} WHERE day = DATE '2013-02-30'", 400, "expression_moment"),
    "400 digits": (f"SELECT sum(delay * {'9' * 400}) {ONE}", 400, "sql_number"),
    "300 decimals": (f"SELECT count(*) {ONE} WHERE fare < 0.{'0' * 300}1", 400, "sql_number"),
    "a product past 64 bits": (f"SELECT sum({'*'.join(['delay'] * 9)}) {ONE}", 400, "expression_overflows"),
    "division by zero": (f"SELECT sum(delay / 0) {ONE}", 400, "expression_divisor"),
    "LIMIT below zero": (f"SELECT line, count(*) {ONE} GROUP BY line LIMIT -1", 400, "sql_limit"),
    "bins without number": (f"SELECT histogram(delay, 'NaN', 1, 3) {ONE}", 400, "histogram_form"),
    "bins of no width": (f"SELECT histogram(flat, 7, 7, 1) {ONE}", 400, "histogram_form"),
    "buckets of no width": (f"SELECT width_bucket(flat, 7, 7, 1) AS b, count(*) {ONE} GROUP BY b", 400, "expression_width_bucket"),
    "no quantile": (f"SELECT percentile_cont(ARRAY[]) WITHIN GROUP (ORDER BY delay) {ONE}", 400, "sql_function_arguments"),
    "an array of arrays": (f"SELECT percentile_cont(ARRAY[ARRAY[0.5]]) WITHIN GROUP (ORDER BY delay) {ONE}", 400, "sql_expression"),
    "40 subqueries": (f"SELECT count(*) FROM {'(SELECT line FROM ' * 40}city.one{') x' * 40}", 400, "query_too_deep"),
    "squares of squares": (chain("x * x % 97", "sum(x)").format(x="delay"), 400, "expression_too_large"),
    "texts of texts": (chain("x || x", "count(x)").format(x="line"), 400, "expression_text_too_long"),
    "15 joins with itself": (
        f"SELECT count(*) {ONE} a0 " + " ".join(f"JOIN city.one a{i} ON a0.rider = a{i}.rider" for i in range(1, 16)), 400, "join_fans_out",
    ),
    "a hundred million groups": (f"SELECT hour, delay, day, count(*) {ONE} GROUP BY 1, 2, 3", 400, "too_many_groups"),
    "30 keys": (f"SELECT count(*) {ONE} GROUP BY {', '.join(f'hour + {i}' for i in range(30))}", 400, "too_many_keys"),
    "the unit": (f"SELECT rider, count(*) {ONE} GROUP BY rider", 400, "unit_in_answer"),
    "a table that is not there": (f"SELECT count(*) {ONE} JOIN city.onee USING (rider)", 403, "dataset_not_granted"),
    "CTEs in a ring": ("WITH a AS (SELECT line FROM b), b AS (SELECT line FROM a) SELECT count(*) FROM a", 403, "no_grant"),
}  # fmt: skip
PLACELESS: Final = {"query_too_long", "dataset_not_granted", "no_grant"}


@promise("P6.5")
@pytest.mark.parametrize("name", QUESTIONS)
def test_a_bad_question_is_one_clear_problem_at_its_place_and_costs_nothing(town: City, name: str) -> None:
    sql, status, code = QUESTIONS[name]
    before = town.ok("GET", f"/v1/grants/{town.grants[0]}")["budget"]
    got = town.ask(sql, f"bad-question-{name}".replace(" ", "-"), epsilon="0.1")
    is_one_clear_problem(got, status, code)
    if code not in PLACELESS:
        place = got.json()["position"]
        lines = sql.split("\n")
        assert 1 <= place["line"] <= len(lines)
        assert 1 <= place["column"] <= len(lines[place["line"] - 1]) + 1
    if code == "unknown_column_near":
        assert got.json()["params"]["nearest"] in {"line", "delay"}
    assert town.ok("GET", f"/v1/grants/{town.grants[0]}")["budget"] == before


SQL: Final = f"SELECT line, count(*), sum(delay) {ONE} GROUP BY line"
FIELDS: Final[list[tuple[dict[str, Any], int, str]]] = [
    ({"bounding": "none"}, 400, "request_invalid"), ({"bounding": ["clip"]}, 400, "request_invalid"),
    ({"bounding": "groups", "groups": 0}, 400, "request_invalid"), ({"groups": -1}, 400, "request_invalid"),
    ({"groups": float("nan")}, 400, "request_invalid"), ({"groups": 2**70}, 400, "request_invalid"),
    ({"groups": 1.5}, 400, "request_invalid"), ({"per_group": 0}, 400, "request_invalid"), ({"per_group": "x"}, 400, "request_invalid"),
    ({"rows": 10**9}, 400, "rows_not_an_edge"), ({"version": 9}, 404, "version_unknown"), ({"version": "x"}, 400, "request_invalid"),
    ({"within": float("inf"), "epsilon": None}, 400, "request_invalid"), ({"within": "-1", "epsilon": None}, 400, "request_invalid"),
    ({"within": float("nan"), "epsilon": None}, 400, "request_invalid"), ({"within": 1e-9, "epsilon": None}, 400, "within_too_small"),
    ({"epsilon": float("nan")}, 400, "request_invalid"), ({"epsilon": "-inf"}, 400, "request_invalid"),
    ({"sql": "SELECT count(*) FROM city.one WHERE line = '\ud800'"}, 400, "request_invalid"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "status", "code"), FIELDS, ids=[json.dumps(f[0])[:40] for f in FIELDS])
def test_a_bad_field_is_one_clear_problem(town: City, fields: dict[str, Any], status: int, code: str) -> None:
    told = {key: value for key, value in {"sql": SQL, "epsilon": "0.1", **fields}.items() if value is not None}
    for explain in (False, True):
        got = town.call("POST", "/v1/queries", {**told, "explain": explain}, Idempotency_Key="bad-field-1")
        is_one_clear_problem(got, status, code)


@promise("P6.3")
def test_a_key_of_one_question_buys_no_other_of_the_larger_language(town: City) -> None:
    first = town.ask(f"SELECT median(delay) {ONE}", "bad-reused", epsilon="0.1")
    assert first.status_code == 200, first.text
    for told in ({"bounding": "rows"}, {"rows": 1}, {"groups": 1}, {"epsilon": "0.2"}):
        got = town.ask(f"SELECT median(delay) {ONE}", "bad-reused", **{"epsilon": "0.1", **told})
        is_one_clear_problem(got, 409, "idempotency_key_reused")
    assert town.ask(f"SELECT median(delay) {ONE}", "bad-reused", epsilon="0.1").json() == first.json()


# --- tables -----------------------------------------------------------------------------------------------------------

AGGREGATES: Final = (
    "count(*), count(delay), count(DISTINCT rider), count(DISTINCT note), sum(flat), avg(flat), variance(flat), stddev(delay), "
    "median(flat), min(delay), max(day), percentile_cont(ARRAY[0.25, 0.75]) WITHIN GROUP (ORDER BY flat), "
    "histogram(delay, 0, 50, 5), approx_top_k(line, 2)"
)
SHORT: Final = "count(*), count(DISTINCT rider), sum(flat), avg(flat), variance(flat)"
"""Of a private key there may be so many that quantiles of each have a rung of many seconds."""


@pytest.mark.parametrize(
    ("table", "where"), [("one", "hour < 3"), ("one", "TRUE"), ("own", "TRUE")], ids=["no row passes", "one unit", "one owns all"]
)
def test_every_aggregate_is_answered_over_almost_nothing(town: City, table: str, where: str) -> None:
    """Numbers within their own intervals, and the column of no width right whatever is there."""
    for number, (keys, more) in enumerate([("line", {}), ("note", {}), ("line", {"bounding": "clip"})]):
        asked = "count(*), sum(delay), avg(flat)" if more else SHORT if keys == "note" else AGGREGATES
        filtered = "" if where == "TRUE" else f" WHERE {where}"
        sql = f"SELECT {keys}, {asked} FROM city.{table}{filtered} GROUP BY {keys}"
        got = town.ask(sql, f"few-{table}-{len(where)}-{number}", epsilon="0.2", **more)
        assert got.status_code == 200, got.text[:400]
        body = got.json()
        assert body["rows"] or keys == "note", "one unit alone has no key that may be shown"
        for row, low, high in zip(body["rows"], body["low"], body["high"], strict=True):
            for column, value, least, most in zip(body["columns"], row, low, high, strict=True):
                if column["kind"] in {"count", "sum", "avg"}:
                    assert least <= value <= most
                if column["label"] in {"avg", "median"}:
                    assert value == 7
                if column["kind"] == "quantiles":
                    assert value == [7, 7]


def test_a_dataset_without_a_row_is_refused_and_leaves_nothing(town: City) -> None:
    for name, lines in (("city.none", []), ("city.useless", [line(""), ",,,,,,,,\n"])):
        found = load(town, name, lines)
        assert (found["state"], found["error"]["code"]) == ("failed", "ingest_empty")
        assert all(name in render("ingest_empty", found["error"]["params"], language) for language in ("en", "zh"))
        assert town.call("GET", f"/v1/datasets/{name}").status_code == 404


# --- keys -------------------------------------------------------------------------------------------------------------


@promise("P5.3")
def test_keys_that_are_missing_empty_huge_or_spelled_apart(town: City) -> None:
    """Texts are NFC: two spellings are one key. What is over 4,096 bytes is missing, and so is a cell of nothing."""
    got = town.ask("SELECT note, count(*) AS n FROM city.odd GROUP BY note", "odd-keys", epsilon="3")
    assert got.status_code == 200, got.text[:400]
    shown = {row[0]: row[1] for row in got.json()["rows"]}
    assert shown.keys() == {None, "", NFC, "x" * 4096, "a\nb"}
    wanted = {None: 2 * EACH + 1, "": EACH, NFC: 2 * EACH, "x" * 4096: EACH, "a\nb": EACH}
    assert all(abs(shown[key] - count) < 60 for key, count in wanted.items()), shown


@pytest.mark.parametrize("spelled", [NFC, NFD], ids=["composed", "decomposed"])
@pytest.mark.parametrize("condition", ["note = '{}'", "note LIKE '%{}'", "note IN ('{}', '?')", "upper(note) = upper('{}')"])
def test_a_text_is_found_however_it_is_spelled(town: City, spelled: str, condition: str) -> None:
    """The second spelling asks the same question: its answer is the first one's, and free."""
    told = condition.format(spelled)
    got = town.ask(f"SELECT count(*) FROM city.odd WHERE {told}", f"spelled-{ascii(told).encode().hex()}", epsilon="0.5")
    assert got.status_code == 200, got.text[:400]
    assert abs(got.json()["rows"][0][0] - 2 * EACH) < 60


@promise("P5.3")
@pytest.mark.parametrize("many", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_as_many_private_keys_as_units_show_only_what_many_share(tmp_path: Path, many: int) -> None:
    """Everybody has a key of their own, which nobody may see, and three hundred share one, which everybody may."""
    model: CostModel = dataclasses.replace(PATIENT, fixed=many / 80_000)
    with city(tmp_path, model=model) as town:
        lines = [line(f"r{i}", note=f"key{i}") for i in range(many)] + [line(f"s{i}", note="shared") for i in range(EACH)]
        assert load(town, "city.keys", lines, rows=2 * many)["state"] == "committed"
        town.grant(["city.keys"])
        got = town.ask("SELECT note, count(*), sum(flat) FROM city.keys GROUP BY note", "million-keys", epsilon="2")
        assert got.status_code == 200, got.text[:400]
        assert [row[0] for row in got.json()["rows"]] == ["shared"]
        assert abs(got.json()["rows"][0][1] - EACH) < 60
