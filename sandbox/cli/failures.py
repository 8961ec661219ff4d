"""Failures on the command line: one line in English, one in Chinese, and an exit code that tells the kind."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

from sandbox.client.http import ProblemError
from sandbox.errors import Position, SandboxError
from sandbox.messages import both

USAGE: Final = 2
DENIED: Final = 3
UNREACHABLE: Final = 4
FAILED: Final = 1
INTERRUPTED: Final = 130

_NO_GATEWAY: Final = frozenset({"gateway_unreachable", "gateway_untrusted", "gateway_strange"})
_BY_STATUS: Final[Mapping[int, int]] = {401: DENIED, 403: DENIED, 503: UNREACHABLE}


def tell(error: ProblemError | SandboxError) -> int:
    """Write the two lines to standard error; gives the exit code."""
    text = dict(error.text) if isinstance(error, ProblemError) else both(error.code, error.params)
    place = _place(error.position)
    sys.stderr.write(f"{place}{text['en']}\n{place}{text['zh']}\n")
    return exit_code(error)


def exit_code(error: ProblemError | SandboxError) -> int:
    """2 for what the caller can mend in the call, 3 for a refusal, 4 for a gateway that does not answer."""
    if isinstance(error, ProblemError) and error.code in _NO_GATEWAY:
        return UNREACHABLE
    return _BY_STATUS.get(error.status, USAGE)


def _place(position: Position | None) -> str:
    if position is None:
        return ""
    file = f"{position.file}:" if position.file else ""
    return f"{file}{position.line}:{position.column}: "
