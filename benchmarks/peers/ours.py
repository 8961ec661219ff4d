"""Ours: the whole way of a question in one process, from its text to its answer, timed with its hold and without."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.peers.house import home_of
from benchmarks.peers.spoken import QUESTIONS, Asked, Timed, Unsupported, answer, asked
from sandbox.crypto.suite import INTL
from sandbox.errors import RequestError, SandboxError
from sandbox.flow import Principal, Request
from sandbox.query import answer as flow
from sandbox.query import ends
from sandbox.wiring import open_house

SQL: Final = {
    "months": "SELECT month, count(*), sum(value), avg(value) FROM bench.rows GROUP BY month",
    "tenth": f"SELECT month, count(*) FROM bench.rows WHERE value < {QUESTIONS['tenth'].below} GROUP BY month",
    "destinations": "SELECT dest, count(*) FROM bench.rows GROUP BY dest",
    "units": "SELECT count(DISTINCT unit) FROM bench.rows",
    "flights": "SELECT flight, count(*) FROM bench.rows GROUP BY flight",
    "median": "SELECT median(value) FROM bench.rows",
}
UNIT: Final = 10**12
_LEAST: Final = 1_000
"""Each answer spends so much more than the one before (ledger units of 1e-12): a question asked before would be free."""


def _request(principal: Principal, name: str, epsilon: int, number: int) -> Request:
    sql = SQL[name]
    return Request(
        principal=principal, sql=sql, grant=None, purpose=None, epsilon=epsilon, within=None, rows=QUESTIONS[name].rows,
        # As the others are told to bound: so many rows of a unit, and nothing else.
        bounding="ingest" if QUESTIONS[name].below is None else "rows",
        idempotency_key=f"{name}-{number}-{time.time_ns()}", digest=INTL.digest(sql.encode()).hex(),
    )  # fmt: skip


@contextmanager
def ours(parquet: str, query: str, epsilon: float, most: int) -> Iterator[Callable[[], Timed]]:
    """Open the home that `benchmarks.peers.house` made for a file, to ask one question again and again.

    A run is a paid answer: parse, decide, plan, price, charge, compute, noise, settle, read. Its `seconds` are those
    without the hold; `kernel` is the step `compute` alone, `held` all of it.

    Args:
        parquet: the source; its home lies beside it.
        query: a name of `QUESTIONS`.
        epsilon: what one answer spends at most.
        most: how many answers there will be at most.
    """
    home = home_of(Path(parquet))
    me = json.loads((home / "me.json").read_text())
    principal = Principal(id=me["id"], tenant=me["tenant"], roles=frozenset(me["roles"]))
    with open_house(home / "home") as house:
        taken: dict[str, float] = {}
        parts = dataclasses.replace(house.parts(), trace=lambda step, seconds: taken.update({step: seconds}))
        numbers = itertools.count()

        def ask() -> Timed:
            number = next(numbers)
            request = _request(principal, query, int(epsilon * UNIT) - (most - number) * _LEAST, number)
            start = time.perf_counter()
            pending = flow.submit(parts, request)
            flow.finish(parts, pending)
            computed = time.perf_counter()
            time.sleep(max(0.0, pending.leaves_in()) + 0.001)
            let_go = time.perf_counter()
            ends.end(parts, pending)
            told = flow.read(parts, principal, pending.query_id)
            end = time.perf_counter()
            rows = [row["values"] if isinstance(row, dict) else row for row in told["rows"]]
            also = {"kernel": taken["compute"], "held": end - start}
            return Timed(answer=rows, seconds=computed - start + end - let_go, also=also)

        yield ask


def main() -> None:
    with ExitStack() as stack:

        def open_(task: Asked) -> Callable[[], Timed]:
            ask = stack.enter_context(ours(task.parquet, task.name, task.epsilon, task.most))

            def refused() -> Timed:
                try:
                    return ask()
                except RequestError as error:
                    raise Unsupported(f"refused: {error.code}") from error

            return refused

        try:
            answer(asked(), open_)
        except SandboxError as error:
            raise SystemExit(f"{error.code} {error.params}") from error


if __name__ == "__main__":
    main()
