"""The first schema: every table of the spine, and the triggers that keep the log and the ledger as written."""

from __future__ import annotations

from typing import TypeVar

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

from sandbox.store.migrations.triggers import FIRST

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

T = TypeVar("T")

_ID = sa.String(48)
_AT = sa.String(24)
_BIG = sa.BigInteger()


def upgrade() -> None:
    for make in (_people, _catalogue, _ingests, _money, _committee, _queries, _log, _duties):
        make()
    if op.get_bind().dialect.name == "sqlite":
        for statement in FIRST:
            op.execute(statement)


def _column(name: str, kind: TypeEngine[T]) -> sa.Column[T]:
    return sa.Column(name, kind, nullable=False)


def _null(name: str, kind: TypeEngine[T]) -> sa.Column[T]:
    return sa.Column(name, kind, nullable=True)


def _ids(*names: str) -> list[sa.Column[str]]:
    return [_column(name, _ID) for name in names]


def _people() -> None:
    op.create_table(
        "tenants",
        _column("id", _ID),
        _column("name", sa.String(120)),
        _column("kind", sa.String(20)),
        _column("created_at", _AT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
        sa.UniqueConstraint("name", name=op.f("uq_tenants_name")),
    )
    op.create_table(
        "principals",
        *_ids("id", "tenant"),
        _column("name", sa.String(120)),
        _column("roles", sa.JSON()),
        _column("state", sa.String(20)),
        _column("created_at", _AT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_principals")),
    )
    op.create_index(op.f("ix_principals_tenant"), "principals", ["tenant"])
    op.create_table(
        "api_keys",
        *_ids("id", "principal"),
        _column("sha256", sa.String(64)),
        _column("state", sa.String(20)),
        _column("created_at", _AT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("sha256", name=op.f("uq_api_keys_sha256")),
    )
    op.create_index(op.f("ix_api_keys_principal"), "api_keys", ["principal"])
    op.create_table(
        "policy_version",
        _column("id", sa.Integer()),
        _column("version", _BIG),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_version")),
    )
    op.create_table(
        "idempotency",
        _column("principal", _ID),
        _column("key", sa.String(200)),
        _column("digest", sa.String(64)),
        _column("resource", _ID),
        _column("at", _AT),
        sa.PrimaryKeyConstraint("principal", "key", name=op.f("pk_idempotency")),
    )


def _catalogue() -> None:
    op.create_table(
        "populations",
        *_ids("id", "tenant"),
        _column("name", sa.String(120)),
        _column("spec", sa.JSON()),
        _column("suite", sa.String(20)),
        _column("wrapped_key", sa.LargeBinary()),
        _column("created_at", _AT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_populations")),
        sa.UniqueConstraint("name", name=op.f("uq_populations_name")),
    )
    op.create_index(op.f("ix_populations_tenant"), "populations", ["tenant"])
    op.create_table(
        "datasets",
        *_ids("id", "tenant"),
        _column("name", sa.String(120)),
        _null("population", _ID),
        _column("spec", sa.JSON()),
        _column("bits", sa.Integer()),
        _column("created_at", _AT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datasets")),
        sa.UniqueConstraint("name", name=op.f("uq_datasets_name")),
    )
    op.create_index(op.f("ix_datasets_population"), "datasets", ["population"])
    op.create_index(op.f("ix_datasets_tenant"), "datasets", ["tenant"])
    op.create_table(
        "versions",
        *_ids("id", "dataset", "tenant"),
        _column("number", sa.Integer()),
        _column("suite", sa.String(20)),
        _column("wrapped_key", sa.LargeBinary()),
        _column("manifest_object", sa.String(200)),
        _column("manifest_sha256", sa.String(64)),
        _column("created_at", _AT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_versions")),
        sa.UniqueConstraint("dataset", "number", name=op.f("uq_versions_dataset")),
    )
    op.create_index(op.f("ix_versions_dataset"), "versions", ["dataset"])
    op.create_index(op.f("ix_versions_tenant"), "versions", ["tenant"])


def _ingests() -> None:
    op.create_table(
        "ingests",
        *_ids("id", "tenant"),
        _column("dataset", sa.String(120)),
        _column("principal", _ID),
        _column("manifest", sa.Text()),
        _column("spec", sa.JSON()),
        _null("version", _ID),
        _column("state", sa.String(20)),
        _column("attempt", sa.Integer()),
        _null("lease_owner", _ID),
        _null("lease_until", _AT),
        _column("progress", sa.JSON()),
        _null("report", sa.JSON()),
        _null("error", sa.JSON()),
        _column("created_at", _AT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ingests")),
    )
    op.create_index(op.f("ix_ingests_dataset"), "ingests", ["dataset"])
    op.create_index(op.f("ix_ingests_state"), "ingests", ["state"])
    op.create_index(op.f("ix_ingests_tenant"), "ingests", ["tenant"])


def _money() -> None:
    op.create_table(
        "caps",
        _column("scope", sa.String(12)),
        *_ids("subject", "tenant"),
        _column("epsilon", _BIG),
        _column("delta", _BIG),
        _column("conversion", _BIG),
        _column("frontier", sa.JSON()),
        _column("spent_eps_p", _BIG),
        _column("spent_rho", _BIG),
        _column("spent_delta", _BIG),
        _column("created_at", _AT),
        sa.PrimaryKeyConstraint("scope", "subject", name=op.f("pk_caps")),
        sa.CheckConstraint("spent_eps_p >= 0 AND spent_eps_p <= epsilon", name=op.f("ck_caps_eps_p_in_cap")),
        sa.CheckConstraint("spent_rho >= 0", name=op.f("ck_caps_rho_positive")),
        sa.CheckConstraint("spent_delta >= 0 AND spent_delta + conversion <= delta", name=op.f("ck_caps_delta_in_cap")),
    )
    op.create_index(op.f("ix_caps_tenant"), "caps", ["tenant"])
    op.create_table(
        "ledger",
        _column("request", _ID),
        _column("step", sa.String(20)),
        _column("scope", sa.String(12)),
        *_ids("subject", "tenant"),
        _column("eps_p", _BIG),
        _column("rho", _BIG),
        _column("delta", _BIG),
        _column("event", _ID),
        _column("at", _AT),
        sa.PrimaryKeyConstraint("request", "step", "scope", "subject", name=op.f("pk_ledger")),
        sa.CheckConstraint("eps_p >= 0 AND rho >= 0 AND delta >= 0", name=op.f("ck_ledger_no_refund")),
    )
    op.create_index(op.f("ix_ledger_cap"), "ledger", ["scope", "subject"])
    op.create_index(op.f("ix_ledger_tenant"), "ledger", ["tenant"])


def _committee() -> None:
    op.create_table(
        "applications",
        *_ids("id", "tenant", "principal"),
        _column("terms", sa.JSON()),
        _column("state", sa.String(20)),
        _column("created_at", _AT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_applications")),
    )
    op.create_index(op.f("ix_applications_state"), "applications", ["state"])
    op.create_index(op.f("ix_applications_tenant"), "applications", ["tenant"])
    op.create_table(
        "votes",
        _column("application", _ID),
        _column("round", sa.String(160)),
        *_ids("principal", "tenant"),
        _column("approve", sa.Boolean()),
        _column("reason", sa.String(2000)),
        _column("at", _AT),
        sa.PrimaryKeyConstraint("application", "round", "principal", name=op.f("pk_votes")),
    )
    op.create_index(op.f("ix_votes_tenant"), "votes", ["tenant"])
    op.create_table(
        "grants",
        *_ids("id", "tenant", "application"),
        _column("terms", sa.JSON()),
        _column("state", sa.String(20)),
        _column("starts_at", _AT),
        _column("expires_at", _AT),
        _column("created_at", _AT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
        sa.UniqueConstraint("application", name=op.f("uq_grants_application")),
    )
    op.create_index(op.f("ix_grants_state"), "grants", ["state"])
    op.create_index(op.f("ix_grants_tenant"), "grants", ["tenant"])


def _queries() -> None:
    op.create_table(
        "queries",
        *_ids("id", "tenant", "principal", "grant", "population"),
        _column("request", sa.JSON()),
        _column("priced", sa.JSON()),
        _column("version", _ID),
        _column("state", sa.String(20)),
        _column("attempt", sa.Integer()),
        _null("lease_owner", _ID),
        _null("lease_until", _AT),
        _column("charged_at", _AT),
        _column("rung_ms", sa.Integer()),
        _column("event", _ID),
        _null("answer_object", sa.String(200)),
        _null("answer_sha256", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queries")),
    )
    op.create_index(op.f("ix_queries_grant"), "queries", ["grant"])
    op.create_index(op.f("ix_queries_population"), "queries", ["population"])
    op.create_index(op.f("ix_queries_principal"), "queries", ["principal"])
    op.create_index(op.f("ix_queries_state"), "queries", ["state"])
    op.create_index(op.f("ix_queries_tenant"), "queries", ["tenant"])


def _log() -> None:
    op.create_table(
        "events",
        _column("id", _ID),
        _null("idx", _BIG),
        _column("at", _AT),
        _column("type", sa.String(40)),
        *_ids("tenant", "subject"),
        _column("body", sa.LargeBinary()),
        _column("leaf", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("idx", name=op.f("uq_events_idx")),
    )
    op.create_index(op.f("ix_events_subject"), "events", ["subject"])
    op.create_index(op.f("ix_events_tenant"), "events", ["tenant"])
    op.create_index(op.f("ix_events_type"), "events", ["type"])
    op.create_table(
        "checkpoints",
        _column("size", _BIG),
        _column("root", sa.String(64)),
        _column("note", sa.Text()),
        _column("at", _AT),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_checkpoints")),
    )


def _duties() -> None:
    op.create_table(
        "duties",
        _column("name", sa.String(40)),
        _null("last_ok", _AT),
        _null("error", sa.String(200)),
        _null("lease_owner", _ID),
        _null("lease_until", _AT),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_duties")),
    )
    op.create_table(
        "calibrations",
        _column("name", sa.String(40)),
        _column("value", sa.JSON()),
        _column("at", _AT),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_calibrations")),
    )
