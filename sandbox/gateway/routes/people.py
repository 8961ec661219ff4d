"""Who acts: the caller, organisations, principals and their keys."""

from __future__ import annotations

from fastapi import APIRouter

from sandbox.errors import NotFound
from sandbox.gateway.access import At, Caller, permit
from sandbox.gateway.described import PROBLEM
from sandbox.gateway.keys import digest_of, new_key
from sandbox.gateway.pages import After, Limit, page
from sandbox.schemas import Me, NewPrincipal, Page, Principal, PrincipalAsk, Revoked, Tenant, TenantAsk
from sandbox.store import principals as store

router = APIRouter(prefix="/v1", tags=["people"])


@router.get("/me", responses={404: PROBLEM})
def me(gate: At, caller: Caller) -> Me:
    """Whom the key stands for."""
    with gate.house.sessions.reading() as session:
        record = store.get(session, caller.id)
        tenant = store.find_tenant(session, caller.tenant)
    if record is None or tenant is None:
        raise NotFound("principal_unknown", principal=caller.id)
    return Me(id=record.id, tenant=tenant.id, tenant_name=tenant.name, name=record.name, roles=list(record.roles))


@router.post("/tenants", status_code=201)
def add_tenant(ask: TenantAsk, gate: At, caller: Caller) -> Tenant:
    """Register an organisation."""
    permit(gate, caller, "principal", "add")
    with gate.house.sessions.begin() as session:
        return _tenant(store.create_tenant(session, gate.house.clock, actor=caller, name=ask.name, kind=ask.kind))


@router.get("/tenants")
def list_tenants(gate: At, caller: Caller, after: After = "", limit: Limit = 100) -> Page[Tenant]:
    """Organisations, oldest first."""
    permit(gate, caller, "principal", "list")
    with gate.house.sessions.reading() as session:
        found = store.list_tenants(session, after, limit + 1)
    return page(found, limit, lambda t: t.id, _tenant)


@router.post("/principals", status_code=201)
def add_principal(ask: PrincipalAsk, gate: At, caller: Caller) -> NewPrincipal:
    """Register a person or program with a first key, which this answer alone tells."""
    permit(gate, caller, "principal", "add")
    key, clock = new_key(), gate.house.clock
    with gate.house.sessions.begin() as session:
        tenant = store.find_tenant(session, ask.tenant)
        if tenant is None:
            raise NotFound("tenant_unknown", tenant=ask.tenant)
        store.check_roles(tenant.kind, ask.roles)
        made = store.create_principal(session, clock, actor=caller, tenant=tenant.id, name=ask.name, roles=ask.roles)
        key_id = store.create_key(session, clock, actor=caller, principal=made.id, sha256=digest_of(key))
    return NewPrincipal(id=made.id, tenant=tenant.id, key_id=key_id, key=key)


@router.get("/principals")
def list_principals(gate: At, caller: Caller, after: After = "", limit: Limit = 100) -> Page[Principal]:
    """Principals, oldest first, with the ids of the keys that work."""
    permit(gate, caller, "principal", "list")
    with gate.house.sessions.reading() as session:
        found = [(p, store.keys_of(session, p.id)) for p in store.list_principals(session, after, limit + 1)]
    return page(found, limit, lambda pair: pair[0].id, _principal)


@router.post("/keys/{key_id}/revoke")
def revoke_key(key_id: str, gate: At, caller: Caller) -> Revoked:
    """Make a key useless from now on."""
    permit(gate, caller, "principal", "add")
    with gate.house.sessions.begin() as session:
        store.revoke_key(session, gate.house.clock, actor=caller, key=key_id)
    return Revoked(id=key_id)


def _tenant(record: store.TenantRecord) -> Tenant:
    return Tenant(id=record.id, name=record.name, kind=record.kind, created_at=record.created_at)


def _principal(pair: tuple[store.PrincipalRecord, list[str]]) -> Principal:
    record, keys = pair
    return Principal(
        id=record.id,
        tenant=record.tenant,
        name=record.name,
        roles=list(record.roles),
        state=record.state,
        created_at=record.created_at,
        keys=keys,
    )
