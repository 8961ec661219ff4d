"""Decisions: one reviewed matrix of roles, asked through Casbin in memory; an answer names its rule or its reason."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

import casbin

from sandbox.errors import Denied, IntegrityFailed, Param
from sandbox.flow import Principal
from sandbox.policy.files import MODEL, ROLES, policies_folder, read_rules
from sandbox.policy.predicates import PREDICATES, Context, Refusal

Role: TypeAlias = Literal["operator", "steward", "committee", "engineer", "auditor"]
ROLE_NAMES: Final[tuple[str, ...]] = get_args(Role)
"""The roles that a principal can hold."""

_MOST_LEVELS: Final = 9
"""Casbin's role manager silently finds no link over ten names in a row, that is over nine links."""

_log = logging.getLogger("sandbox.policy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Allowed by `rule`, or refused for `reason`, whose text takes `params`."""

    allowed: bool
    rule: str
    reason: str | None
    params: Mapping[str, Param] = field(default_factory=dict)

    def require(self) -> None:
        """Go on only if allowed.

        Raises:
            Denied: the reason is the code.
        """
        if not self.allowed:
            raise Denied(self.reason or "not_your_role", position=None, **dict(self.params))


@dataclass(slots=True)
class _Asked:
    """What a rule's condition looks at, and the conditions that did not hold, for the explanation."""

    principal: Principal
    context: Context
    refusals: list[Refusal] = field(default_factory=list)

    def __repr__(self) -> str:
        return "context"  # Casbin may log what it was asked


class Policy:
    """An immutable policy: a reload makes a new one, and the caller swaps its reference."""

    def __init__(self, rules: list[list[str]], links: list[tuple[str, str]], model: str) -> None:
        """Use `load`, which checks what it reads."""
        self._rules = rules
        self._enforcer = _enforcer(rules, links, model)
        self._implied = _implied(rules, links, self._enforcer)

    @classmethod
    def load(cls, folder: Path | None = None) -> Policy:
        """Read and check `model.conf` and `roles.csv`.

        Raises:
            IntegrityFailed: `policy_invalid` with the line: an empty policy, a wrong number of cells, an effect other
                than allow or deny, an unknown condition, a name without its prefix, role links over nine deep or in a
                circle. `policies_missing`.
        """
        folder = folder or policies_folder()
        rules: list[list[str]] = []
        links: list[tuple[str, str]] = []
        for line, cells in read_rules(folder / ROLES):
            if cells[0] == "g":
                links.append(_link(line, cells))
            else:
                rules.append(_rule(line, cells))
        if not rules:  # an empty policy would allow a request of empty texts
            raise IntegrityFailed("policy_invalid", line=0, problem="empty")
        _check_depth(links)
        return cls(rules, links, (folder / MODEL).read_text(encoding="utf-8"))

    def decide(self, principal: Principal, noun: str, verb: str, context: Context) -> Decision:
        """May this principal do `verb` to `noun`, as things stand in `context`?

        Nothing escapes: an exception on the way is a refusal `decision_failed`, logged by its kind alone.
        """
        asked = _Asked(principal, context)
        try:
            if not (noun and verb and principal.id and principal.tenant):
                return Decision(allowed=False, rule="", reason="decision_failed")
            allowed, rule = self._enforcer.enforce_ex(self._names(principal), noun, verb, asked)
        except Exception as error:  # noqa: BLE001 - a decision that cannot be made is a refusal, whatever the cause
            # without its text, which may quote what was asked
            _log.error("decision failed: %s on %s:%s", type(error).__name__, noun, verb)
            return Decision(allowed=False, rule="", reason="decision_failed")
        if allowed is True:
            return Decision(allowed=True, rule=", ".join(rule), reason=None)
        return self._explain(asked, noun, verb, list(rule))

    def _explain(self, asked: _Asked, noun: str, verb: str, rule: list[str]) -> Decision:
        """Casbin says nothing when no rule matched: the condition that failed, else the roles that would do."""
        if asked.refusals:
            first = asked.refusals[0]
            return Decision(allowed=False, rule="", reason=first.code, params=first.params)
        roles = sorted({r[0].removeprefix("role:") for r in self._rules if r[1:3] == [noun, verb] and r[4] == "allow"})
        params: dict[str, Param] = {"noun": noun, "verb": verb, "roles": list(roles)}
        return Decision(allowed=False, rule=", ".join(rule), reason="not_your_role", params=params)

    def _names(self, principal: Principal) -> frozenset[str]:
        """`user:` and `role:` names, with every role that those imply; a user named like a role is no role."""
        names = {f"user:{principal.id}"}
        for role in principal.roles & frozenset(ROLE_NAMES):
            names |= self._implied.get(f"role:{role}", frozenset({f"role:{role}"}))
        return frozenset(names)


def _plays(names: frozenset[str], who: str) -> bool:
    return who in names


def _cond(when: str, asked: _Asked) -> bool:
    """The predicate of that name; an unknown name raises, hence refuses."""
    refusal = PREDICATES[when](asked.principal, asked.context)
    if refusal is not None:
        asked.refusals.append(refusal)
    return refusal is None


def _enforcer(rules: list[list[str]], links: list[tuple[str, str]], model_text: str) -> casbin.Enforcer:
    model = casbin.Enforcer.new_model(text=model_text)
    for rule in rules:
        model.add_policy("p", "p", rule)
    for link in links:
        model.add_policy("g", "g", list(link))
    enforcer = casbin.Enforcer(model)
    enforcer.enable_auto_save(False)
    enforcer.build_role_links()
    enforcer.add_function("plays", _plays)
    enforcer.add_function("cond", _cond)
    return enforcer


def _implied(
    rules: list[list[str]], links: list[tuple[str, str]], enforcer: casbin.Enforcer
) -> dict[str, frozenset[str]]:
    """For each role, the names it stands for: asked of the role manager once, since asking changes its tables."""
    manager = enforcer.get_role_manager()
    everyone = {rule[0] for rule in rules} | {name for link in links for name in link}
    roles = {f"role:{name}" for name in ROLE_NAMES}
    return {role: frozenset({role, *(name for name in everyone if manager.has_link(role, name))}) for role in roles}


def _rule(line: int, cells: list[str]) -> list[str]:
    problem = None
    if len(cells) != 6 or cells[0] != "p" or not all(cells):
        problem = "cells"
    elif not _prefixed(cells[1]):
        problem = "prefix"
    elif cells[4] not in PREDICATES:
        problem = "condition"
    elif cells[5] not in ("allow", "deny"):  # Casbin takes "Deny" for neither, and the deny is lost
        problem = "effect"
    if problem:
        raise IntegrityFailed("policy_invalid", line=line, problem=problem)
    return cells[1:]


def _link(line: int, cells: list[str]) -> tuple[str, str]:
    if len(cells) != 3 or not (_prefixed(cells[1]) and cells[2].startswith("role:")):
        raise IntegrityFailed("policy_invalid", line=line, problem="link")
    return cells[1], cells[2]


def _prefixed(name: str) -> bool:
    prefix, _, rest = name.partition(":")
    return prefix in ("user", "role") and bool(rest)


def _check_depth(links: list[tuple[str, str]]) -> None:
    """Walk the links level by level: whoever is still on the way after the most levels is too deep, or in a circle."""
    level = {a for a, _ in links}
    for _ in range(_MOST_LEVELS):
        level = {b for a, b in links if a in level}
    if level & {a for a, _ in links}:
        raise IntegrityFailed("policy_invalid", line=0, problem="depth")
