"""The museum of broken variants: each a small change to a copy of the house, and the test that goes red on it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """One broken variant: `old` becomes `new` in `file`; `caught_by` must fail and say what figure the attack got."""

    name: str
    story: str
    file: str
    old: str
    new: str
    caught_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What became of an exhibit: the test's exit code (1: red), and the figure it printed."""

    code: int
    figure: str
    output: str


def show(exhibit: Exhibit, folder: Path) -> Shown:
    """Break a copy of the house and run the test that should catch it."""
    house = folder / "house"
    for name in ("sandbox", "connectors", "policies", "tests", "docs"):
        shutil.copytree(ROOT / name, house / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", house)
    broken = house / exhibit.file
    text = broken.read_text("utf-8")
    assert text.count(exhibit.old) == 1, f"{exhibit.name}: the code has moved on; the exhibit must follow"
    broken.write_text(text.replace(exhibit.old, exhibit.new), "utf-8")
    environment = os.environ | {"PYTHONPATH": str(house), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", exhibit.caught_by],
        cwd=house, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    figure = re.findall(r"figure: (.*?)(?:\n|$)", done.stdout)
    shutil.rmtree(house)
    return Shown(code=done.returncode, figure=figure[-1].strip().rstrip("'\"") if figure else "", output=done.stdout)


EXACT = "tests/privacy/test_exact_sensitivity.py"

EXHIBITS = (
    Exhibit(
        name="no bounding",
        story="The kernel reads all tiers whatever bound was priced.",
        file="sandbox/query/planning/plan.py",
        old="tiers=tuple(range(spec.tiers.index(k) + 1)))",
        new="tiers=tuple(range(len(spec.tiers))))",
        caught_by=f"{EXACT}::test_one_unit_moves_no_measure_by_more_than_its_claim",
    ),
    Exhibit(
        name="wrong sensitivity",
        story="A unit is priced as if it gave one row.",
        file="sandbox/privacy/sensitivity.py",
        old="    return max(bound.rows * _row_bound(measure), 1)",
        new="    return max(_row_bound(measure), 1)",
        caught_by=f"{EXACT}::test_one_unit_moves_no_measure_by_more_than_its_claim",
    ),
    Exhibit(
        name="float sum",
        story="Sums are taken in floating point, whose rounding depends on the other rows.",
        file="sandbox/query/kernel/compute.py",
        old='    total = f"COALESCE(sum({expr}), 0)::HUGEINT"',
        new='    total = f"COALESCE(sum(({expr})::DOUBLE), 0)::HUGEINT"',
        caught_by=f"{EXACT}::test_sums_are_exact_integers_at_any_size",
    ),
    Exhibit(
        name="noise reused",
        story="One draw is added to every measure.",
        file="sandbox/query/release/table.py",
        old="            mechanisms.add_noise(r.mechanism, scale=r.scale, values=row)\n",
        new=(
            "            row + mechanisms.add_noise(releases[0].mechanism, scale=r.scale, values=np.zeros(1, np.int64))\n"
        ),
        caught_by="tests/privacy/test_release.py::test_noise_is_drawn_afresh_for_every_number",
    ),
    Exhibit(
        name="4-bit pseudonyms",
        story="Identifiers are hashed to 4 bits, so strangers become one unit.",
        file="sandbox/ingest/identifiers.py",
        old='        pseudonyms[usable] = np.frombuffer(macs, ">u8")\n',
        new='        pseudonyms[usable] = np.frombuffer(macs, ">u8") >> np.uint64(60)\n',
        caught_by=f"{EXACT}::test_distinct_identifiers_stay_distinct_units",
    ),
    Exhibit(
        name="positional ordinals",
        story="A unit's rows are numbered in an order that depends on where they stand in the source.",
        file="sandbox/ingest/order.py",
        old='            block[""] = pseudonyms[some]\n',
        new='            block[""] = np.arange(some.start, some.stop)\n',
        caught_by=f"{EXACT}::test_the_rows_of_other_units_do_not_move",
    ),
)
