"""A migrated home in a folder, with organisations, people, one population and its datasets: real rows, no mocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from sqlalchemy.orm import Session

from sandbox.clock import Clock
from sandbox.committee import applications
from sandbox.committee.terms import draft
from sandbox.flow import Cost, Principal
from sandbox.ids import new_id
from sandbox.policy.terms import Application, Grant, Terms
from sandbox.privacy import accounting
from sandbox.privacy.accounting import UNIT, Cap
from sandbox.store import committee, ledger, log, migrations, principals, queries
from sandbox.store import tables as t
from sandbox.store.queries import NewQuery, QueryRecord
from sandbox.store.sessions import Sessions

START = datetime(2026, 11, 20, 8, tzinfo=UTC)
N_IDS = 1_000_000
POPULATION_DELTA = accounting.default_delta(100_000)


COST = Cost(eps_p=UNIT // 10)
LEASE = 60.0


def half(rho: int, _delta: int) -> int:
    """A conversion that is as good as any for arithmetic: epsilon = 2 rho."""
    return 2 * rho


def small_cap(epsilon: int = 10 * UNIT, delta: int = POPULATION_DELTA) -> Cap:
    """A cap that opens in no time."""
    return accounting.open_cap(epsilon=epsilon, delta=delta, conversion=delta // 2, epsilon_of_rho=half)


class Home:
    """Everything a test of the store needs; `minutes(n)` lets time pass."""

    def __init__(self, folder: Path, database: str = "", password_file: Path | None = None) -> None:
        """On an SQLite file in the folder, or on a migrated database of a server."""
        self.path = folder / "home.db"
        if not database:
            migrations.upgrade(self.path)
        self.sessions = Sessions(database or self.path, password_file=password_file, pool=20)
        self._at = START
        self.clock = Clock(lambda: self._at)
        with self.sessions.begin() as session:
            self.bureau = self._tenant(session, "Health bureau", "owner")
            self.company = self._tenant(session, "Company", "company")
            self.rival = self._tenant(session, "Rival", "company")
            self.board = self._tenant(session, "Data committee", "committee")
            self.steward = self._principal(session, self.bureau, "steward")
            self.engineer = self._principal(session, self.company, "engineer")
            self.other_engineer = self._principal(session, self.rival, "engineer")
            self.members = [self._principal(session, self.board, "committee") for _ in range(3)]
            self.population = self.add_population(session, "residents")
            self.datasets = {name: self.add_dataset(session, name) for name in ("health.visits", "health.survey")}
            self.add_dataset(session, "health.births", consent=True)
            self.add_dataset(session, "health.codes", population=None)

    def minutes(self, count: float) -> None:
        self._at += timedelta(minutes=count)

    def _tenant(self, session: Session, name: str, kind: str) -> str:
        return principals.create_tenant(session, self.clock, actor=log.SYSTEM, name=name, kind=kind).id

    def _principal(self, session: Session, tenant: str, *roles: str) -> Principal:
        return principals.create_principal(
            session, self.clock, actor=log.SYSTEM, tenant=tenant, name="Somebody", roles=roles
        ).principal

    def add_population(self, session: Session, name: str, *, n_ids: int = N_IDS, delta: int = POPULATION_DELTA) -> str:
        row = t.PopulationRow(
            id=new_id("pop"), tenant=self.bureau, name=name, spec={"n_ids": n_ids}, suite="intl", wrapped_key=b"k",
            created_at=self.clock.text(),
        )  # fmt: skip
        session.add(row)
        log.append(
            session, self.clock, "population.add", actor=self.steward, subject=row.id, details={"population": row.id},
            records=[row],
        )  # fmt: skip
        self._open(session, "population", row.id, small_cap(delta=delta), n_ids)
        return row.id

    def add_dataset(
        self, session: Session, name: str, *, consent: bool = False, population: str | None = "residents",
        owner: str | None = None,
    ) -> str:  # fmt: skip
        row = t.DatasetRow(
            id=new_id("ds"), tenant=owner or self.bureau, name=name,
            population=self.population if population == "residents" else population, spec={"consent": consent}, bits=0,
            created_at=self.clock.text(),
        )  # fmt: skip
        session.add(row)
        log.append(
            session, self.clock, "dataset.add", actor=self.steward, subject=row.id, details={"dataset": row.id},
            records=[row],
        )  # fmt: skip
        if row.population:
            self._open(session, "dataset", row.id, small_cap(), N_IDS)
        return row.id

    def _open(self, session: Session, scope: ledger.Scope, subject: str, cap: Cap, n_ids: int) -> None:
        spent = Cost(delta=accounting.delta_0(n_ids))
        ledger.open_cap(
            session, self.clock, self.steward, scope=scope, subject=subject, tenant=self.bureau, cap=cap, spent=spent
        )

    def terms(self, *datasets: str, days: float = 30, **changes: object) -> Terms:
        values: dict[str, object] = {
            "scenario": "Plan clinics",
            "purpose": "health planning",
            "datasets": datasets or ("health.visits",),
            "actions": ("query",),
            "preset": "standard",
            "epsilon": None,
            "starts_at": None,
            "expires_at": (self._at + timedelta(days=days)).isoformat(),
            "now": self.clock.text(),
        }
        if "epsilon" in changes:
            values |= {"preset": None, "epsilon": Decimal(str(changes.pop("epsilon")))}
        return draft(**{**values, **changes})  # type: ignore[arg-type]

    def submit(self, *datasets: str, by: Principal | None = None, **changes: object) -> Application:
        with self.sessions.begin() as session:
            terms = self.terms(*datasets, **changes)  # type: ignore[arg-type]
            return applications.submit(session, self.clock, by or self.engineer, terms)

    def vote(self, application: Application, member: int, *, approve: bool = True) -> Application:
        with self.sessions.begin() as session:
            return applications.vote(session, self.clock, self.members[member], application.id, approve=approve)

    def grant(self, *datasets: str, by: Principal | None = None, **changes: object) -> Grant:
        application = self.submit(*datasets, by=by, **changes)
        for member in (0, 1):
            self.vote(application, member)
        with self.sessions.reading() as session:
            found = committee.get_grant(session, committee.grant_of_application(session, application.id) or "")
        assert found is not None
        return found

    def events(self, type_: str = "") -> list[t.EventRow]:
        from sqlalchemy import select

        with self.sessions.reading() as session:
            rows = session.scalars(select(t.EventRow).order_by(t.EventRow.id)).all()
        return [row for row in rows if row.type.startswith(type_)]

    def rows(self, model: type[t.Row]) -> list[dict[str, object]]:
        """A table's rows as plain values."""
        from sqlalchemy import select

        with self.sessions.reading() as session:
            return [dict(row) for row in session.execute(select(*model.__table__.columns)).mappings()]


def ask(
    home: Home,
    grant: Grant,
    *,
    by: Principal | None = None,
    key: tuple[str, str] | None = None,
    cost: Cost = COST,
    population: str = "",
) -> QueryRecord:
    """A charged query; in another population, under no lineage's cap."""
    query = NewQuery(
        id=new_id("qry"), grant=grant.id, population=population or home.population, request={"sql": "SELECT 1"},
        priced={"n": 2**60}, plan="ab" * 32, version="ver_1", rung_ms=250,
    )  # fmt: skip
    datasets = [] if population else [home.datasets["health.visits"]]
    passing = ledger.keys_of(grant=grant.id, datasets=datasets, population=query.population)
    with home.sessions.begin() as session:
        return queries.insert_charged(
            session, home.clock, actor=by or home.engineer, query=query, step="main", keys=passing, cost=cost,
            idempotency=key, worker="wrk_1", lease_seconds=LEASE,
        )  # fmt: skip
