"""The transition tables of applications, grants, queries, datasets, versions and removals: the only moves there are."""

from __future__ import annotations

from typing import Final

from sandbox.machine import Machine, Transition


def _move(sources: str, action: str, target: str, owner: str, event: str | None) -> Transition:
    return Transition(sources=tuple(sources.split()), action=action, target=target, owner=owner, event=event)


APPLICATION: Final = Machine(
    name="application",
    start="submitted",
    ends=frozenset({"approved", "rejected", "withdrawn"}),
    transitions=(
        _move("submitted", "ask_owners", "consent_pending", "engineer", "application.submit"),
        _move("submitted", "open_review", "in_review", "engineer", "application.submit"),
        _move("consent_pending", "consent", "consent_pending", "steward", "application.consent"),
        _move("consent_pending", "consent_last", "in_review", "steward", "application.consent"),
        _move("consent_pending", "refuse", "rejected", "steward", "application.reject"),
        _move("in_review", "vote", "in_review", "committee", "application.vote"),
        _move("in_review", "approve", "approved", "committee", "grant.create"),
        _move("in_review", "reject", "rejected", "committee", "application.reject"),
        _move("submitted consent_pending in_review", "withdraw", "withdrawn", "engineer", "application.withdraw"),
    ),
)
"""submitted is left in the transaction that enters it: for the owners' consent, or straight for the review."""

GRANT: Final = Machine(
    name="grant",
    start="active",
    ends=frozenset({"expired", "revoked", "stopped"}),
    transitions=(
        _move("active", "expire", "expired", "duty", "grant.expire"),
        _move("active", "revoke", "revoked", "committee", "grant.revoke"),
        _move("active", "stop", "stopped", "duty", "grant.stop"),
    ),
)

QUERY: Final = Machine(
    name="query",
    start="charged",
    ends=frozenset({"settled", "failed", "lost", "overrun"}),
    transitions=(
        _move("charged", "settle", "settled", "gateway", "query.settle"),
        _move("charged", "fail", "failed", "gateway", "query.fail"),
        _move("charged", "lose", "lost", "gateway", "query.fail"),
        _move("charged", "overrun", "overrun", "gateway", "query.overrun"),
        _move("charged", "take_over", "charged", "duty", None),
    ),
)
"""A query is born charged and stays so, whatever ends it (P6.5); a roll-up is free, and born settled (P6.4)."""

DATASET: Final = Machine(
    name="dataset",
    start="active",
    ends=frozenset({"destroyed"}),
    transitions=(
        _move("active", "retire", "retired", "steward", "dataset.retire"),
        _move("active retired", "destroy", "destroying", "committee", "dataset.destroy_confirm"),
        _move("destroying", "finish", "destroyed", "duty", "dataset.destroy"),
    ),
)
"""Only an active dataset is asked, applied for and updated; in `destroying` its keys are gone and its objects go."""

VERSION: Final = Machine(
    name="version",
    start="open",
    ends=frozenset({"destroyed"}),
    transitions=(
        _move("open", "withdraw", "withdrawn", "duty", "version.withdraw"),
        _move("open withdrawn", "destroy", "destroyed", "committee", "dataset.destroy_confirm"),
    ),
)
"""A correction withdraws the version before it."""

REMOVAL: Final = Machine(
    name="removal",
    start="asked",
    ends=frozenset({"retired", "declined", "destroyed"}),
    transitions=(
        _move("asked", "retire", "retired", "steward", "dataset.retire"),
        _move("asked", "propose", "proposed", "steward", "dataset.destroy_propose"),
        _move("proposed", "decline", "declined", "committee", "dataset.destroy_decline"),
        _move("proposed", "confirm", "destroying", "committee", "dataset.destroy_confirm"),
        _move("destroying", "finish", "destroyed", "duty", "dataset.destroy"),
    ),
)
"""asked is left in the transaction that enters it: a retirement is done at once, a destruction waits for a second."""
