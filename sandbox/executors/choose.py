"""Which executor a home uses: threads of its process, or the cluster that its settings name."""

from __future__ import annotations

import os

from sandbox.executors.ray import RayExecutor
from sandbox.executors.threads import ThreadsExecutor
from sandbox.executors.worker import Craft
from sandbox.ports import Executor
from sandbox.settings import Settings


def open_executor(settings: Settings, craft: Craft) -> Executor:
    """The home's executor; workers of a cluster are started with `craft`.

    Raises:
        RequestError: `ray_missing`, `ray_unprotected`.
        DependencyFailed: `ray_unreachable`, `worker_absent`, `worker_refused`, `worker_release`.
    """
    if settings.executor == "threads":
        return ThreadsExecutor(cores(settings))
    return RayExecutor(
        craft, address=settings.ray_address, actors=settings.ray_actors, seconds=settings.ray_seconds
    )  # fmt: skip


def cores(settings: Settings) -> int:
    """How many buckets are computed at one time."""
    return settings.ray_actors if settings.executor == "ray" else settings.threads or os.cpu_count() or 1
