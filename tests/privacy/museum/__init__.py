"""The museum of broken variants: each a small change to a copy of the house, and the test that goes red on it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.privacy.museum.exhibit import Exhibit
from tests.privacy.museum.exhibits import MORE

ROOT = Path(__file__).parent.parent.parent.parent


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

CLAIMS = f"{EXACT}::test_one_unit_moves_no_stage_by_more_than_its_claim"

EXHIBITS = (
    Exhibit(
        name="no bounding",
        story="The kernel reads all tiers whatever bound was priced.",
        file="sandbox/query/kernel/files.py",
        old='    rows = task.bound.rows if task.bound.form == "ingest" else scan.rows\n',
        new="    rows = scan.rows\n",
        caught_by=f"{CLAIMS}[0]",
    ),
    Exhibit(
        name="wrong sensitivity",
        story="A unit is priced as if it gave one row.",
        file="sandbox/privacy/sensitivity.py",
        old="        return Reach(l1=float_up(rows * row_bound), l2=float_up(rows * row_bound))\n",
        new="        return Reach(l1=float_up(row_bound), l2=float_up(row_bound))\n",
        caught_by=f"{CLAIMS}[0]",
    ),
    Exhibit(
        name="join fan-out",
        story="Rows that a join made are all counted, however many they are of one unit.",
        file="sandbox/query/kernel/rows.py",
        old="        keep = first_rows(unit, order, task.bound.rows)\n",
        new="        keep = np.ones(len(unit), np.bool_)\n",
        caught_by=f"{CLAIMS}[31]",
    ),
    Exhibit(
        name="long vectors",
        story="Each component of a unit's vector is cut to the norm that noise was bought for, not the vector.",
        file="sandbox/query/kernel/clip.py",
        old="    root = np.where(over, ceil_root(squares), max(norm, 1))\n",
        new="    return np.clip(values, -norm, norm)\n",
        caught_by=f"{CLAIMS}[5]",
    ),
    Exhibit(
        name="unweighted votes",
        story="A unit with many private keys votes for each as loudly as one with a single key.",
        file="sandbox/privacy/keys.py",
        old='    return math.isqrt(VOTE * VOTE // keys) if mechanism == "gaussian" else VOTE // keys\n',
        new="    return VOTE\n",
        caught_by=f"{CLAIMS}[19]",
    ),
    Exhibit(
        name="one selection paid, many made",
        story="A quantile is chosen in every group and paid for once, whatever number of groups a unit is in.",
        file="sandbox/query/planning/offers.py",
        old="    return max(1, min(kept, _groups(plan)))\n",
        new="    return 1\n",
        caught_by=f"{CLAIMS}[17]",
    ),
    Exhibit(
        name="key existence",
        story="A private key is shown although too few units have it.",
        file="sandbox/query/release/noise.py",
        old="zip(exact.labels, shown, strict=True) if kept)\n",
        new="zip(exact.labels, shown, strict=True) if kept or label)\n",
        caught_by="tests/privacy/test_release.py::test_private_keys_are_shown_where_enough_units_vote_and_no_other_leaves",
    ),
    Exhibit(
        name="float sum",
        story="Sums are taken in floating point, whose rounding depends on the other rows.",
        file="sandbox/query/kernel/statement.py",
        old='            total = f"COALESCE(sum({expr}), 0)::HUGEINT"\n',
        new='            total = f"COALESCE(sum(({expr})::DOUBLE), 0)::HUGEINT"\n',
        caught_by=f"{EXACT}::test_sums_are_exact_integers_at_any_size",
    ),
    Exhibit(
        name="noise reused",
        story="One draw is added to every group of a measure.",
        file="sandbox/query/release/noise.py",
        old="            return mechanisms.add_noise(noisy, scale=scale, values=values)\n",
        new="            return values + mechanisms.add_noise(noisy, scale=scale, values=np.zeros(1, np.int64))\n",
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
    *MORE,
)
