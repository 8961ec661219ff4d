"""Who holds a key is found by its digest alone, and nobody's name reaches the log."""

from __future__ import annotations

import pytest

from sandbox.errors import Conflict, NotFound, RequestError, SandboxError
from sandbox.flow import Principal
from sandbox.store import log, principals
from sandbox.store import tables as t
from tests.unit.store.home import Home

DIGEST = "ab" * 32


def policy_version(home: Home) -> int:
    with home.sessions.reading() as session:
        return log.policy_version(session)


def found(home: Home, digest: str = DIGEST) -> Principal | None:
    with home.sessions.reading() as session:
        return principals.authenticate(session, digest)


def give_key(home: Home) -> str:
    with home.sessions.begin() as session:
        return principals.create_key(session, home.clock, actor=log.SYSTEM, principal=home.engineer.id, sha256=DIGEST)


def test_a_key_proves_its_principal_until_it_is_revoked(home: Home) -> None:
    assert found(home) is None
    version = policy_version(home)
    key = give_key(home)
    assert policy_version(home) == version + 1
    assert found(home) == home.engineer
    assert found(home, "cd" * 32) is None
    with home.sessions.begin() as session:
        assert principals.keys_of(session, home.engineer.id) == [key]
        principals.revoke_key(session, home.clock, actor=log.SYSTEM, key=key)
        principals.revoke_key(session, home.clock, actor=log.SYSTEM, key=key)
        assert principals.keys_of(session, home.engineer.id) == []
    assert found(home) is None
    assert len(home.events("key.revoke")) == 1


def test_a_principal_that_is_not_active_is_nobody(home: Home) -> None:
    give_key(home)
    with home.sessions.begin() as session:
        session.get_one(t.PrincipalRow, home.engineer.id).state = "suspended"
    assert found(home) is None
    with pytest.raises(NotFound), home.sessions.begin() as session:
        principals.create_key(session, home.clock, actor=log.SYSTEM, principal=home.engineer.id, sha256="ef" * 32)


def test_names_stay_out_of_the_log(home: Home) -> None:
    with home.sessions.begin() as session:
        record = principals.create_principal(
            session, home.clock, actor=log.SYSTEM, tenant=home.company, name="  Lin Meihua ", roles=["engineer"] * 2
        )
        assert (record.name, record.roles) == ("Lin Meihua", ("engineer",))
        assert principals.get(session, record.id) == record
    give_key(home)
    bodies = b"".join(row.body for row in home.events())
    for name in (b"Meihua", b"Somebody", b"Company", DIGEST.encode()):
        assert name not in bodies
    assert {row.tenant for row in home.events("key.create")} == {home.company}


def test_lists_go_by_keyset(home: Home) -> None:
    with home.sessions.reading() as session:
        everybody = principals.list_principals(session)
        assert principals.list_principals(session, everybody[1].id, 2) == everybody[2:4]
        tenants = principals.list_tenants(session)
        assert principals.list_tenants(session, tenants[0].id, 1) == tenants[1:2]
        assert principals.find_tenant(session, " Company ") == principals.find_tenant(session, home.company)
        assert principals.find_tenant(session, "Nobody") is None


@pytest.mark.parametrize(
    ("roles", "code", "nearest"),
    [
        (["engeneer"], "role_unknown", "engineer"),
        ([], "roles_missing", None),
        (["role:auditor"], "role_unknown", "auditor"),
    ],
)
def test_roles_are_known_ones(home: Home, roles: list[str], code: str, nearest: str | None) -> None:
    with pytest.raises(RequestError) as caught, home.sessions.begin() as session:
        principals.create_principal(session, home.clock, actor=log.SYSTEM, tenant=home.company, name="x", roles=roles)
    assert (caught.value.code, caught.value.params.get("nearest")) == (code, nearest)


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("Company", "company", "tenant_exists"),
        ("New", "ministry", "tenant_kind_unknown"),
        ("", "company", "name_refused"),
        ("a\nb", "company", "name_refused"),
        ("x" * 121, "company", "name_refused"),
        ("\ud800", "company", "name_refused"),
    ],
)
def test_a_tenant_that_is_refused(home: Home, name: str, kind: str, code: str) -> None:
    with pytest.raises((RequestError, Conflict)) as caught, home.sessions.begin() as session:
        principals.create_tenant(session, home.clock, actor=log.SYSTEM, name=name, kind=kind)
    assert caught.value.code == code


def test_what_is_not_there_is_not_found(home: Home) -> None:
    with home.sessions.begin() as session:
        for call in (
            lambda: principals.create_principal(
                session, home.clock, actor=log.SYSTEM, tenant="ten_none", name="x", roles=["engineer"]
            ),
            lambda: principals.create_key(session, home.clock, actor=log.SYSTEM, principal="prn_none", sha256="x"),
            lambda: principals.revoke_key(session, home.clock, actor=log.SYSTEM, key="key_none"),
        ):
            with pytest.raises(SandboxError) as caught:
                call()
            assert caught.value.status == 404
