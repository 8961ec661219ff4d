"""The duty that ends a confirmed destruction: every object of every version, then a signed certificate of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from sandbox import crash
from sandbox.audit.checkpoint import sign_note
from sandbox.clock import Clock
from sandbox.crypto.suite import INTL
from sandbox.errors import Conflict
from sandbox.objects.sidecars import sidecar_name
from sandbox.ports import ObjectStore
from sandbox.store import log, removals
from sandbox.store.removals import Doomed, Removal
from sandbox.store.sessions import Sessions

STEPS: Final = ("destroy.listed", "destroy.deleting", "destroy.deleted", "destroy.finished")
"""The points at which the fault tests kill it, in their order. Its keys were gone before the first."""

TITLE: Final = "Data sandbox: certificate of destruction, version 1 数据沙箱销毁证书"
"""A certificate's first line, which no checkpoint has."""


def run_next(
    sessions: Sessions, clock: Clock, objects: ObjectStore, *, log_name: str, log_key: bytes,
    hold: Callable[[], bool] = lambda: True,
) -> bool:  # fmt: skip
    """End one confirmed destruction; True if there was one. Whatever it had done before a crash, it does again.

    `hold` is asked before each object, and stops it: another worker has taken over.

    Raises:
        DependencyFailed: `object_store_failed` and the like; the next beat begins again.
    """
    with sessions.reading() as session:
        waiting = removals.listed(session, state="destroying", limit=1)
        doomed = removals.doomed(session, waiting[0].dataset) if waiting else []
    if not waiting:
        return False
    crash.point("destroy.listed")
    keys = sorted(key for version in doomed for key in keys_of(version))
    for version in doomed:
        # A worker that was just building may have left more than what was committed.
        for key in sorted({*keys_of(version), *objects.list(f"v1/{version.id}/")}):
            if not hold():
                return False
            objects.delete(key)
            crash.point("destroy.deleting")
    crash.point("destroy.deleted")
    with suppress(Conflict), sessions.begin() as session:  # else another worker's certificate stands
        text = certificate(waiting[0], doomed, keys, origin=log_name, at=clock.text(), size=log.size(session))
        note = sign_note(text, log_name, log_key)
        sha256 = INTL.digest(note.encode()).hex()
        removals.finish(session, clock, waiting[0].id, certificate=note, sha256=sha256, objects=len(keys))
    crash.point("destroy.finished")
    return True


def keys_of(version: Doomed) -> list[str]:
    """The keys of a version's objects: a function of declared facts, the same after half of them are gone."""
    buckets = range(1 << version.bits)
    files = [f"b{bucket:04d}.t{tier:02d}" for bucket in buckets for tier in range(version.tiers)]
    sidecars = [sidecar_name(bucket, number) for bucket in buckets for number in range(version.slots)]
    return [version.manifest_object, *(f"v1/{version.id}/{name}" for name in (*files, *sidecars))]


def certificate(
    removal: Removal, doomed: Sequence[Doomed], keys: Sequence[str], *, origin: str, at: str, size: int
) -> str:
    """What is signed: lines of a name and a value. A version's manifest digest binds the digests of all its files."""
    lines = [
        TITLE,
        f"log {origin}",
        f"removal {removal.id}",
        f"dataset {removal.dataset} {removal.name}",
        f"owner {removal.tenant}",
        f"proposed-by {removal.proposed_by} at {removal.created_at}",
        f"confirmed-by {removal.confirmed_by}",
        f"destroyed-at {at}",
        f"log-size {size}",
        f"keys {len(doomed)} erased",
        f"objects {len(keys)} deleted, sha256 of their keys {INTL.digest(_lines(keys)).hex()}",
        *(f"version {v.number} {v.id} manifest sha256 {v.manifest_sha256}" for v in doomed),
    ]
    return _lines(lines).decode()


def _lines(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
