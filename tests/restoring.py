"""What tests of backups share: a published house, backups by the real parts, and homes made of them."""

from __future__ import annotations

from pathlib import Path

from sandbox.audit.export import verify_bundle
from sandbox.cli.homes import home_of, source_of
from sandbox.clock import Clock
from sandbox.store import ledger
from sandbox.work.backup import Made, make
from sandbox.work.publish import Publisher
from sandbox.work.reconcile import Done, reconcile
from sandbox.work.restore import Restored, Wanted, restore
from tests.house import City, bundle_of

SQL = "SELECT count(*) FROM city.trips"
UNIT = 10**12


def publish(town: City) -> None:
    """Number all events, sign, and lay them into the object store."""
    house = town.house
    town.sequence()
    publisher = Publisher(
        house.sessions, house.clock, house.objects, house.root_key, name=house.log_name, key=house.log_key,
        retention_days=1,
    )  # fmt: skip
    while publisher.run():
        pass


def back_up(home: Path, folder: Path, *, copies: bool = False) -> Made:
    """A backup, as the verb makes it."""
    with source_of(home) as (source, _):
        return make(source, folder, copies=copies)


def home_from(backup: Path, home: Path, old: Path, **wanted: object) -> Restored:
    """A home of a backup, with the old one's keys and over its objects."""
    told = {"keys": old / "keys", "objects": str(old / "objects"), **wanted}
    return restore(backup, Wanted(home=home, **told), Clock())  # type: ignore[arg-type]


def reconciled(home: Path, *, unseen: bool = False) -> Done:
    """What the verb does."""
    with home_of(home) as parts:
        return reconcile(parts, unseen=unseen)


def spent(town: City, grant: str) -> int:
    """What a grant's cap has spent, in 1e-12."""
    with town.house.sessions.reading() as session:
        ((_, _, cost),) = ledger.read_caps(session, [("grant", grant)])
    return cost.eps_p


def findings(town: City, *earlier: str) -> list[str]:
    """What the auditor's verifier finds."""
    bundle, vkey = bundle_of(town)
    return verify_bundle(bundle, vkey, earlier)
