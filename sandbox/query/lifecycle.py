"""The life of a paid query: charged, then settled, failed or overrun; the table itself is in the pure policy."""

from __future__ import annotations

from sandbox.policy.lifecycles import QUERY

__all__ = ["QUERY"]
