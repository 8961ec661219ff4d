"""What is generated equals what stands in the repository; every promise has a proof, every proof a promise."""

from __future__ import annotations

import re

import pytest

from sandbox.flow import STEPS
from tests import generate
from tests.generate import ROOT


@pytest.mark.parametrize("name", generate.GENERATED)
def test_generated_documents_are_current(name: str) -> None:
    assert (ROOT / name).read_text("utf-8") == generate.GENERATED[name](), "run `make docs`"


def test_every_module_has_its_line() -> None:
    missing = [str(path) for path, line in generate.modules() if not line]
    assert not missing


def test_every_promise_is_proved_and_every_proof_promised() -> None:
    promised, proved = set(generate.promised()), set(generate.proofs())
    assert promised, "docs/privacy.md makes no promise that the pattern finds"
    assert promised - proved == set(), "promises without a test"
    assert proved - promised == set(), "tests of promises that docs/privacy.md does not make"


def test_steps_are_one_list_everywhere() -> None:
    """STEPS, the README's line, the calls in the flow: the same names in the same order."""
    line = " -> ".join(STEPS)
    assert line in (ROOT / "README.md").read_text("utf-8")
    assert line in (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    # The flow up to the noise, then, at the rung, what became of it, then the answer.
    flow, ends = ((ROOT / f"sandbox/query/{name}.py").read_text("utf-8") for name in ("answer", "ends"))
    called = [re.findall(r'_?step\(parts, "(\w+)"\)', code) for code in (flow, ends)]
    inner = [s for s in STEPS if s not in {"authenticate", "hold"}]
    assert [*called[0][:-1], *called[1], *called[0][-1:]] == inner
    route = (ROOT / "sandbox/gateway/routes/queries.py").read_text("utf-8")
    assert "leaves_in" in route, "the hold stands in the route, without a thread"
