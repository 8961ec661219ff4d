"""Budget race: sixteen questions at once, each as large as what is left."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

from sqlalchemy import text
from sqlalchemy.orm import object_session

from sandbox.flow import Cost
from sandbox.store import ledger
from sandbox.store import tables as t
from tests.house import city
from tests.privacy.attacks.desk import Found, main
from tests.trips import some_rows

CLIENTS = 16


def stale(rows: Sequence[t.CapRow], cost: Cost) -> None:
    """The break: looks at what was left before the race; and the database, which would refuse too, looks away."""
    del cost
    session = object_session(rows[0])
    if session is not None:
        session.execute(text("PRAGMA ignore_check_constraints = ON"))


def spent(*, broken: bool) -> float:
    """How many times its cap a grant spends."""
    with tempfile.TemporaryDirectory() as folder, city(Path(folder)) as town:
        town.load(some_rows(6))
        grant = town.grant(epsilon="1")

        def ask(i: int) -> int:
            return town.ask(f"SELECT count(*) AS n{i} FROM city.trips", f"racing-{i:04d}", epsilon="0.9").status_code

        with mock.patch.object(ledger, "_check", stale if broken else ledger._check), ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(ask, range(CLIENTS)))
        with town.house.sessions.reading() as session:
            ((_, cap, paid),) = ledger.read_caps(session, [("grant", grant)])
    return paid.eps_p / cap.epsilon


def attack() -> Found:
    """What sixteen clients at once can spend of one cap."""
    return Found(
        attack="budget race", broken=spent(broken=True), real=spent(broken=False), limit=1.0,
        says=f"where the check is made before the race, {CLIENTS} clients spend {{broken:.1f}} times the cap, on the real "
        "path {real:.1f}",
    )  # fmt: skip


if __name__ == "__main__":
    main(attack())
