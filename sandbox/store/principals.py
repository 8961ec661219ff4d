"""Organisations, the people and programs that act for them, and the digests of their keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from sandbox.clock import Clock
from sandbox.errors import Conflict, NotFound, RequestError
from sandbox.flow import Principal
from sandbox.ids import new_id
from sandbox.names import nearest
from sandbox.policy.decisions import ROLE_NAMES
from sandbox.store import log
from sandbox.store import tables as t
from sandbox.store.writing import insert_new

KINDS: Final[Mapping[str, str]] = {
    "operator": "operator",
    "owner": "steward",
    "committee": "committee",
    "company": "engineer",
    "supervisor": "auditor",
}
"""The kinds of organisation, each with the one role of its people: nobody judges or audits the own side."""

_ACTIVE: Final = "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRecord:
    """An organisation."""

    id: str
    name: str
    kind: str
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalRecord:
    """Somebody who acts; `name` is for people to read and stays out of the log."""

    id: str
    tenant: str
    name: str
    roles: tuple[str, ...]
    state: str
    created_at: str

    @property
    def principal(self) -> Principal:
        """As the flow knows it."""
        return Principal(id=self.id, tenant=self.tenant, roles=frozenset(self.roles))


def authenticate(session: Session, sha256: str) -> Principal | None:
    """Who holds the key of this SHA-256 (hex): an active principal by an active key, or nobody."""
    row = session.execute(
        select(t.PrincipalRow.id, t.PrincipalRow.tenant, t.PrincipalRow.roles)
        .join(t.ApiKey, t.ApiKey.principal == t.PrincipalRow.id)
        .where(t.ApiKey.sha256 == sha256, t.ApiKey.state == _ACTIVE, t.PrincipalRow.state == _ACTIVE)
    ).one_or_none()
    return None if row is None else Principal(id=row.id, tenant=row.tenant, roles=frozenset(row.roles))


def create_tenant(session: Session, clock: Clock, *, actor: Principal, name: str, kind: str) -> TenantRecord:
    """Admit an organisation; event `tenant.create`.

    Raises:
        RequestError: `tenant_kind_unknown`, `name_refused`.
        Conflict: `tenant_exists`.
    """
    if kind not in KINDS:
        raise RequestError("tenant_kind_unknown", kind=kind, kinds=list(KINDS))
    name = _named(name)
    row = t.Tenant(id=new_id("ten"), name=name, kind=kind, created_at=clock.text())
    if not insert_new(session, row):
        raise Conflict("tenant_exists", tenant=name)
    log.append(
        session, clock, "tenant.create", actor=actor, subject=row.id, details={"tenant": row.id, "kind": kind},
        tenant=row.id, records=[row],
    )  # fmt: skip
    return _tenant(row)


def create_principal(
    session: Session, clock: Clock, *, actor: Principal, tenant: str, name: str, roles: Collection[str]
) -> PrincipalRecord:
    """Let somebody act for an organisation; event `principal.create`, without the name.

    Raises:
        NotFound: `tenant_unknown`.
        RequestError: `role_unknown` with the nearest one, `roles_missing`, `name_refused`.
    """
    if session.get(t.Tenant, tenant) is None:
        raise NotFound("tenant_unknown", tenant=tenant)
    row = t.PrincipalRow(
        id=new_id("prn"), tenant=tenant, name=_named(name), roles=_checked(roles), state=_ACTIVE,
        created_at=clock.text(),
    )  # fmt: skip
    session.add(row)
    log.bump_policy(session)
    log.append(
        session, clock, "principal.create", actor=actor, subject=row.id,
        details={"principal": row.id, "tenant": tenant, "roles": row.roles}, tenant=tenant, records=[row],
    )  # fmt: skip
    return _principal(row)


def check_roles(kind: str, roles: Collection[str]) -> None:
    """An organisation's people have the role of its kind and no other, so that the roles exclude each other.

    Raises:
        RequestError: `role_unknown`, `roles_missing`, `role_not_of_kind`.
    """
    wanted, role = _checked(roles), KINDS[kind]
    if wanted != [role]:
        raise RequestError("role_not_of_kind", kind=kind, role=role, roles=wanted)


def create_key(session: Session, clock: Clock, *, actor: Principal, principal: str, sha256: str) -> str:
    """Give a principal one more key, known here by its SHA-256 alone; event `key.create`. Gives the key's id.

    Raises:
        NotFound: `principal_unknown`.
        Conflict: `key_exists`.
    """
    owner = _active_principal(session, principal)
    row = t.ApiKey(id=new_id("key"), principal=principal, sha256=sha256, state=_ACTIVE, created_at=clock.text())
    if not insert_new(session, row):
        raise Conflict("key_exists")
    log.bump_policy(session)
    log.append(
        session, clock, "key.create", actor=actor, subject=row.id, details={"key": row.id, "principal": principal},
        tenant=owner.tenant, records=[row],
    )  # fmt: skip
    return row.id


def revoke_key(session: Session, clock: Clock, *, actor: Principal, key: str) -> None:
    """Make a key useless from now on; event `key.revoke`. A second time changes nothing.

    Raises:
        NotFound: `key_unknown`.
    """
    row = session.get(t.ApiKey, key, populate_existing=True, with_for_update=True)
    if row is None:
        raise NotFound("key_unknown", key=key)
    if row.state != _ACTIVE:
        return
    owner = session.get_one(t.PrincipalRow, row.principal)
    row.state = "revoked"
    log.bump_policy(session)
    log.append(
        session, clock, "key.revoke", actor=actor, subject=row.id, details={"key": row.id, "principal": row.principal},
        tenant=owner.tenant, records=[row],
    )  # fmt: skip


def keys_of(session: Session, principal: str) -> list[str]:
    """The ids of a principal's active keys, oldest first."""
    query = select(t.ApiKey.id).where(t.ApiKey.principal == principal, t.ApiKey.state == _ACTIVE).order_by(t.ApiKey.id)
    return list(session.scalars(query))


def get(session: Session, principal: str) -> PrincipalRecord | None:
    """One principal."""
    row = session.get(t.PrincipalRow, principal)
    return None if row is None else _principal(row)


def list_principals(session: Session, after: str = "", limit: int = 100) -> list[PrincipalRecord]:
    """Principals in order of their ids, after one of them."""
    query = select(t.PrincipalRow).where(t.PrincipalRow.id > after).order_by(t.PrincipalRow.id).limit(limit)
    return [_principal(row) for row in session.scalars(query)]


def find_tenant(session: Session, name: str) -> TenantRecord | None:
    """The organisation of that name or id."""
    row = session.scalar(select(t.Tenant).where((t.Tenant.name == name.strip()) | (t.Tenant.id == name)))
    return None if row is None else _tenant(row)


def list_tenants(session: Session, after: str = "", limit: int = 100) -> list[TenantRecord]:
    """Organisations in order of their ids, after one of them."""
    query = select(t.Tenant).where(t.Tenant.id > after).order_by(t.Tenant.id).limit(limit)
    return [_tenant(row) for row in session.scalars(query)]


def _active_principal(session: Session, principal: str) -> t.PrincipalRow:
    row = session.get(t.PrincipalRow, principal, populate_existing=True, with_for_update={"read": True})
    if row is None or row.state != _ACTIVE:
        raise NotFound("principal_unknown", principal=principal)
    return row


def _named(name: str) -> str:
    name = name.strip()
    if not 0 < len(name) <= 120 or not name.isprintable():
        raise RequestError("name_refused", limit=120)
    return name


def _checked(roles: Collection[str]) -> list[str]:
    for role in roles:
        if role not in ROLE_NAMES:
            near = nearest(role, ROLE_NAMES, cutoff=0.4)
            raise RequestError("role_unknown", role=role, nearest=near, roles=list(ROLE_NAMES))
    if not roles:
        raise RequestError("roles_missing", roles=list(ROLE_NAMES))
    return sorted(set(roles))


def _tenant(row: t.Tenant) -> TenantRecord:
    return TenantRecord(id=row.id, name=row.name, kind=row.kind, created_at=row.created_at)


def _principal(row: t.PrincipalRow) -> PrincipalRecord:
    return PrincipalRecord(
        id=row.id, tenant=row.tenant, name=row.name, roles=tuple(row.roles), state=row.state, created_at=row.created_at
    )
