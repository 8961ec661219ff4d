"""`python -m benchmarks.units`: each way of bounding a unit against bare DuckDB over the same rows, in one run."""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sandbox.query.kernel.clip import Clip, clipped_sums, fixed_bits
from sandbox.query.kernel.distinct import units_by_slot
from sandbox.query.kernel.groups import Clamp, Slots, clamped_sums, keep_first, keep_groups, pairs, slot_pairs
from sandbox.query.kernel.ranks import first_rows, tail_rank
from sandbox.query.kernel.sums import Column, Totals, group_sums
from sandbox.query.kernel.weights import place_counts, positions, units_by_group

TIERS = (0, 1, 3, 10, 100, 1000)
GROUPS = 200
BINS = 12
LARGEST = 1000
BUCKETS = 2
FIRST_TAIL = 3
K = TIERS[FIRST_TAIL]


@dataclass
class Bucket:
    """Where a bucket lies, and its sidecar."""

    folder: Path
    units: int
    slots: Slots


def mixed(unit: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Stands for the keyed hash: its cost is another's to bear."""
    word = unit.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + code.astype(np.uint64) * np.uint64(
        0xC2B2AE3D27D4EB4F
    )
    word ^= word >> np.uint64(29)
    word *= np.uint64(0xBF58476D1CE4E5B9)
    return np.stack([word ^ (word >> np.uint64(32)), word], axis=1)


def make(folder: Path, rows: int) -> list[Bucket]:
    """Ten rows a unit with a heavy tail; each bucket's tiers, and one plain file with the rows of all in no order."""
    rng = np.random.default_rng(7)
    plain, buckets = [], []
    for b in range(BUCKETS):
        count = rows // BUCKETS
        weights = np.minimum(rng.pareto(1.3, count // 10) + 0.3, 300)
        number = np.clip(np.round(weights * count / weights.sum()), 1, TIERS[-1]).astype(np.int64)
        unit = np.repeat(np.arange(len(number)), number)
        ordinal = np.arange(len(unit)) - np.repeat(np.cumsum(number) - number, number)
        group = np.minimum(rng.zipf(1.2, len(unit)) + rng.integers(0, 40, len(unit)), GROUPS) - 1
        columns = {
            "ui": unit.astype(np.uint32),
            "ordinal": ordinal.astype(np.uint32),
            "grp": group.astype(np.uint16),
            "month": rng.integers(0, BINS, len(unit)).astype(np.uint8),
            "pick": rng.integers(0, 100, len(unit)).astype(np.uint8),
            "amount": rng.integers(0, LARGEST + 1, len(unit)),
        }
        place = folder / f"b{b}"
        place.mkdir()
        slot, first, code = slots_of(columns["ui"], group, len(number))
        for t in range(len(TIERS) - 1):
            inside = (ordinal >= TIERS[t]) & (ordinal < TIERS[t + 1])
            tier = pa.table({n: c[inside] for n, c in (columns | {"slot": slot}).items()})
            store(tier, place / f"t{t}.parquet")
        buckets.append(Bucket(place, len(number), Slots.of(first, code)))
        plain.append(pa.table(columns | {"unit": (unit + b * 10**8).astype(np.uint64)}))
    whole = pa.concat_tables(plain)
    store(whole.take(rng.permutation(whole.num_rows)), folder / "plain.parquet")
    return buckets


def slots_of(unit: np.ndarray, group: np.ndarray, units: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cell = np.unique(unit.astype(np.int64) * GROUPS + group)
    owner, code = cell // GROUPS, cell % GROUPS
    words = mixed(owner.astype(np.uint32), code)
    order = np.lexsort([words[:, 0], owner])
    number = np.empty(len(cell), np.uint32)
    number[order] = np.arange(len(cell))
    slot = number[np.searchsorted(cell, unit.astype(np.int64) * GROUPS + group)]
    return slot, np.searchsorted(owner, np.arange(units + 1)).astype(np.uint32), code[order].astype(np.uint32)


def store(table: pa.Table, path: Path) -> None:
    with duckdb.connect() as connection:
        connection.register("held", table)
        connection.execute(f"COPY held TO '{path}' (FORMAT parquet, COMPRESSION lz4_raw, ROW_GROUP_SIZE 500000)")


class Reader:
    """One bucket's own connection, one thread, as the kernel has it."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.connection = duckdb.connect(config={"threads": 1, "preserve_insertion_order": False})

    def read(self, tiers: range, columns: str, kept: int, tail: str = "") -> dict[str, np.ndarray]:
        """One statement over these tiers."""
        files = ", ".join(f"'{self.bucket.folder}/t{t}.parquet'" for t in tiers)
        where = f" WHERE pick < {kept}" if kept < 100 else ""
        table = self.connection.sql(f"SELECT {columns} FROM read_parquet([{files}]){where}{tail}").to_arrow_table()
        return {n: table.column(n).to_numpy() for n in table.column_names}


ALL = range(len(TIERS) - 1)
TAIL = range(FIRST_TAIL, len(TIERS) - 1)


def measures(read: dict[str, np.ndarray]) -> list[Column]:
    return [Column(values=read["amount"], bound=LARGEST)]


def ranked(reader: Reader, kept: int) -> list[Totals]:
    """Tail rank; unfiltered, both boundings keep the same rows, so only the head is read."""
    columns = "ui, grp, amount" if kept < 100 else "grp, amount"
    head = reader.read(range(FIRST_TAIL), columns, kept)
    reads = [head]
    if kept < 100:
        tails = [reader.read(range(t, t + 1), columns, kept) for t in TAIL]
        units = [r["ui"] for r in (head, *tails)]
        masks = tail_rank(units, first_tail=1, k=K, units=reader.bucket.units)
        for tail, mask in zip(tails, masks[1:], strict=True):
            place = np.flatnonzero(mask)
            reads.append({n: c[place] for n, c in tail.items()})
    return [t for r in reads for t in group_sums(r["grp"], GROUPS, measures(r))]


def sorted_rows(reader: Reader, kept: int) -> list[Totals]:
    read = reader.read(ALL, "ui, ordinal, grp, amount", kept)
    place = np.flatnonzero(first_rows(read["ui"], [read["ordinal"].astype(np.int64)], K))
    return group_sums(read["grp"][place], GROUPS, [Column(values=read["amount"][place], bound=LARGEST)])


def by_slots(reader: Reader, kept: int) -> list[Totals]:
    read = reader.read(ALL, "slot, amount", kept)
    found = slot_pairs(read["slot"], reader.bucket.slots, measures(read), most=TIERS[-1])
    return clamped_sums(found, keep_first(found.unit, 3), GROUPS, [Clamp(count=10, sum=10 * LARGEST)])


def by_clip(reader: Reader, kept: int) -> list[Totals]:
    read = reader.read(ALL, "slot, amount", kept)
    bits = fixed_bits(TIERS[-1] * LARGEST, 20 * LARGEST, 10**7)
    found = slot_pairs(read["slot"], reader.bucket.slots, measures(read), most=TIERS[-1])
    both = Totals(counts=found.totals[0].counts, sums=None)
    found = type(found)(unit=found.unit, group=found.group, totals=(both, found.totals[0]))
    clips = [Clip(of="counts", norm=20 << bits, bits=bits), Clip(of="sums", norm=20 * LARGEST << bits, bits=bits)]
    return [Totals(counts=s, sums=None) for s in clipped_sums(found, GROUPS, clips)]


def seen(reader: Reader, kept: int) -> list[Totals]:
    read = reader.read(ALL, "slot", kept)
    return [Totals(counts=units_by_slot(read["slot"], reader.bucket.slots, GROUPS), sums=None)]


def seen_sorted(reader: Reader, kept: int) -> list[Totals]:
    read = reader.read(ALL, "ui, grp", kept)
    return [Totals(counts=units_by_group(read["ui"], read["grp"], GROUPS), sums=None)]


def by_sorting(reader: Reader, kept: int) -> list[Totals]:
    """A composite key of 2,400 groups, without slots."""
    read = reader.read(ALL, "ui, grp::INTEGER * 12 + month AS key, amount", kept)
    found = pairs(read["ui"], read["key"], GROUPS * BINS, measures(read), most=TIERS[-1])
    keep = keep_groups(found.unit, found.group, 3, mixed)
    return clamped_sums(found, keep, GROUPS * BINS, [Clamp(count=10, sum=10 * LARGEST)])


def by_few(reader: Reader, kept: int) -> list[Totals]:
    """A computed key of 12 groups, without slots."""
    read = reader.read(ALL, "ui, month, amount", kept)
    found = pairs(read["ui"], read["month"], BINS, measures(read), most=TIERS[-1])
    keep = keep_groups(found.unit, found.group, 3, mixed)
    return clamped_sums(found, keep, BINS, [Clamp(count=10, sum=10 * LARGEST)])


def by_engine(reader: Reader, kept: int) -> list[Totals]:
    """The same composite key, with the engine adding up each (unit, group)."""
    columns = "ui, grp::INTEGER * 12 + month AS key, count(*) AS n, sum(amount)::BIGINT AS s"
    read = reader.read(ALL, columns, kept, " GROUP BY ALL")
    order = np.argsort(read["ui"].astype(np.int64) * (GROUPS * BINS) + read["key"])
    unit, group = read["ui"][order], read["key"][order].astype(np.int64)
    found = pairs(unit[:0], group[:0], 1, ())
    totals = (Totals(counts=read["n"][order], sums=read["s"][order]),)
    found = type(found)(unit=unit, group=group, totals=totals)
    keep = keep_groups(unit, group, 3, mixed)
    return clamped_sums(found, keep, GROUPS * BINS, [Clamp(count=10, sum=10 * LARGEST)])


def quantiles(reader: Reader, kept: int) -> list[Totals]:
    read = reader.read(ALL, "ui, month, amount", kept)
    marks = np.arange(LARGEST + 1)
    got = place_counts(read["month"], BINS, positions(read["amount"], marks), 2 * len(marks) + 1)
    return [Totals(counts=got.ravel(), sums=None)]


SUMS = "SELECT grp, count(*), sum(amount) FROM plain{where} GROUP BY grp"
COUNTS = "SELECT grp, count(*) FROM plain{where} GROUP BY grp"
CELLS = "SELECT grp::INTEGER * 12 + month AS key, count(*), sum(amount) FROM plain{where} GROUP BY key"
MONTHS = "SELECT month, count(*), sum(amount) FROM plain{where} GROUP BY month"
MEDIANS = "SELECT month, quantile_disc(amount, 0.5) FROM plain{where} GROUP BY month"
WAYS: dict[str, tuple[Callable[[Reader, int], list[Totals]], str]] = {
    "tail rank": (ranked, SUMS),
    "first rows, sorted": (sorted_rows, SUMS),
    "keep 3, slots": (by_slots, SUMS),
    "clip, slots": (by_clip, SUMS),
    "distinct units, slots": (seen, COUNTS),
    "distinct units, sorted": (seen_sorted, COUNTS),
    "keep 3 of 12 bins, no slots": (by_few, MONTHS),
    "keep 3 of 2,400, no slots": (by_sorting, CELLS),
    "keep 3 of 2,400, engine": (by_engine, CELLS),
    "quantiles, 1,001 candidates": (quantiles, MEDIANS),
}


def added(parts: list[list[Totals]]) -> list[list[int]]:
    """The buckets' integers, merged: to see that ways agree, and that all is really computed."""
    flat = [[n for t in part for n in (t.counts, t.sums) if n is not None] for part in parts]
    return [np.sum(numbers, axis=0).tolist() for numbers in zip(*flat, strict=True)]


def seconds(clock: Callable[[], float], run: Callable[[], object]) -> float:
    start = clock()
    run()
    return clock() - start


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=10_000_000)
    options.add_argument("--repeat", type=int, default=5)
    options.add_argument("--kept", type=int, nargs="*", default=[1, 10, 25, 50, 100])
    options.add_argument("--only", default="")
    options.add_argument("--cpu", action="store_true", help="compare processor time, for a machine that others use too")
    given = options.parse_args()
    clock = time.process_time if given.cpu else time.perf_counter
    folder = Path(tempfile.mkdtemp(prefix="units"))
    try:
        buckets = make(folder, given.rows)
        bare = duckdb.connect(config={"threads": BUCKETS})
        bare.execute(f"CREATE VIEW plain AS FROM read_parquet('{folder}/plain.parquet')")
        readers = [Reader(b) for b in buckets]
        rows = pq.read_metadata(folder / "plain.parquet").num_rows
        say(
            f"{rows:,} rows, {sum(b.units for b in buckets):,} units, {sum(len(b.slots.code) for b in buckets):,} slots"
        )
        say(f"| way | {' | '.join(f'{k} % kept' for k in given.kept)} |\n|---|{'---|' * len(given.kept)}")
        with ThreadPoolExecutor(BUCKETS) as pool:
            for name, (way, sql) in WAYS.items():
                if given.only in name:
                    shown = [
                        ratio(bare, readers, pool, way, sql, kept=kept, repeat=given.repeat, clock=clock)
                        for kept in given.kept
                    ]
                    say(f"| {name} | {' | '.join(shown)} |")
    finally:
        shutil.rmtree(folder)


def ratio(
    bare: duckdb.DuckDBPyConnection,
    readers: list[Reader],
    pool: ThreadPoolExecutor,
    way: Callable[[Reader, int], list[Totals]],
    sql: str,
    *,
    kept: int,
    repeat: int,
    clock: Callable[[], float],
) -> str:
    """Both, turn by turn in one run; the ratio of medians, and both in milliseconds."""
    text = sql.format(where=f" WHERE pick < {kept}" if kept < 100 else "")
    ours, theirs = [], []
    for _ in range(repeat + 1):
        theirs.append(seconds(clock, lambda: bare.sql(text).to_arrow_table()))
        ours.append(seconds(clock, lambda: added(list(pool.map(lambda r: way(r, kept), readers)))))
    one, two = statistics.median(ours[1:]), statistics.median(theirs[1:])
    return f"{one / two:.2f} ({one * 1000:.0f} / {two * 1000:.0f} ms)"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
