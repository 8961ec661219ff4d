"""Making a home: built whole beside its place, then moved there, so that half a home is never found."""

from __future__ import annotations

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
from sandbox.settings import Settings
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


def make_home(home: Path, operator: str) -> Made:
    """Make a home at a path where nothing is, or an empty folder.

    Raises:
        Conflict: `home_exists`, `home_not_empty`.
        RequestError: `name_refused`.
        DependencyFailed: `database_failed`, `key_file_failed`.
    """
    home = home.absolute()
    if (home / settings_module.FILE).exists():
        raise Conflict("home_exists", home=str(home))
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise Conflict("home_not_empty", home=str(home))
    home.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{home.name}.", dir=home.parent))
    try:
        made = _fill(building, home, operator)
        building.rename(home)  # over an empty folder as well
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    _sync(home.parent)
    return made


def _fill(folder: Path, home: Path, operator: str) -> Made:
    log_name = f"sandbox/{uuid_utils.uuid7()}"
    settings = Settings(log_name=log_name)
    for name in (settings.root_key.parent, settings.objects, settings.work, *settings.sources):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    RootKey.create(folder / settings.root_key)
    public = vkey(log_name, INTL.public_key(create_log_key(folder / settings.log_key)))
    (folder / settings.log_vkey).write_text(public + "\n", "utf-8")
    migrations.upgrade(folder / settings.database)
    principal, key = _first_principal(folder / settings.database, log_name, operator)
    (folder / settings_module.FILE).write_text(_TEMPLATE.format(log_name=log_name), "utf-8")
    return Made(home=home, principal=principal, key=key, vkey=public)


def _first_principal(database: Path, log_name: str, operator: str) -> tuple[str, str]:
    """The operator, with the first events of the log."""
    sessions, clock, key = Sessions(database), Clock(), new_key()
    try:
        with sessions.begin() as session:
            log.append(session, clock, "home.create", actor=SYSTEM, subject=log_name, details={"log": log_name})
            tenant = principals.create_tenant(session, clock, actor=SYSTEM, name=operator, kind="operator")
            principal = principals.create_principal(
                session, clock, actor=SYSTEM, tenant=tenant.id, name=operator, roles=["operator"]
            )
            principals.create_key(session, clock, actor=SYSTEM, principal=principal.id, sha256=digest_of(key))
    finally:
        sessions.close()
    return principal.id, key


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
