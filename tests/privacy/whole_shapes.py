"""The plan shapes whose answers are audited over HTTP: questions, what a score is made of, and the rows they are asked of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.trips import Row

T: Final = "FROM city.trips"
SHARED: Final = 44
"""Riders beside the target who paid the target's fare: so many that it is as likely as not whether that key is shown."""
TARGET: Final[list[Row]] = [("target", "B", h, 1300 - h, "150", 1, "2013-05-05") for h in range(10)]
"""A unit that gives all it may: to one line, one month and one fare, in ten hours, with ten delays of its own."""


def others() -> list[Row]:
    """Riders of one row: as many in each hour, line and month; their delays put the median where one unit moves it."""
    rows: list[Row] = []
    for i in range(144):
        fare = "150" if i < SHARED else str(10 + i % 7)
        delay = 600 if i < 73 else 601
        rows.append((f"r{i}", "ABC"[i // 24 % 3], i % 24, delay, fare, i % 2, f"2013-{1 + i % 12:02}-11"))
    return rows


def cells(body: Mapping[str, Any]) -> list[float]:
    """All numbers of an answer, in their order: what is not a key."""
    keys = [column["kind"] == "key" for column in body["columns"]]
    found: list[float] = []
    for row in body["rows"]:
        for key, cell in zip(keys, row, strict=True):
            if not key:
                found += cell if isinstance(cell, list) else [cell]
    return found


def said(value: Any) -> Callable[[Mapping[str, Any]], list[float]]:
    """In how many groups a selection chose this value; of groups by the hour, in how many that the target is in."""

    def found(body: Mapping[str, Any]) -> list[float]:
        rows = [row for row in body["rows"] if len(row) == 1 or row[0] < len(TARGET)]
        return [float(sum(value in row[-1] for row in rows))]

    return found


def key_of_target(body: Mapping[str, Any]) -> list[float]:
    """Whether the target's key is shown, what is told of it, and the sum of what is told of all."""
    own = [row[1] for row in body["rows"] if row[0] == 150]
    return [float(bool(own)), float(sum(own)), float(sum(row[1] for row in body["rows"]))]


def hours_of_target(body: Mapping[str, Any]) -> list[float]:
    """Each number's sum over the hours in which the target has a row."""
    width = len(body["columns"])
    return [float(sum(row[i] for row in body["rows"] if row[0] < len(TARGET))) for i in range(1, width)]


def clipped(body: Mapping[str, Any]) -> list[float]:
    """The numbers, and their noise: it tells at which norm vectors were clipped, so what the first stage released."""
    return cells(body) + [float(column["scale"]) for column in body["columns"] if column["kind"] != "key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One plan shape: a question, and the numbers that its answer is told apart by."""

    sql: str
    noises: frozenset[str]
    """The kinds of noise that its price must have chosen, so that every one of them is audited."""
    epsilon: str = "1"
    asked: Mapping[str, Any] = field(default_factory=dict)
    numbers: Callable[[Mapping[str, Any]], list[float]] = cells


def _shape(sql: str, *noises: str, **more: Any) -> Shape:
    return Shape(sql=sql.replace("{T}", T), noises=frozenset(noises), **more)


SHAPES: Final[dict[str, Shape]] = {
    "count": _shape("SELECT count(*) {T}", "laplace"),
    "grouped sum": _shape("SELECT line, count(*), sum(delay) {T} GROUP BY line", "laplace"),
    "filtered": _shape("SELECT count(*) {T} WHERE delay > 1000", "laplace"),
    "units": _shape("SELECT count(DISTINCT rider) {T}", "laplace"),
    "grouped units": _shape("SELECT hour, count(DISTINCT rider) {T} GROUP BY hour", "laplace"),
    "many numbers": _shape(
        "SELECT hour, count(*), count(DISTINCT rider) {T} GROUP BY hour", "gaussian", epsilon="3",
        numbers=hours_of_target, asked={"bounding": "groups", "groups": 10, "per_group": 1},
    ),
    "histogram": _shape("SELECT histogram(fare, 0, 200, 4) {T}", "laplace"),
    "many": _shape("SELECT line, extract(month FROM day) AS m, count(*) {T} GROUP BY line, m", "laplace"),
    "average": _shape("SELECT avg(delay) {T}", "laplace"),
    "variance": _shape("SELECT variance(delay) {T}", "laplace"),
    "per unit and group": _shape(
        "SELECT hour, count(*), sum(delay) {T} GROUP BY hour", "laplace",
        asked={"bounding": "groups", "groups": 2, "per_group": 1},
    ),
    "clip": _shape(
        "SELECT line, count(*), sum(delay) {T} GROUP BY line", "gaussian", epsilon="6", numbers=clipped,
        asked={"bounding": "clip"},
    ),
    "distinct values": _shape("SELECT count(DISTINCT delay) {T}", "laplace"),
    "quantile": _shape("SELECT median(delay) {T}", "exponential"),
    "top": _shape("SELECT approx_top_k(extract(month FROM day), 1) {T}", "exponential", numbers=said(5)),
    "top of many groups": _shape(
        "SELECT hour, approx_top_k(line, 1) {T} GROUP BY hour", "gumbel", asked={"rows": 10}, numbers=said("B")
    ),
    "private keys": _shape("SELECT fare, count(*) {T} GROUP BY fare", "laplace", numbers=key_of_target),
    "private keys of many": _shape(
        "SELECT fare, count(*) {T} WHERE hour < 5 GROUP BY fare", "gaussian", epsilon="5", numbers=key_of_target,
        asked={"bounding": "groups", "groups": 10, "per_group": 1},
    ),
    "aggregates of a unit": _shape(
        "WITH r AS (SELECT rider, count(*) AS n, sum(delay) AS s {T} GROUP BY rider) SELECT n, count(*), sum(s) FROM r GROUP BY n",
        "laplace",
    ),
    "union": _shape("SELECT sum(x) FROM (SELECT delay AS x {T} UNION ALL SELECT hour {T}) u", "laplace"),
    "self join": _shape("SELECT count(*) {T} a JOIN city.trips b USING (rider) WHERE a.hour < b.hour", "laplace"),
}
