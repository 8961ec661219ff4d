"""Making a home: built whole beside its place, then moved there, so that half a home is never found."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uuid_utils

from sandbox import settings as settings_module
from sandbox.audit.checkpoint import vkey
from sandbox.clock import Clock
from sandbox.crypto.keys import RootKey, create_log_key
from sandbox.crypto.suite import INTL
from sandbox.errors import Conflict
from sandbox.gateway.keys import digest_of, new_key
from sandbox.settings import checked
from sandbox.store import log, migrations, principals
from sandbox.store.log import SYSTEM
from sandbox.store.sessions import Sessions

_TEMPLATE: Final = """\
# Settings of this gateway; docs/settings.md tells of each one. SANDBOX_… variables come before this file.
# 本网关的设置；说明见 docs/settings.md。环境变量 SANDBOX_… 优先于本文件。

# Names this log to auditors, in every checkpoint. Never change it. 日志名称，写入每个检查点，不可更改。
log_name = "{log_name}"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A new home, its operator's id and key, and the log's public key."""

    home: Path
    principal: str
    key: str
    vkey: str


def make_home(home: Path, operator: str, *, database: str = "", password: Path | None = None) -> Made:
    """Make a home at a path where nothing is, or an empty folder.

    `database` is the URL of a database on a server, with the file of its password; else the home has one of its own.

    Raises:
        Conflict: `home_exists`, `home_not_empty`, `database_not_empty` (another home has that database).
        RequestError: `name_refused`, `database_url_refused`, `database_password_in_url`.
        DependencyFailed: `key_file_failed`, `database_failed`, or why the server does not let us in.
        IntegrityFailed: `database_collation`, `schema_foreign`.
    """
    home = home.absolute()
    if (home / settings_module.FILE).exists():
        raise Conflict("home_exists", home=str(home))
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise Conflict("home_not_empty", home=str(home))
    home.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{home.name}.", dir=home.parent))
    try:
        made = _fill(building, home, operator, _chosen(database, password))
        building.rename(home)  # over an empty folder as well
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    _sync(home.parent)
    return made


def _chosen(database: str, password: Path | None) -> dict[str, str]:
    """What the settings say of the database, if anything."""
    chosen = {"database": database, "database_password": "" if password is None else str(password.absolute())}
    return {name: value for name, value in chosen.items() if value}


def _fill(folder: Path, home: Path, operator: str, chosen: dict[str, str]) -> Made:
    log_name = f"sandbox/{uuid_utils.uuid7()}"
    settings = checked({"log_name": log_name, **chosen}, settings_module.FILE)
    folders = [] if settings.bucket() else [Path(settings.objects)]
    for name in (settings.root_key.parent, settings.work, *folders, *settings.sources):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    RootKey.create(folder / settings.root_key)
    public = vkey(log_name, INTL.public_key(create_log_key(folder / settings.log_key)))
    (folder / settings.log_vkey).write_text(public + "\n", "utf-8")
    password = settings.password_in(folder)
    migrations.upgrade(settings.database_in(folder), password_file=password)
    sessions = Sessions(settings.database_in(folder), password_file=password)
    try:
        principal, key = _first_principal(sessions, log_name, operator)
    finally:
        sessions.close()
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in chosen.items()]
    (folder / settings_module.FILE).write_text(_TEMPLATE.format(log_name=log_name) + "".join(lines), "utf-8")
    return Made(home=home, principal=principal, key=key, vkey=public)


def _first_principal(sessions: Sessions, log_name: str, operator: str) -> tuple[str, str]:
    """The operator, with the first events of the log."""
    clock, key = Clock(), new_key()
    with sessions.begin() as session:
        log.bump_policy(session)  # of two that make a home of one database, the second waits here
        if log.last_at(session) is not None:
            raise Conflict("database_not_empty")
        log.append(session, clock, "home.create", actor=SYSTEM, subject=log_name, details={"log": log_name})
        tenant = principals.create_tenant(session, clock, actor=SYSTEM, name=operator, kind="operator")
        principal = principals.create_principal(
            session, clock, actor=SYSTEM, tenant=tenant.id, name=operator, roles=["operator"]
        )
        principals.create_key(session, clock, actor=SYSTEM, principal=principal.id, sha256=digest_of(key))
    return principal.id, key


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
