"""The first question of a process is like any other: nothing is loaded between charge and answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.house import city
from tests.promises import promise
from tests.trips import some_rows

FIRST = """
import sys
from pathlib import Path
from sandbox.query import answer
from sandbox.wiring import open_house
from tests.faults.one_query import request_of
with open_house(Path(sys.argv[1])) as house:
    parts = house.parts()
    pending = answer.submit(parts, request_of(sys.argv[2], sys.argv[3]))
    before = set(sys.modules)
    answer.finish(parts, pending)
    late = sorted(set(sys.modules) - before)
    assert not late, late
"""


@promise("P7.1")
def test_no_module_is_loaded_after_the_charge(tmp_path: Path) -> None:
    with city(tmp_path) as town:
        town.load(some_rows(5))
        town.grant()
        me = town.ok("GET", "/v1/me")
    done = subprocess.run(
        [sys.executable, "-c", FIRST, str(tmp_path / "home"), me["id"], me["tenant"]], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
