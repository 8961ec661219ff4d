"""policies/decisions.csv, the policy's own table: every row holds, and no role, noun or verb is left out."""

from __future__ import annotations

import csv
from itertools import product

import pytest

from sandbox.flow import Principal
from sandbox.policy.decisions import ROLE_NAMES, Policy
from sandbox.policy.files import policies_folder, read_rules
from tests.policies.cases import CASES, US

TABLE = list(csv.DictReader((policies_folder() / "decisions.csv").read_text(encoding="utf-8").splitlines()))
RULES = [cells for _, cells in read_rules(policies_folder() / "roles.csv") if cells[0] == "p"]


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.load()


@pytest.mark.parametrize("row", TABLE, ids=lambda row: "-".join([*row.values()][:4]))
def test_row_of_the_table(policy: Policy, row: dict[str, str]) -> None:
    roles = frozenset() if row["roles"] == "none" else frozenset(row["roles"].split("+"))
    principal = Principal(id="prn_1", tenant=US, roles=roles)
    decision = policy.decide(principal, row["noun"], row["verb"], CASES[row["case"]]())
    assert (decision.allowed, decision.reason or "") == (row["allowed"] == "yes", row["reason"])
    assert bool(decision.rule) == decision.allowed


def test_table_is_complete_over_role_noun_and_verb() -> None:
    named = {(rule[2], rule[3]) for rule in RULES}
    told = {(row["roles"], row["noun"], row["verb"]) for row in TABLE}
    missing = [(r, n, v) for r, (n, v) in product(ROLE_NAMES, sorted(named)) if (r, n, v) not in told]
    assert not missing


def test_every_condition_is_told_with_a_yes_and_a_no() -> None:
    for rule in RULES:
        if rule[4] == "always":
            continue
        role = rule[1].removeprefix("role:")
        outcomes = {row["allowed"] for row in TABLE if (row["roles"], row["noun"], row["verb"]) == (role, *rule[2:4])}
        assert outcomes == {"yes", "no"}, rule


def test_every_reason_of_a_query_is_told() -> None:
    told = {row["reason"] for row in TABLE if row["noun"] == "query"}
    assert told >= {
        "no_grant", "grant_ambiguous", "wrong_purpose", "grant_expired", "grant_not_active", "grant_not_started",
        "dataset_not_granted", "action_not_granted", "not_your_role", "decision_failed",
    }  # fmt: skip
