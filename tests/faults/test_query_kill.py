"""kill -9 after every step of a query: ledger, log and objects agree afterwards, and nobody pays or draws twice."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox.audit.export import verify_bundle
from sandbox.clock import Clock
from sandbox.crash import VARIABLE
from sandbox.errors import DependencyFailed
from sandbox.flow import STEPS, Principal
from sandbox.query import answer, ends
from sandbox.store import ledger, queries
from tests.faults.one_query import request_of
from tests.house import City, bundle_of, city, opened
from tests.promises import promise
from tests.trips import some_rows

POINTS = [s for s in STEPS if s not in {"authenticate", "hold"}]
POINTS.insert(POINTS.index("settle"), "stored")
"""`stored`: the noisy numbers lie sealed, the query does not say so yet."""


@dataclass(frozen=True)
class Prepared:
    """A home with data and a grant, to be copied for each point."""

    home: Path
    keys: dict[str, str]
    grant: str
    principal: str
    tenant: str


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("faults")
    with city(folder) as town:
        town.load(some_rows(10))
        grant = town.grant()
        me = town.ok("GET", "/v1/me")
        keys = dict(town.keys)
    return Prepared(folder / "home", keys, grant, me["id"], me["tenant"])


def spent_of(town: City, grant: str) -> int:
    with town.house.sessions.reading() as session:
        ((_, _, spent),) = ledger.read_caps(session, [("grant", grant)])
    return spent.eps_p


@promise("P6.2", "P6.3")
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_leaves_ledger_log_and_objects_in_agreement(prepared: Prepared, point: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(prepared.home, home)
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.one_query", str(home), prepared.principal, prepared.tenant],
        env=os.environ | {VARIABLE: point}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    charged = POINTS.index(point) >= POINTS.index("charge")
    with opened(home, prepared.keys) as town:
        assert spent_of(town, prepared.grant) == (10**11 if charged else 0)
        assert verify_bundle(*bundle_of(town)) == []
        stored = {k: _bytes(home, k) for k in town.house.objects.list("v1/answers/")}
        assert bool(stored) == (POINTS.index(point) >= POINTS.index("stored"))
        _resume(town)
        assert verify_bundle(*bundle_of(town)) == []
        for key, before in stored.items():
            assert _bytes(home, key) == before, "noise that was stored is not drawn again"
        again = answer.submit(town.house.parts(), request_of(prepared.principal, prepared.tenant))
        answer.finish(town.house.parts(), again)
        ends.end(town.house.parts(), again)
        assert spent_of(town, prepared.grant) == 10**11, "the same question is paid for once"
        with town.house.sessions.reading() as session:
            records = queries.list_own(session, prepared.tenant)
        assert [r.state for r in records] == ["settled"]
        assert records[0].attempt == (2 if charged and POINTS.index(point) < POINTS.index("settle") else 1)


def _resume(town: City) -> None:
    """The duty, an hour later: the lease of the killed process has run out."""
    later = Clock(lambda: datetime.now(UTC) + timedelta(seconds=20))
    parts = dataclasses.replace(town.house.parts(), clock=later)
    while (pending := ends.take_over(parts)) is not None:
        answer.finish(parts, pending)
        ends.end(parts, pending)


def _bytes(home: Path, key: str) -> bytes:
    found = [p for p in (home / "objects").rglob("*") if p.is_file() and p.name == key.rsplit("/", 1)[1]]
    assert len(found) == 1, json.dumps([str(p) for p in found])
    return found[0].read_bytes()


@promise("P6.2")
def test_an_answer_that_is_stored_outlives_every_process_that_would_have_settled_it(prepared: Prepared, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(prepared.home, home)
    subprocess.run(
        [sys.executable, "-m", "tests.faults.one_query", str(home), prepared.principal, prepared.tenant],
        env=os.environ | {VARIABLE: "stored"}, capture_output=True, check=False,
    )  # fmt: skip
    with opened(home, prepared.keys) as town:
        (key,) = town.house.objects.list("v1/answers/")
        before = _bytes(home, key)
        for hours in (1, 2, 3):  # takes it over, and dies before the rung
            later = Clock(lambda hours=hours: datetime.now(UTC) + timedelta(hours=hours))  # type: ignore[misc]
            pending = ends.take_over(dataclasses.replace(town.house.parts(), clock=later))
            assert pending is not None
            assert pending.charged is not None
            assert pending.charged.attempt == hours + 1
        answer.finish(town.house.parts(), pending)
        ends.end(town.house.parts(), pending)
        with town.house.sessions.reading() as session:
            (record,) = queries.list_own(session, prepared.tenant)
        assert (record.state, _bytes(home, key)) == ("settled", before), "and no second noise is drawn"


@promise("P6.2")
def test_a_query_that_dies_twice_ends_as_failed_and_stays_charged(prepared: Prepared, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(prepared.home, home)
    subprocess.run(
        [sys.executable, "-m", "tests.faults.one_query", str(home), prepared.principal, prepared.tenant],
        env=os.environ | {VARIABLE: "charge"}, capture_output=True, check=False,
    )  # fmt: skip
    with opened(home, prepared.keys) as town:
        for hours in (1, 2):
            clock = Clock(lambda hours=hours: datetime.now(UTC) + timedelta(hours=hours))  # type: ignore[misc]
            with town.house.sessions.begin() as session:
                taken = queries.take_over(session, clock, "wrk_other", 1.0)
            assert (taken is not None) == (hours == 1)
        with town.house.sessions.reading() as session:
            (record,) = queries.list_own(session, prepared.tenant)
        assert record.state == "failed"
        assert spent_of(town, prepared.grant) == 10**11
        got = town.call("GET", f"/v1/answers/{record.id}")
        assert (got.status_code, got.json()["code"]) == (409, "answer_not_ready"), "nothing shows before the rung"
        later = dataclasses.replace(town.house.parts(), clock=Clock(lambda: datetime.now(UTC) + timedelta(hours=3)))
        with pytest.raises(DependencyFailed, match="query_no_answer"):
            answer.read(later, Principal(id=prepared.principal, tenant=prepared.tenant, roles=frozenset()), record.id)
