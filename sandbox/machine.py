"""One small interpreter for transition tables: applications, grants, ingests, queries all live by it."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.errors import Conflict


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """From one of `sources`, `action` by an `owner` (a role or a duty) leads to `target`, logged as `event`."""

    sources: tuple[str, ...]
    action: str
    target: str
    owner: str
    event: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A life cycle: its name, where it begins, where it may end, and the only moves there are."""

    name: str
    start: str
    ends: frozenset[str]
    transitions: tuple[Transition, ...]

    @property
    def states(self) -> tuple[str, ...]:
        """Every state, in order of first mention."""
        seen = {self.start: None}
        for t in self.transitions:
            seen.update(dict.fromkeys((*t.sources, t.target)))
        return tuple(seen)

    def step(self, state: str, action: str) -> Transition:
        """The move that `action` makes from `state`.

        Raises:
            Conflict: `transition_refused`, naming what is possible from that state.
        """
        for t in self.transitions:
            if t.action == action and state in t.sources:
                return t
        possible = sorted({t.action for t in self.transitions if state in t.sources})
        raise Conflict("transition_refused", noun=self.name, state=state, action=action, possible=possible)

    def diagram(self) -> str:
        """The table as a Mermaid state diagram, for the documents."""
        lines = ["stateDiagram-v2", f"  [*] --> {self.start}"]
        lines += [f"  {s} --> {t.target}: {t.action} ({t.owner})" for t in self.transitions for s in t.sources]
        lines += [f"  {end} --> [*]" for end in sorted(self.ends)]
        return "\n".join(lines)
