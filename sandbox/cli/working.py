"""Working for a home: a process that runs duties beside the gateways, and the upgrade of its database."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

from sandbox.crypto.suite import INTL
from sandbox.errors import Conflict, IntegrityFailed
from sandbox.gateway.logs import configure
from sandbox.settings import load
from sandbox.store import migrations
from sandbox.store.connecting import is_url
from sandbox.wiring import only_writer, open_house
from sandbox.work import duties
from sandbox.work.presence import present

_log = logging.getLogger("sandbox.work")


def run(home: Path) -> None:
    """Run the duties until SIGTERM or SIGINT, then let go of every lease.

    Raises:
        Conflict: `work_embedded`, on SQLite the gateway does it.
        SandboxError: what `open_house` raises.
    """
    settings = load(home)
    if not is_url(settings.database):
        raise Conflict("work_embedded", home=str(home))
    configure(settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    digest = settings.digest(INTL.digest)
    with (
        open_house(home, settings) as house,
        present(house.sessions, house.clock, worker_id=house.worker_id, role="worker", settings=digest),
    ):
        _log.info("settings %s", digest)
        worker = duties.start(house)
        try:
            sys.stdout.write(f"ready as {house.worker_id}\n")
            sys.stdout.flush()
            stop.wait()
        finally:
            worker.stop(settings.stop_seconds)


def migrate(home: Path) -> tuple[str | None, str]:
    """Bring a home's database to this release's schema; gives the revision it had, and the one it has.

    Processes of the release before go on answering meanwhile: what migrations add, they do not look at. They do not
    start again on the new schema; processes of this release do.

    Raises:
        IntegrityFailed: `schema_foreign`, the database is a newer release's, or none at all; nothing was done.
        Conflict: `home_in_use`, a gateway serves it from its SQLite file: stop it first.
        DependencyFailed: `database_…`.
    """
    home = home.absolute()
    settings = load(home)
    database, password = settings.database_in(home), settings.password_in(home)
    with nullcontext() if is_url(settings.database) else only_writer(home / settings.work, "migrate"):
        found, head = migrations.current(database, password_file=password), migrations.head()
        if found != head and not migrations.is_older(found):
            raise IntegrityFailed("schema_foreign", found=found, known=head)
        if found != head:
            migrations.upgrade(database, password_file=password)
    return found, head
