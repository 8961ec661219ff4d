"""Group labels: from the values of a row's keys to codes that address arrays, and the keyed order of groups."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.catalog import ColumnType
from sandbox.crypto.order import keyed_order
from sandbox.errors import IntegrityFailed
from sandbox.flow import Ints, Labels
from sandbox.plans import Col, Key, Scalar
from sandbox.query.kernel.groups import KeyedOrder
from sandbox.query.kernel.task import Keys, Task

Words: TypeAlias = npt.NDArray[np.uint64]

_NULL = np.iinfo(np.int64).min


def declared_codes(keys: Sequence[Key], table: pa.Table) -> Ints:
    """Each row's place among all declared groups.

    Raises:
        IntegrityFailed: `key_outside_domain`.
    """
    codes = np.zeros(table.num_rows, dtype=np.int64)
    for i, key in enumerate(keys):
        domain = key.domain or ()
        named = f"c{i}" in table.column_names
        place = _places(table.column(f"c{i}")) if named else positions(domain, table.column(f"k{i}"))
        codes = codes * len(domain) + place if i else place
    return codes


def _places(column: pa.ChunkedArray) -> Ints:
    """Places in a domain, from 1, as the engine looked them up."""
    if column.null_count:
        raise IntegrityFailed("key_outside_domain")
    return np.asarray(column.to_numpy(), np.int64) - 1


def positions(domain: Sequence[Scalar], column: pa.ChunkedArray, *, strict: bool = True) -> Ints:
    """Where each value stands in a domain; -1 for a value outside, unless that is refused.

    Raises:
        IntegrityFailed: `key_outside_domain`.
    """
    known = [v for v in domain if v is not None]
    if strict and not column.null_count and known and pa.types.is_integer(column.type):
        return _looked_up(domain, np.asarray(column.to_numpy(), np.int64))
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    kind = column.type if text else pa.int64()
    found = pc.index_in(column.cast(kind), value_set=pa.array(known, type=kind))
    null_place = list(domain).index(None) if None in domain else -1
    places = np.asarray(pc.fill_null(pc.if_else(pc.is_null(column), null_place, found), -1), dtype=np.int64)
    if strict and (places < 0).any():
        raise IntegrityFailed("key_outside_domain")
    return places


def _looked_up(domain: Sequence[Scalar], values: Ints) -> Ints:
    """Where integers stand in a domain whose values lie close together: by a table, else by searching."""
    known = np.array([v for v in domain if v is not None], np.int64)
    at = np.array([i for i, v in enumerate(domain) if v is not None], np.int64)
    order = np.argsort(known)
    known, at = known[order], at[order]
    low, span = int(known[0]), int(known[-1]) - int(known[0]) + 1
    if span <= 4 * len(known):
        table = np.full(span + 1, -1, np.int64)
        table[known - low] = at
        inside = (values >= low) & (values < low + span)
        places = table[np.where(inside, values - low, span)] if not inside.all() else table[values - low]
    else:
        place = np.minimum(np.searchsorted(known, values), len(known) - 1)
        places = np.where(known[place] == values, at[place], -1)
    if len(places) and int(places.min()) < 0:
        raise IntegrityFailed("key_outside_domain")
    return places


def local_codes(keys: Sequence[Key], table: pa.Table) -> tuple[Ints, pa.Table]:
    """A code for each row's combination of keys, and the combinations in order of their codes."""
    codes, count = np.zeros(table.num_rows, dtype=np.int64), 1
    for i in range(len(keys)):
        places, values = _encoded(table.column(f"k{i}").combine_chunks())
        if count == 1:
            codes, count = places, values
            continue
        # Two at a time, so that no code outgrows 63 bits however many keys there are.
        codes, count = _encoded(pa.array(codes * max(values, 1) + places))
    if not keys:
        return codes, pa.table({})
    first = np.zeros(count, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # the last to be written is the first that has the code
    return codes, table.select([f"k{i}" for i in range(len(keys))]).take(pa.array(first))


def _encoded(column: pa.Array) -> tuple[Ints, int]:
    """A dense code for each value, and how many there are."""
    coded = pc.dictionary_encode(column, null_encoding="encode")
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    return np.asarray(coded.indices, dtype=np.int64), len(coded.dictionary)


def released_codes(keys: Sequence[Key], table: pa.Table, labels: Labels) -> Ints:
    """Each row's place among the released groups; -1 where it was not released."""
    codes, local = local_codes(keys, table)
    places = {label: i for i, label in enumerate(labels)}
    found = [places.get(row, -1) for row in label_rows(keys, local)]
    if not found:
        return codes
    return np.asarray(found, dtype=np.int64)[codes]


def label_rows(keys: Sequence[Key], table: pa.Table) -> Labels:
    """Rows of k0… as values: integers, texts and NULL."""
    columns = [table.column(f"k{i}").to_pylist() for i in range(len(keys))]
    return tuple(zip(*columns, strict=True)) if columns else ()


# --- keyed order of a unit's groups -----------------------------------------------------------------------------------


def order_of_groups(task: Task, keys: Keys, pseudonyms: Words, labels: Labels) -> KeyedOrder:
    """The keyed order in which a unit's groups are kept (P2.4): by key, pseudonym and the group's values alone.

    A single stored column is ordered as ingest orders its slots, so that both ways keep the same groups.
    """
    table = task.tables[0]
    key = keys.order(table)
    only = task.keys[0].expr if len(task.keys) == 1 else None
    if isinstance(only, Col) and "." not in only.name:
        return _by_column(keys, key, only, pseudonyms, [label[0] for label in labels])
    texts = [json.dumps(label, ensure_ascii=False, separators=(",", ":")).encode() for label in labels]
    mac_key = keys.suite.kdf(key, b"sandbox group text v1")
    return _by_text(keys.suite.kdf(key, b"sandbox group order v1"), keys.suite.macs(mac_key, texts, 16), pseudonyms)


def order_of_values(keys: Keys, task: Task, number: int, pseudonyms: Words, values: Sequence[Scalar]) -> KeyedOrder:
    """The keyed order in which a unit's distinct values are kept."""
    key = keys.order(task.tables[0])
    texts = [json.dumps(v, ensure_ascii=False).encode() for v in values]
    name = repr(task.measures[number].expr).encode()
    mac_key = keys.suite.kdf(key, b"sandbox value text v1")
    order_key = keys.suite.kdf(key, b"sandbox value order v1\n" + keys.suite.digest(name))
    return _by_text(order_key, keys.suite.macs(mac_key, texts, 16), pseudonyms)


def _by_column(keys: Keys, key: bytes, column: Col, pseudonyms: Words, values: Sequence[Scalar]) -> KeyedOrder:
    name = column.name.encode()
    order_key = keys.suite.kdf(key, b"sandbox slot order v1\n" + name)
    if column.type is ColumnType.TEXT:
        known = [str(v).encode() for v in values if v is not None]
        macs = keys.suite.macs(keys.suite.kdf(key, b"sandbox slot text v1\n" + name), known, 16)
        digests = np.zeros((len(values), 3), np.uint64)
        some = np.array([v is not None for v in values], np.bool_)
        digests[some, 0] = 1
        digests[some, 1:] = np.frombuffer(macs, np.uint64).reshape(-1, 2)
        return lambda unit, code: _tags(order_key, pseudonyms[unit], digests[code])
    numbers = np.array([_NULL if v is None else int(v) for v in values], np.int64).view(np.uint64).reshape(-1, 1)
    return lambda unit, code: _tags(order_key, pseudonyms[unit], numbers[code])


def _by_text(key: bytes, macs: bytes, pseudonyms: Words) -> KeyedOrder:
    words = np.frombuffer(macs, np.uint64).reshape(-1, 2)
    digests = np.concatenate([np.ones((len(words), 1), np.uint64), words], axis=1)
    return lambda unit, code: _tags(key, pseudonyms[unit], digests[code])


def _tags(key: bytes, pseudonyms: Words, values: Words) -> Words:
    blocks = np.concatenate([pseudonyms.reshape(-1, 1), values], axis=1)
    return keyed_order(key, np.ascontiguousarray(blocks).view(np.uint8))
