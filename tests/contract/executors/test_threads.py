"""The threads executor keeps the contract."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.executors.threads import ThreadsExecutor
from sandbox.ports import Executor
from tests.contract.executors import contract
from tests.contract.executors.contract import Chore


@pytest.fixture(params=[1, 4])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    made = ThreadsExecutor(request.param)
    yield made
    made.close()


def test_order_and_each_bucket_once(executor: Executor, tmp_path: Path) -> None:
    contract.keeps_order(executor, Chore(str(tmp_path)))


def test_failures_are_told_once_after_all_have_ended(executor: Executor, tmp_path: Path) -> None:
    contract.fails_once_and_last(executor, Chore(str(tmp_path), seconds=0.05, fails=(6, 2)))


def test_gathered_results_hold_each_bucket_once(executor: Executor, tmp_path: Path) -> None:
    contract.gathers_each_once(executor, Chore(str(tmp_path)), lambda found: Counter(range(found[0], found[0] + 10)))
