"""The committee's rules as pure functions: each states its rule in its docstring and refuses what breaks it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sandbox.errors import Conflict, Denied, RequestError
from sandbox.flow import Cost, Principal
from sandbox.names import nearest
from sandbox.policy.terms import Application, DatasetFacts, PopulationFacts, Terms, Vote
from sandbox.privacy import accounting

VOTES_NEEDED: Final = 2
"""So many members' votes decide, for or against."""

REVIEW: Final = "review"
"""The round of the members' votes."""


def consent_round(dataset: str) -> str:
    """The round of a dataset owner's consent."""
    return f"consent:{dataset}"


# --- who may ------------------------------------------------------------------------------------------------------


def may_submit(principal: Principal) -> None:
    """A company's engineer applies."""
    _role(principal, "engineer")


def may_consent(principal: Principal, application: Application, dataset: DatasetFacts, votes: Sequence[Vote]) -> None:
    """A steward of the owning organisation consents, once for each dataset, never on an own application."""
    _role(principal, "steward")
    if principal.tenant != dataset.owner:
        raise Denied("consent_not_owner", dataset=dataset.name)
    if principal.id == application.principal:
        raise Denied("consent_own_application", application=application.id)
    if any(vote.round == consent_round(dataset.name) for vote in votes):
        raise Conflict("consent_already_given", application=application.id, dataset=dataset.name)


def may_vote(principal: Principal, application: Application, votes: Sequence[Vote]) -> None:
    """A committee member votes, once, and not on an application of the member's own organisation or making."""
    _role(principal, "committee")
    if principal.tenant == application.tenant or principal.id == application.principal:
        raise Denied("vote_own_side", application=application.id)
    if any(vote.round == REVIEW and vote.principal == principal.id for vote in votes):
        raise Conflict("vote_already_given", application=application.id)


def may_withdraw(principal: Principal, application: Application) -> None:
    """Only the applicant's organisation withdraws an application."""
    if principal.tenant != application.tenant:
        raise Denied("not_yours")


def may_revoke(principal: Principal) -> None:
    """One committee member is enough to revoke: taking back protects people, and a new application mends it."""
    _role(principal, "committee")


def _role(principal: Principal, role: str) -> None:
    if role not in principal.roles:
        raise Denied("not_your_role", noun="application", verb=role, roles=[role])


# --- what follows -------------------------------------------------------------------------------------------------


def consents_needed(datasets: Collection[DatasetFacts]) -> tuple[str, ...]:
    """The datasets whose manifest asks for the owner's consent, in order of their names."""
    return tuple(sorted(dataset.name for dataset in datasets if dataset.consent))


def consents_missing(needed: Sequence[str], votes: Sequence[Vote]) -> list[str]:
    """The datasets whose owner has not consented yet."""
    given = {vote.round for vote in votes if vote.approve}
    return [name for name in needed if consent_round(name) not in given]


def outcome(application: Application, votes: Sequence[Vote]) -> Literal["approve", "reject"] | None:
    """Two approving members approve and two rejecting members reject, whichever comes first; else it stays open.

    Counted anew from the votes, each member once, and nobody of the applicant's side.
    """
    for word, approve in (("approve", True), ("reject", False)):
        members = {
            vote.principal
            for vote in votes
            if vote.round == REVIEW and vote.approve is approve and vote.tenant != application.tenant
        }
        if len(members) >= VOTES_NEEDED:
            return "approve" if word == "approve" else "reject"
    return None


# --- what can be granted ------------------------------------------------------------------------------------------


def datasets_of(terms: Terms, found: Mapping[str, DatasetFacts], known: Collection[str]) -> list[DatasetFacts]:
    """A grant names datasets that exist, are protected and in use, and protect one population.

    Raises:
        RequestError: `terms_dataset_unknown` with the nearest name, `terms_dataset_public`, `terms_dataset_retired`,
            `grant_one_population`.
    """
    for name in terms.datasets:
        if name not in found:
            raise RequestError("terms_dataset_unknown", dataset=name, nearest=nearest(name, known))
        if found[name].population is None:
            raise RequestError("terms_dataset_public", dataset=name)
        if found[name].state != "active":
            raise RequestError("terms_dataset_retired", dataset=name)
    facts = [found[name] for name in terms.datasets]
    if len({dataset.population for dataset in facts}) > 1:
        raise RequestError("grant_one_population", datasets=list(terms.datasets))
    return facts


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantBudget:
    """What a grant's cap is opened with, in ledger units."""

    epsilon: int
    delta: int
    conversion: int
    opening: Cost


def budget(terms: Terms, population: PopulationFacts) -> GrantBudget:
    """A grant has at most its population's epsilon and a hundredth of its delta, half of that kept for conversion.

    Its cap opens with delta_0 of the population spent (P2.2), which must fit beside the reserve.

    Raises:
        RequestError: `grant_epsilon_range`; `grant_delta_too_small`, the population was declared with too many
            identifiers for its delta, so that no grant can be given on it.
    """
    if not 0 < terms.epsilon <= population.epsilon:
        raise RequestError(
            "grant_epsilon_range",
            epsilon=accounting.decimal(terms.epsilon),
            most=accounting.decimal(population.epsilon),
            population=population.name,
        )
    delta = population.delta // 100
    conversion = delta // 2
    opening = Cost(delta=accounting.delta_0(population.n_ids))
    if opening.delta + conversion > delta:
        most = (delta - conversion) * 2**64 // accounting.DELTA_UNIT
        raise RequestError("grant_delta_too_small", population=population.name, n_ids=population.n_ids, most=most)
    return GrantBudget(epsilon=terms.epsilon, delta=delta, conversion=conversion, opening=opening)
