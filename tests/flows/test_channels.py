"""Channels that are not values (9.4): between neighbours, status, bytes, rung and error text are equal."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.house import City, bundle_of, city
from tests.promises import promise
from tests.trips import Row, some_rows

ID = re.compile(r"[a-z]{2,3}_[0-9a-f]{8}-[0-9a-f-]{27}")

HEAVY: list[Row] = [("heavy", "B", 7, 1300, "200", 1, "2013-05-05")] * 300

ASKED: list[dict[str, Any]] = [
    {"sql": "SELECT line, hour, count(*), avg(delay) FROM city.trips GROUP BY line, hour", "epsilon": "0.01"},
    {"sql": "SELECT count(*), sum(fare) FROM city.trips WHERE delay > 1290", "epsilon": "0.01"},
    {"sql": "SELECT count(DISTINCT rider) FROM city.trips", "epsilon": "0.01"},
    {"sql": "SELECT sum(delay / 0) FROM city.trips", "epsilon": "0.01"},
    {"sql": "SELECT sum(delay) FROM city.trips WHERE nothing = 1", "epsilon": "0.01"},
    {"sql": "SELECT count(*) FROM city.trips", "epsilon": "9"},
    {"sql": "SELECT line, count(*) FROM city.trips GROUP BY line", "epsilon": "0.02", "explain": True},
    {"sql": "SELECT day, sum(fare) FROM city.trips GROUP BY day", "within": 1e6, "explain": True},
]


def observed(town: City) -> list[dict[str, Any]]:
    """All that a company sees of its questions, but for noisy values, ids and times."""
    seen: list[dict[str, Any]] = []
    for i, body in enumerate(ASKED):
        explain = bool(body.get("explain"))
        got = town.call("POST", "/v1/queries", body, Idempotency_Key=f"channel-{i}")
        answer = got.json()
        look: dict[str, Any] = {"status": got.status_code}
        if got.status_code == 200 and not explain:
            arrow = town.call("GET", f"/v1/answers/{answer['id']}", Accept="application/vnd.apache.arrow.stream")
            stored = town.house.objects.size(f"v1/answers/{answer['id']}")
            keys = [i for i, c in enumerate(answer["columns"]) if c["kind"] == "key"]
            look |= {
                "bytes": len(arrow.content) if not keys else None, "stored": stored,
                "keys": [[row[k] for k in keys] for row in answer["rows"]],
                **{name: answer[name] for name in ("rung", "price", "epsilon", "left", "columns", "bounds", "facts")},
            }  # fmt: skip
        else:
            look |= {k: v for k, v in json.loads(ID.sub("an id", got.text)).items() if k != "instance"}
        seen.append(look)
    return seen


@promise("P1.3", "P7.1", "P7.2", "P2.5")
def test_neighbours_look_alike_in_all_but_noise(tmp_path: Path) -> None:
    looks = []
    for name, rows in (("full", [*some_rows(20), *HEAVY]), ("less", some_rows(20)), ("one", some_rows(1))):
        folder = tmp_path / name
        folder.mkdir()
        with city(folder) as town:
            town.load(rows)
            town.grant()
            looks.append(observed(town))
    assert [look["status"] for look in looks[0]] == [200, 200, 200, 400, 400, 403, 200, 200]
    for full, less, one in zip(*looks, strict=True):
        assert full == less
        assert full == one


@promise("P1.3", "P7.2")
def test_the_log_says_nothing_of_rows(tmp_path: Path) -> None:
    """Events of neighbours have the same types, shapes and declared contents."""
    shapes = []
    for name, rows in (("full", [*some_rows(20), *HEAVY]), ("less", some_rows(20))):
        folder = tmp_path / name
        folder.mkdir()
        with city(folder) as town:
            town.load(rows)
            town.grant()
            observed(town)
            bundle, _ = bundle_of(town)
            shapes.append([len(e["body"]) // 64 for e in bundle["entries"]])
    assert shapes[0] == shapes[1]
