"""Reconcile: a restored home gets back, from the object store, the events that it has lost, and what they tell of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.orm import Session

from sandbox.audit.checkpoint import checkpoint_text, sign_note, vkey
from sandbox.audit.merkle import Frontier, leaf_hash
from sandbox.clock import Clock
from sandbox.crypto.keys import RootKey
from sandbox.crypto.suite import INTL
from sandbox.errors import Conflict, DependencyFailed, IntegrityFailed
from sandbox.ports import ObjectStore
from sandbox.store import cosignatures, home_state, log, processes, recover
from sandbox.store.sessions import Sessions
from sandbox.work.guard import tell_restored
from sandbox.work.outside import Outside, look_outside
from sandbox.work.published import Published, read_published
from sandbox.work.witnesses import Witness

_PAGE: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """What reconciling works with. Nobody else may be writing; `beside` says that a gateway runs, read-only."""

    sessions: Sessions
    clock: Clock
    objects: ObjectStore
    root_key: RootKey
    log_key: bytes = field(repr=False)
    log_name: str
    witnesses: tuple[Witness, ...] = ()
    alone: bool = False
    beside: bool = False

    @property
    def vkey(self) -> str:
        """The log's public key."""
        return vkey(self.log_name, INTL.public_key(self.log_key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was done: nothing, if `from_size` is `to_size` and the home was open."""

    from_size: int
    to_size: int
    recovered: int
    lost: tuple[str, ...]
    opened: bool
    silent: tuple[str, ...]


def reconcile(home: Home, *, unseen: bool = False) -> Done:
    """Bring the log up to the newest checkpoint that anybody holds, apply it, say what is lost, and open the home.

    All of it is one transaction, begun after the published events were proved to lead from this home's log to the
    checkpoint that signs them. A second run finds nothing to do. `unseen` opens a restored home of which nobody holds
    any checkpoint: then nothing shows that it is the newest.

    Raises:
        Conflict: `reconcile_running`, the home is open and in use.
        IntegrityFailed: `reconcile_incomplete`, somebody holds more than the object store has events for;
            `reconcile_forked`, this log is not what was published; `reconcile_disagrees`, `reconcile_unseen`; and what
            reading the published events raises.
        DependencyFailed: `reconcile_witnesses`, none of them answers; `object_store_…`, `database_…`.
    """
    with home.sessions.reading() as session:
        state, own = home_state.read(session), cosignatures.note(session)
        alive = [p.id for p in processes.living(session, home.clock)]
    outside = look_outside(home.objects, home.witnesses, home.vkey, own=own, copies=True)
    if home.witnesses and not outside.answered and not home.alone:
        raise DependencyFailed("reconcile_witnesses", witnesses=list(outside.silent))
    published = read_published(home.objects, home.root_key, home.vkey)
    if not outside.known and state.mode != home_state.OPEN and not unseen:
        raise IntegrityFailed("reconcile_unseen")
    with home.sessions.begin(although_frozen=True) as session:
        recover.hold(session)
        state = home_state.read(session)
        size = log.size(session)
        _check_complete(size, outside, published)
        nothing = outside.size <= size
        if state.mode == home_state.OPEN and not nothing and (alive or home.beside):
            raise Conflict("reconcile_running", processes=alive)
        leaves = list(_proved(session, size, outside, published))
        if state.mode == home_state.OPEN and nothing:
            return Done(from_size=size, to_size=size, recovered=0, lost=(), opened=False, silent=outside.silent)
        outcome = _recovered(session, home, size, leaves, published)
        home_state.open_again(session, home.clock)
    return Done(
        from_size=size, to_size=size + len(leaves), recovered=outcome.recovered, lost=outcome.lost, opened=True,
        silent=outside.silent,
    )  # fmt: skip


def _check_complete(size: int, outside: Outside, published: Published | None) -> None:
    """The object store has the events of whatever anybody holds, if this home has not."""
    there = 0 if published is None else published.size
    if outside.size > max(size, there):
        missing = max(outside.known, key=lambda known: known.size)
        raise IntegrityFailed(
            "reconcile_incomplete", source=missing.source, known=missing.size, published=there, size=size
        )


def _proved(session: Session, size: int, outside: Outside, published: Published | None) -> Iterator[bytes]:
    """The leaf hashes of the missing events, after the tree over them and ours has met every checkpoint outside."""
    roots = {known.size: known.root for known in outside.known if known.root is not None}
    edge = Frontier()
    for start in range(0, size, _PAGE):
        for leaf in log.leaves(session, start, min(size, start + _PAGE)):
            edge.push(leaf)
            _meet(edge, roots)
    if published is None or published.size <= size:
        return
    try:
        for body in published.follow(edge):
            _meet(edge, roots)
            yield leaf_hash(body)
    except IntegrityFailed as error:
        if error.code == "published_differs":
            raise IntegrityFailed("reconcile_forked", index=size) from None
        raise


def _meet(edge: Frontier, roots: Mapping[int, bytes]) -> None:
    if edge.size in roots and roots[edge.size] != edge.root():
        raise IntegrityFailed("reconcile_forked", index=edge.size)


def _recovered(
    session: Session, home: Home, size: int, leaves: Sequence[bytes], published: Published | None
) -> recover.Outcome:
    """Read the events again, each still the one that was proved, take them, sign over them, and tell of it."""
    recovery = recover.Recovery(session)
    if published is not None and leaves:
        for index, (body, leaf) in enumerate(zip(published.bodies(size), leaves, strict=True), size):
            if leaf_hash(body) != leaf:
                raise IntegrityFailed("reconcile_forked", index=index)
            recovery.take(index, body)
    last = log.last_at(session)
    if last is not None:
        home.clock.not_before(last)
    if leaves:
        _sign(session, home)
    backup = home_state.read(session).backup
    if backup is not None:
        tell_restored(session, home.clock, backup, size)
    return recovery.close(home.clock, home.log_name, from_size=size)


def _sign(session: Session, home: Home) -> None:
    size, root = log.size(session), Frontier(log.leaves(session)).root()
    note = sign_note(checkpoint_text(home.log_name, size, root), home.log_name, home.log_key)
    log.save_checkpoint(session, size=size, root=root.hex(), note=note, at=home.clock.text())
