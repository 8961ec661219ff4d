"""What public tables' own rows say to a planner: how often a key is there, and which values a column has."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import pyarrow.compute as pc

from sandbox.objects.versions import Versions
from sandbox.plans import Scalar, Table
from sandbox.query.expressions.scope import MAX_DOMAIN
from sandbox.query.planning.relations import Public
from sandbox.store.datasets import StoredVersion


def public_rows(versions: Versions, records: Mapping[str, StoredVersion]) -> Public:
    """The facts of the public tables among these, read once for a version. Public rows protect nobody."""
    by_id = {r.id: r for r in records.values()}

    def most(table: Table, columns: tuple[str, ...]) -> int:
        return _most(versions, by_id[table.version.id], columns)

    def values(table: Table, column: str) -> tuple[Scalar, ...] | None:
        return _values(versions, by_id[table.version.id], column)

    return Public(most=most, values=values)


@lru_cache(maxsize=1024)
def _most(versions: Versions, record: StoredVersion, columns: tuple[str, ...]) -> int:
    """How many rows have the same values in these columns, at most; rows with a NULL among them match nothing."""
    rows = versions.stored_rows(record).select(list(columns)).drop_null()
    if not rows.num_rows:
        return 0
    counted = rows.append_column("one", rows.column(0)).group_by(list(columns)).aggregate([([], "count_all")])
    return int(pc.max(counted.column("count_all")).as_py())


@lru_cache(maxsize=1024)
def _values(versions: Versions, record: StoredVersion, column: str) -> tuple[Scalar, ...] | None:
    """Every value of a column in order, NULL last; None if there are too many to be a key's domain."""
    found = pc.unique(versions.stored_rows(record).column(column))
    if len(found) > MAX_DOMAIN:
        return None
    known = sorted(v for v in found.to_pylist() if v is not None)
    return (*known, None) if found.null_count else tuple(known)
