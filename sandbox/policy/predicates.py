"""The named conditions of policy rules: each is a pure function whose docstring is the rule it states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from sandbox.errors import Param
from sandbox.flow import GrantTerms, Principal

Context: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a condition does not hold: a code, and declared facts for its text."""

    code: str
    params: Mapping[str, Param] = field(default_factory=dict)


Predicate: TypeAlias = Callable[[Principal, Context], Refusal | None]


def always(_principal: Principal, _context: Context) -> Refusal | None:
    """The role is enough."""
    return None


def own_tenant(principal: Principal, context: Context) -> Refusal | None:
    """What is asked for (context `tenant`: whose it is) belongs to the principal's own organisation."""
    return None if _text(context, "tenant") == principal.tenant else Refusal(code="not_yours")


def second_person(principal: Principal, context: Context) -> Refusal | None:
    """Of two persons the second: not the one who proposed it, and of another organisation than the owner's.

    Context: `tenant` (the owner), `proposed_by`.
    """
    mine = _text(context, "tenant") == principal.tenant or _text(context, "proposed_by") == principal.id
    return Refusal(code="removal_own_side") if mine else None


def granted(principal: Principal, context: Context) -> Refusal | None:
    """A grant of the principal's own organisation covers the dataset, the action and the purpose, and is in force now.

    Context: `grant` (GrantTerms or None) with `grant_state`, `dataset`, `action`, `purpose` (None: the grant's own),
    `now`; `candidates` (ids) when several grants would do; `nearest`, of the datasets that the company may read, to the
    one that none names; `dataset_state`. `sandbox.policy.grants.query_context` makes it.
    """
    terms = context["grant"]
    if terms is None:
        return _none_chosen(context)
    if not isinstance(terms, GrantTerms):
        raise TypeError("grant")
    if terms.tenant != principal.tenant:  # another company's grant: not even told that there is one
        return _none_chosen({name: context.get(name) for name in ("dataset", "nearest")})
    return _covers(terms, context) or _in_force(terms, context) or _in_use(context)


def _none_chosen(context: Context) -> Refusal:
    candidates = context.get("candidates") or ()
    if isinstance(candidates, tuple) and len(candidates) > 1:
        return Refusal(code="grant_ambiguous", params={"grants": sorted(map(str, candidates))})
    near = context.get("nearest")
    nearest = near if isinstance(near, str) else None
    return Refusal(code="no_grant", params={"dataset": _text(context, "dataset"), "nearest": nearest})


def _covers(terms: GrantTerms, context: Context) -> Refusal | None:
    dataset, action, purpose = _text(context, "dataset"), _text(context, "action"), context["purpose"]
    if dataset not in terms.datasets:
        return Refusal(
            code="dataset_not_granted", params={"dataset": dataset, "grant": terms.id, "granted": list(terms.datasets)}
        )
    if action not in terms.actions:
        return Refusal(
            code="action_not_granted", params={"action": action, "grant": terms.id, "granted": list(terms.actions)}
        )
    if purpose is not None and purpose != terms.purpose:
        return Refusal(
            code="wrong_purpose", params={"asked": str(purpose), "granted": terms.purpose, "grant": terms.id}
        )
    return None


def _in_force(terms: GrantTerms, context: Context) -> Refusal | None:
    state, now = _text(context, "grant_state"), _text(context, "now")
    if state == "expired" or (state == "active" and now >= terms.expires_at):
        return Refusal(code="grant_expired", params={"grant": terms.id, "expired_at": terms.expires_at})
    if state != "active":
        return Refusal(code="grant_not_active", params={"grant": terms.id, "state": state})
    if now < terms.starts_at:
        return Refusal(code="grant_not_started", params={"grant": terms.id, "starts_at": terms.starts_at})
    return None


def _in_use(context: Context) -> Refusal | None:
    """Said to who may read the dataset alone: to others, not even that there is one."""
    dataset = _text(context, "dataset")
    match context.get("dataset_state"):
        case "retired":
            return Refusal(code="dataset_retired", params={"dataset": dataset})
        case "destroying" | "destroyed":
            return Refusal(code="dataset_destroyed", params={"dataset": dataset})
        case _:
            return None


def _text(context: Context, name: str) -> str:
    value = context[name]
    if not isinstance(value, str):
        raise TypeError(name)
    return value


PREDICATES: Final[Mapping[str, Predicate]] = {
    "always": always, "own_tenant": own_tenant, "second_person": second_person, "granted": granted,
}  # fmt: skip
"""The only words a rule's `when` may hold."""
