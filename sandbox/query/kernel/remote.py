"""The kernel elsewhere: the bench that a worker of a cluster makes for itself, and results that come back sealed."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.crypto.keys import RootKey
from sandbox.executors.threads import ThreadsExecutor
from sandbox.objects.choose import open_objects
from sandbox.objects.opened import OpenedFiles
from sandbox.query.kernel.engines import Engines
from sandbox.query.kernel.labels import positions
from sandbox.query.kernel.task import Bench, Keys, Task
from sandbox.settings import load


def worker_bench(home: Path) -> Bench:
    """A bench from the home that lies where the worker is: its settings, its root key, its object store.

    Raises:
        RequestError: `home_missing`, `settings_…`, `s3_…`.
        DependencyFailed: `key_file_failed`, `bucket_missing`, `object_store_…`.
        IntegrityFailed: `root_key_mode`, `key_file_malformed`.
    """
    settings = load(home)
    root_key = RootKey.load(home / settings.root_key)
    opened = OpenedFiles(open_objects(home, settings), limit=settings.cache_mb * 1_000_000)
    engines = Engines(1)
    # So that the first question takes no longer than the next: see `query.warm`.
    positions(("a", None), engines.warm().column("k"))
    return Bench(executor=ThreadsExecutor(1), engines=engines, opened=opened, root_key=root_key)


@dataclass(frozen=True, slots=True)
class KernelCraft:
    """Implements `executors.worker.Craft`. A task holds wrapped keys; each end unwraps them with its own root key."""

    home: str
    """The home's folder on the machines of the workers."""

    def bench(self) -> Bench:
        """See `worker_bench`."""
        return worker_bench(Path(self.home))

    def first(self, task: Task) -> int:
        """By the version that is read, so that a table always meets the same workers."""
        return zlib.crc32(task.tables[0].version.id.encode())

    def held(self, bench: Bench) -> set[str]:
        """Versions with opened files."""
        return bench.opened.held()

    def forget(self, bench: Bench, versions: Collection[str]) -> None:
        """Drop opened files of destroyed versions."""
        bench.opened.forget(versions)

    def seal(self, task: Task, bench: Bench, place: str, result: Any) -> bytes:
        """Sealed under a key of this request's population.

        Privacy: a cluster's object store, its spill files and its logs see nothing else of exact results.
        """
        keys = Keys.of(task, bench.root_key)
        return keys.suite.seal(_key(keys, place), pickle.dumps(result, protocol=5), place.encode())

    def open(self, task: Task, bench: Bench, place: str, sealed: bytes) -> Any:
        """What was sealed for this place by a holder of the same keys.

        Raises:
            IntegrityFailed: `sealed_open_failed`.
        """
        keys = Keys.of(task, bench.root_key)
        return pickle.loads(keys.suite.open(_key(keys, place), sealed, place.encode()))  # noqa: S301  # sealed by us


def _key(keys: Keys, place: str) -> bytes:
    request, _, _ = place.partition(" ")
    return keys.suite.kdf(keys.population, b"sandbox parts v1\n" + request.encode())
