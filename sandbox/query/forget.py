"""Forgetting: dropping what this process still holds in memory of versions that were destroyed meanwhile."""

from __future__ import annotations

from sqlalchemy.orm import Session

from sandbox.objects.opened import OpenedFiles
from sandbox.objects.versions import Versions
from sandbox.store import versions as store


def forget_destroyed(session: Session, versions: Versions, opened: OpenedFiles) -> None:
    """Drop opened files, declared facts and wrapped keys of destroyed versions; a file in use goes a moment later."""
    held = versions.held() | opened.held()
    gone = store.destroyed_among(session, sorted(held))
    if gone:
        versions.forget(gone)
        opened.forget(gone)
