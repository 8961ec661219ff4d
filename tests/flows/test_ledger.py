"""The ledger under pressure: a cap is spent to the last drop and no further, whoever asks and however many at once."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.flow import Cost
from sandbox.store import ledger, queries
from tests import house
from tests.house import City, city
from tests.promises import promise
from tests.trips import some_rows

CLIENTS, WORTH = 16, 150


@promise("P1.2", "P6.1", "P6.2")
def test_sixteen_clients_get_exactly_what_the_cap_is_worth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house, "PATIENT", dataclasses.replace(house.PATIENT, fixed=0.08))  # one at a time, for a rung each
    with city(tmp_path) as town:
        town.load(some_rows(6))
        grant = town.grant(epsilon="1.5")

        def ask(i: int) -> int:
            return town.ask(f"SELECT count(*) AS n{i} FROM city.trips", f"race-{i:04d}", epsilon="0.01").status_code

        with ThreadPoolExecutor(CLIENTS) as pool:
            codes = list(pool.map(ask, range(WORTH + 40)))
        answered, refused = codes.count(200), codes.count(403)
        with town.house.sessions.reading() as session:
            ((_, cap, spent),) = ledger.read_caps(session, [("grant", grant)])
            charged = queries.list_own(session, queries.list_own(session, _tenant(town))[0].tenant, "", 1000)
        assert len(charged) == WORTH, "charges"
        assert spent.eps_p == WORTH * 10**10 == cap.epsilon
        assert codes.count(429) + answered + refused + codes.count(503) == len(codes)
        assert refused == len(codes) - WORTH - codes.count(429)
        assert _caps_agree(town, grant)


def _tenant(town: City) -> str:
    return str(town.ok("GET", "/v1/me")["tenant"])


def _caps_agree(town: City, grant: str) -> bool:
    """Grant, dataset and population have all been charged the same."""
    with town.house.sessions.reading() as session:
        record = queries.list_own(session, _tenant(town))[0]
        keys = ledger.keys_of(grant=grant, datasets=[record.priced["form"]["tables"][0]["dataset"]], population=record.population)
        spent = {key: (s.eps_p, s.rho) for key, _, s in ledger.read_caps(session, keys)}
    return len(set(spent.values())) == 1 and Cost() is not None
