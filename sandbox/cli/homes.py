"""Opening a home from a verb that works beside its gateway, or instead of it: its parts, without serving them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sandbox import settings as settings_module
from sandbox.clock import Clock
from sandbox.crypto.keys import RootKey, load_log_key
from sandbox.crypto.suite import INTL
from sandbox.errors import Conflict, DependencyFailed, IntegrityFailed, RequestError
from sandbox.objects.choose import open_objects
from sandbox.settings import Settings, load
from sandbox.store import cosignatures
from sandbox.store.connecting import is_url
from sandbox.store.sessions import Sessions
from sandbox.wiring import check_schema, only_writer, open_sessions
from sandbox.work.backup import Source
from sandbox.work.outside import compare, look_outside
from sandbox.work.reconcile import Home
from sandbox.work.tree import Tree
from sandbox.work.witnesses import Witness


@contextmanager
def source_of(home: Path) -> Iterator[tuple[Source, tuple[Path, Path]]]:
    """What a backup reads of a home, and where its keys are.

    Raises:
        RequestError, IntegrityFailed, DependencyFailed: as opening the home does.
    """
    home = home.absolute()
    settings = load(home)
    check_schema(settings.database_in(home), settings.password_in(home))
    try:
        text = (home / settings_module.FILE).read_text("utf-8")
    except OSError:
        raise RequestError("settings_unreadable", file=settings_module.FILE) from None
    sessions = open_sessions(home, settings)
    keys = home / settings.root_key, home / settings.log_key
    try:
        yield (
            Source(
                sessions=sessions, clock=Clock(), objects=open_objects(home, settings), root_key=RootKey.load(keys[0]),
                log_key=load_log_key(keys[1]), log_name=settings.log_name, settings=text,
            ),
            keys,
        )  # fmt: skip
    finally:
        sessions.close()


@contextmanager
def home_of(home: Path) -> Iterator[Home]:
    """What reconciling works with. On SQLite no gateway starts meanwhile; one that runs is told of.

    Raises:
        RequestError, IntegrityFailed, DependencyFailed: as opening the home does.
    """
    home = home.absolute()
    settings = load(home)
    check_schema(settings.database_in(home), settings.password_in(home))
    with ExitStack() as held:
        beside = False
        if not is_url(settings.database):
            try:
                held.enter_context(only_writer(home / settings.work, settings.digest(INTL.digest)))
            except Conflict:
                beside = True
        sessions = open_sessions(home, settings)
        held.callback(sessions.close)
        yield Home(
            sessions=sessions, clock=Clock(), objects=open_objects(home, settings),
            root_key=RootKey.load(home / settings.root_key), log_key=load_log_key(home / settings.log_key),
            log_name=settings.log_name, witnesses=tuple(map(Witness.parse, settings.witnesses)),
            alone=settings.start_without_witnesses, beside=beside,
        )  # fmt: skip


def check_published(home: Path, settings: Settings, sessions: Sessions) -> Iterator[str]:
    """The home's log is what the object store and the witnesses hold of it; tells what each of them holds.

    Raises:
        IntegrityFailed: `home_rolled_back`, `home_forked`, or what was published is no checkpoint of this log.
        DependencyFailed: `home_unchecked`, or the object store's own code.
        OSError: the public key cannot be read.
    """
    witnesses = tuple(map(Witness.parse, settings.witnesses))
    key = (home / settings.log_vkey).read_text("utf-8").strip()  # whether it fits the log key is another check
    with sessions.reading() as session:
        own = cosignatures.note(session)
    outside = look_outside(open_objects(home, settings), witnesses, key, own=own, copies=True)
    with sessions.reading() as session:
        found = compare(session, Tree(), outside)
    if found is not None:
        raise IntegrityFailed(found)
    if witnesses and not outside.answered:
        raise DependencyFailed("home_unchecked")
    return iter([f"{known.source}: {known.size}" for known in outside.known])
