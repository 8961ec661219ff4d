"""Shapes of organisations, principals and keys."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sandbox.schemas.wire import Id, Name, Wire


class TenantAsk(Wire):
    """An organisation to register; `kind` is operator, owner, committee, company or supervisor."""

    name: Name
    kind: Id


class Tenant(Wire):
    """An organisation."""

    id: str
    name: str
    kind: str
    created_at: str


class PrincipalAsk(Wire):
    """A person or program to register; `tenant` is an id or a name.

    Roles: operator, steward, committee, engineer, auditor.
    """

    name: Name
    tenant: Name
    roles: Annotated[list[Id], Field(min_length=1, max_length=5)]


class Principal(Wire):
    """A person or program, and the ids of its keys that work (never a key)."""

    id: str
    tenant: str
    name: str
    roles: list[str]
    state: str
    created_at: str
    keys: list[str]


class Revoked(Wire):
    """A key that works no more."""

    id: str
    state: Literal["revoked"] = "revoked"


class NewPrincipal(Wire):
    """A new principal's id and its key, which is told this once."""

    id: str
    tenant: str
    key_id: str
    key: str


class Me(Wire):
    """Whom the key stands for."""

    id: str
    tenant: str
    tenant_name: str
    name: str
    roles: list[str]
