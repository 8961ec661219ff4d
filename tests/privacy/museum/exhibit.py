"""What an exhibit of the museum is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """One broken variant: `old` becomes `new` in `file`; `caught_by` must fail and say what figure the attack got."""

    name: str
    story: str
    file: str
    old: str
    new: str
    caught_by: str
