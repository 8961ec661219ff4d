"""The tables, as SQLAlchemy declares them; nothing outside `sandbox.store` imports this."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, LargeBinary, MetaData, String, Text, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import JSON

ID = String(48)
AT = String(24)
BIG = BigInteger


class Row(DeclarativeBase):
    """Base of all rows; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Tenant(Row):
    """An organisation: the operator, an owning bureau, a company, the supervisor."""

    __tablename__ = "tenants"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)
    kind: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[str] = mapped_column(AT)


class PrincipalRow(Row):
    """A person or program that acts, with its roles."""

    __tablename__ = "principals"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    tenant: Mapped[str] = mapped_column(ID, index=True)
    name: Mapped[str] = mapped_column(String(120))
    roles: Mapped[list[str]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[str] = mapped_column(AT)


class ApiKey(Row):
    """The SHA-256 of an API key, never the key."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    principal: Mapped[str] = mapped_column(ID, index=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    state: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[str] = mapped_column(AT)


class PopulationRow(Row):
    """A population, its declared facts and its wrapped key."""

    __tablename__ = "populations"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    tenant: Mapped[str] = mapped_column(ID, index=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    suite: Mapped[str] = mapped_column(String(20))
    wrapped_key: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[str] = mapped_column(AT)


class CapRow(Row):
    """One cap of the ledger, with its frozen frontier and what is spent under it (P1.2). Units 1e-12, 1e-18."""

    __tablename__ = "caps"
    scope: Mapped[str] = mapped_column(String(12), primary_key=True)
    subject: Mapped[str] = mapped_column(ID, primary_key=True)
    tenant: Mapped[str] = mapped_column(ID, index=True)
    epsilon: Mapped[int] = mapped_column(BIG)
    delta: Mapped[int] = mapped_column(BIG)
    conversion: Mapped[int] = mapped_column(BIG)
    frontier: Mapped[list[list[str]]] = mapped_column(JSON)
    spent_eps_p: Mapped[int] = mapped_column(BIG)
    spent_rho: Mapped[int] = mapped_column(BIG)
    spent_delta: Mapped[int] = mapped_column(BIG)
    created_at: Mapped[str] = mapped_column(AT)
    __table_args__ = (
        CheckConstraint("spent_eps_p >= 0 AND spent_eps_p <= epsilon", name="eps_p_in_cap"),
        CheckConstraint("spent_rho >= 0", name="rho_positive"),
        CheckConstraint("spent_delta >= 0 AND spent_delta + conversion <= delta", name="delta_in_cap"),
    )


class LedgerRow(Row):
    """One charge against one cap; a request's step is charged once."""

    __tablename__ = "ledger"
    request: Mapped[str] = mapped_column(ID, primary_key=True)
    step: Mapped[str] = mapped_column(String(20), primary_key=True)
    scope: Mapped[str] = mapped_column(String(12), primary_key=True)
    subject: Mapped[str] = mapped_column(ID, primary_key=True)
    tenant: Mapped[str] = mapped_column(ID, index=True)
    eps_p: Mapped[int] = mapped_column(BIG)
    rho: Mapped[int] = mapped_column(BIG)
    delta: Mapped[int] = mapped_column(BIG)
    event: Mapped[str] = mapped_column(ID)
    at: Mapped[str] = mapped_column(AT)
    __table_args__ = (
        CheckConstraint("eps_p >= 0 AND rho >= 0 AND delta >= 0", name="no_refund"),
        Index("ix_ledger_cap", "scope", "subject"),
    )


class DatasetRow(Row):
    """A dataset lineage: its manifest as last accepted; caps hang on it, not on versions."""

    __tablename__ = "datasets"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    tenant: Mapped[str] = mapped_column(ID, index=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)
    population: Mapped[str | None] = mapped_column(ID, index=True)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    bits: Mapped[int]
    created_at: Mapped[str] = mapped_column(AT)
    state: Mapped[str] = mapped_column(String(20), default="active", server_default="active")


class VersionRow(Row):
    """A committed, immutable version; `kind` says how it came to be, `state` whether questions may still read it."""

    __tablename__ = "versions"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    dataset: Mapped[str] = mapped_column(ID, index=True)
    tenant: Mapped[str] = mapped_column(ID, index=True)
    number: Mapped[int]
    suite: Mapped[str] = mapped_column(String(20))
    wrapped_key: Mapped[bytes] = mapped_column(LargeBinary)
    manifest_object: Mapped[str] = mapped_column(String(200))
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[str] = mapped_column(AT)
    kind: Mapped[str] = mapped_column(String(20), default="add", server_default="add")
    state: Mapped[str] = mapped_column(String(20), default="open", server_default="open")
    __table_args__ = (UniqueConstraint("dataset", "number"),)


class RemovalRow(Row):
    """A dataset's destruction: one person proposes, one of another organisation confirms, a certificate remains."""

    __tablename__ = "removals"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    dataset: Mapped[str] = mapped_column(ID, index=True)
    tenant: Mapped[str] = mapped_column(ID, index=True)
    proposed_by: Mapped[str] = mapped_column(ID)
    confirmed_by: Mapped[str | None] = mapped_column(ID)
    state: Mapped[str] = mapped_column(String(20), index=True)
    reason: Mapped[str] = mapped_column(String(2000))
    certificate: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[str] = mapped_column(AT)


class IngestRow(Row):
    """An ingest: a leased duty with its life cycle, its progress, and a report for people cleared for the data."""

    __tablename__ = "ingests"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    tenant: Mapped[str] = mapped_column(ID, index=True)
    dataset: Mapped[str] = mapped_column(String(120), index=True)
    principal: Mapped[str] = mapped_column(ID)
    manifest: Mapped[str] = mapped_column(Text)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    version: Mapped[str | None] = mapped_column(ID)
    state: Mapped[str] = mapped_column(String(20), index=True)
    attempt: Mapped[int]
    lease_owner: Mapped[str | None] = mapped_column(ID)
    lease_until: Mapped[str | None] = mapped_column(AT)
    progress: Mapped[dict[str, Any]] = mapped_column(JSON)
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[str] = mapped_column(AT)
    kind: Mapped[str] = mapped_column(String(20), default="add", server_default="add")
    reason: Mapped[str] = mapped_column(String(2000), default="", server_default="")
    __table_args__ = (
        # Two that begin at one time would build two versions from one; the database lets one of them in.
        Index(
            "uq_ingests_under_way",
            "dataset",
            unique=True,
            sqlite_where=text("state IN ('queued', 'running')"),
            postgresql_where=text("state IN ('queued', 'running')"),
        ),
    )


class ApplicationRow(Row):
    """A company's application for one scenario."""

    __tablename__ = "applications"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    tenant: Mapped[str] = mapped_column(ID, index=True)
    principal: Mapped[str] = mapped_column(ID)
    terms: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(20), index=True)
    created_at: Mapped[str] = mapped_column(AT)


class VoteRow(Row):
    """A consent of a data owner (`consent:<dataset>`) or a member's vote (`review`); once each."""

    __tablename__ = "votes"
    application: Mapped[str] = mapped_column(ID, primary_key=True)
    round: Mapped[str] = mapped_column(String(160), primary_key=True)
    principal: Mapped[str] = mapped_column(ID, primary_key=True)
    tenant: Mapped[str] = mapped_column(ID, index=True)
    approve: Mapped[bool]
    reason: Mapped[str] = mapped_column(String(2000))
    at: Mapped[str] = mapped_column(AT)


class GrantRow(Row):
    """What an approved application became."""

    __tablename__ = "grants"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    tenant: Mapped[str] = mapped_column(ID, index=True)
    application: Mapped[str] = mapped_column(ID, unique=True)
    terms: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(20), index=True)
    starts_at: Mapped[str] = mapped_column(AT)
    expires_at: Mapped[str] = mapped_column(AT)
    created_at: Mapped[str] = mapped_column(AT)


class QueryRow(Row):
    """A paid query: what a resume needs, and where its answer lies; or a free one, made from another's answer.

    `question` and `basis` are digests of what was asked and of what it rests on (P6.4), `clipping` of the vectors whose
    norms it releases (P5.3); `source` is the query whose stored answer a free one is made from.
    """

    __tablename__ = "queries"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    tenant: Mapped[str] = mapped_column(ID, index=True)
    principal: Mapped[str] = mapped_column(ID, index=True)
    grant: Mapped[str] = mapped_column(ID, index=True)
    population: Mapped[str] = mapped_column(ID, index=True)
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    priced: Mapped[dict[str, Any]] = mapped_column(JSON)
    version: Mapped[str] = mapped_column(ID)
    state: Mapped[str] = mapped_column(String(20), index=True)
    attempt: Mapped[int]
    lease_owner: Mapped[str | None] = mapped_column(ID)
    lease_until: Mapped[str | None] = mapped_column(AT)
    charged_at: Mapped[str] = mapped_column(AT)
    rung_ms: Mapped[int]
    event: Mapped[str] = mapped_column(ID)
    answer_object: Mapped[str | None] = mapped_column(String(200))
    answer_sha256: Mapped[str | None] = mapped_column(String(64))
    question: Mapped[str | None] = mapped_column(String(64))
    basis: Mapped[str | None] = mapped_column(String(64))
    source: Mapped[str | None] = mapped_column(ID)
    clipping: Mapped[str | None] = mapped_column(String(64))
    __table_args__ = (
        Index("ix_queries_question", "grant", "version", "question"),
        Index("ix_queries_basis", "grant", "version", "basis"),
        Index("ix_queries_clipping", "grant", "version", "clipping"),
    )


class IdempotencyRow(Row):
    """What a principal's idempotency key was used for."""

    __tablename__ = "idempotency"
    principal: Mapped[str] = mapped_column(ID, primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    resource: Mapped[str] = mapped_column(ID)
    at: Mapped[str] = mapped_column(AT)


class EventRow(Row):
    """An event: its canonical bytes, and its place in the log once the sequencer has given it one.

    `seq` orders insertions: whoever has seen an event's effects writes with a larger one, whatever the clocks say.
    """

    __tablename__ = "events"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    idx: Mapped[int | None] = mapped_column(BIG, unique=True)
    seq: Mapped[int | None] = mapped_column(BIG)
    at: Mapped[str] = mapped_column(AT)
    type: Mapped[str] = mapped_column(String(40), index=True)
    tenant: Mapped[str] = mapped_column(ID, index=True)
    subject: Mapped[str] = mapped_column(ID, index=True)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    leaf: Mapped[str] = mapped_column(String(64))
    __table_args__ = (
        Index("uq_events_seq", "seq", unique=True),
        Index("ix_events_waiting", "seq", sqlite_where=text("idx IS NULL"), postgresql_where=text("idx IS NULL")),
        Index("ix_events_own", "tenant", "id"),
    )


class TileRow(Row):
    """A full tile of the tree: 256 hashes of 32 bytes, which never change."""

    __tablename__ = "tiles"
    level: Mapped[int] = mapped_column(primary_key=True)
    idx: Mapped[int] = mapped_column(BIG, primary_key=True)
    hashes: Mapped[bytes] = mapped_column(LargeBinary)


class CheckpointRow(Row):
    """A signed note over the tree of the first `size` events."""

    __tablename__ = "checkpoints"
    size: Mapped[int] = mapped_column(BIG, primary_key=True)
    root: Mapped[str] = mapped_column(String(64))
    note: Mapped[str] = mapped_column(Text)
    at: Mapped[str] = mapped_column(AT)


class CosignatureRow(Row):
    """A witness's signature line under the checkpoint of that size."""

    __tablename__ = "cosignatures"
    size: Mapped[int] = mapped_column(BIG, primary_key=True)
    witness: Mapped[str] = mapped_column(String(200), primary_key=True)
    line: Mapped[str] = mapped_column(Text)
    at: Mapped[str] = mapped_column(AT)


class ProcessRow(Row):
    """A gateway or worker: with which settings it started, and when it was last alive."""

    __tablename__ = "processes"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    role: Mapped[str] = mapped_column(String(20))
    host: Mapped[str] = mapped_column(String(200))
    release: Mapped[str] = mapped_column(String(40))
    settings: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[str] = mapped_column(AT)
    seen_at: Mapped[str] = mapped_column(AT)


class HomeStateRow(Row):
    """One row: whether the home may be written to, and why not."""

    __tablename__ = "home_state"
    id: Mapped[int] = mapped_column(primary_key=True)
    mode: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(String(200))
    at: Mapped[str] = mapped_column(AT)


class DutyRow(Row):
    """A duty's last success, last error, and lease; `fence` grows with every lease, so that a sleeper finds out."""

    __tablename__ = "duties"
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    last_ok: Mapped[str | None] = mapped_column(AT)
    error: Mapped[str | None] = mapped_column(String(200))
    lease_owner: Mapped[str | None] = mapped_column(ID)
    lease_until: Mapped[str | None] = mapped_column(AT)
    fence: Mapped[int] = mapped_column(BIG, default=0, server_default="0")


class PolicyVersionRow(Row):
    """Counts changes of principals and grants, so that every process knows when to look again."""

    __tablename__ = "policy_version"
    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BIG)


class CalibrationRow(Row):
    """The cost model's coefficients, measured on synthetic data when the gateway first starts on a machine."""

    __tablename__ = "calibrations"
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[dict[str, Any]] = mapped_column(JSON)
    at: Mapped[str] = mapped_column(AT)
