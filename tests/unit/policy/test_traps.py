"""The traps of Casbin that security.md lists, each shown to be closed."""

from __future__ import annotations

import logging
from itertools import pairwise
from pathlib import Path

import casbin
import pytest

from sandbox.errors import Denied, IntegrityFailed
from sandbox.flow import Principal
from sandbox.policy import predicates
from sandbox.policy.decisions import Policy
from sandbox.policy.files import policies_folder

ENGINEER = Principal(id="prn_e", tenant="ten_us", roles=frozenset({"engineer"}))
RULE = "p, role:engineer, thing, read, always, allow\n"


def load(folder: Path, rules: str) -> Policy:
    folder.mkdir(exist_ok=True)
    (folder / "model.conf").write_bytes((policies_folder() / "model.conf").read_bytes())
    (folder / "roles.csv").write_text(rules, encoding="utf-8")
    return Policy.load(folder)


def problem(folder: Path, rules: str) -> object:
    with pytest.raises(IntegrityFailed) as caught:
        load(folder, rules)
    assert caught.value.code == "policy_invalid"
    return caught.value.params["problem"], caught.value.params["line"]


def test_an_empty_policy_is_refused(tmp_path: Path) -> None:
    assert problem(tmp_path, "# nothing\n\n") == ("empty", 0)
    assert problem(tmp_path, "g, role:engineer, role:member\n") == ("empty", 0)


def test_casbin_itself_allows_empty_texts_under_an_empty_policy() -> None:
    model = casbin.Enforcer.new_model(text=(policies_folder() / "model.conf").read_text(encoding="utf-8"))
    enforcer = casbin.Enforcer(model)
    enforcer.add_function("plays", lambda _names, _who: True)
    enforcer.add_function("cond", lambda _when, _asked: True)
    assert enforcer.enforce("", "", "", "") is True  # the trap is real


@pytest.mark.parametrize(
    ("principal", "noun", "verb"),
    [
        (Principal(id="", tenant="ten_us", roles=frozenset({"engineer"})), "thing", "read"),
        (Principal(id="prn_e", tenant="", roles=frozenset({"engineer"})), "thing", "read"),
        (ENGINEER, "", "read"),
        (ENGINEER, "thing", ""),
        (Principal(id="", tenant="", roles=frozenset({""})), "", ""),
    ],
)
def test_empty_arguments_are_refused(tmp_path: Path, principal: Principal, noun: str, verb: str) -> None:
    assert not load(tmp_path, RULE).decide(principal, noun, verb, {}).allowed


@pytest.mark.parametrize("effect", ["Deny", "DENY", "Allow", "deny ;", "1"])
def test_an_effect_other_than_allow_or_deny_is_refused(tmp_path: Path, effect: str) -> None:
    assert problem(tmp_path, f"{RULE}p, role:engineer, thing, read, always, {effect}\n") == ("effect", 2)


def test_a_deny_beats_an_allow(tmp_path: Path) -> None:
    policy = load(tmp_path, f"{RULE}p, user:prn_e, thing, read, always, deny\n")
    decision = policy.decide(ENGINEER, "thing", "read", {})
    assert (decision.allowed, decision.reason) == (False, "not_your_role")
    other = Principal(id="prn_f", tenant="ten_us", roles=frozenset({"engineer"}))
    assert policy.decide(other, "thing", "read", {}).allowed


@pytest.mark.parametrize("when", ["True) or (True", "True", "eval(p.sub)", "__import__('os')", "always()", "Always"])
def test_a_condition_is_a_name_and_never_evaluated(tmp_path: Path, when: str) -> None:
    assert problem(tmp_path, f'p, role:auditor, thing, read, "{when}", allow\n') == ("condition", 1)


def test_an_injected_request_matches_nothing(tmp_path: Path) -> None:
    policy = load(tmp_path, RULE)
    assert not policy.decide(ENGINEER, "True) or (True", "read", {}).allowed
    assert not policy.decide(ENGINEER, "thing", "read || True", {}).allowed


def test_the_model_calls_no_eval() -> None:
    assert "eval" not in (policies_folder() / "model.conf").read_text(encoding="utf-8").split("[request_definition]")[1]


def chain(links: int) -> str:
    names = ["role:engineer", *(f"role:r{n}" for n in range(1, links + 1))]
    text = "".join(f"g, {a}, {b}\n" for a, b in pairwise(names))
    return text + f"p, {names[-1]}, thing, read, always, allow\n"


def test_the_deepest_role_that_casbin_finds_is_found(tmp_path: Path) -> None:
    assert load(tmp_path, chain(9)).decide(ENGINEER, "thing", "read", {}).allowed


def test_deeper_roles_are_refused_at_load_not_denied_in_silence(tmp_path: Path) -> None:
    assert problem(tmp_path, chain(10)) == ("depth", 0)
    circle = "g, role:a, role:b\ng, role:b, role:a\n" + RULE
    assert problem(tmp_path, circle) == ("depth", 0)


@pytest.mark.parametrize("name", ["role:auditor", "auditor", "user:prn_a"])
def test_a_user_named_like_a_role_is_not_that_role(tmp_path: Path, name: str) -> None:
    policy = load(tmp_path, "p, role:auditor, thing, read, always, allow\np, user:prn_a, thing, read, always, allow\n")
    impostor = Principal(id=name, tenant="ten_us", roles=frozenset())
    assert not policy.decide(impostor, "thing", "read", {}).allowed


@pytest.mark.parametrize("role", ["role:auditor", "user:prn_a", "member", "Auditor"])
def test_only_the_known_roles_count(tmp_path: Path, role: str) -> None:
    policy = load(
        tmp_path,
        "p, role:auditor, thing, read, always, allow\np, role:member, thing, read, always, allow\n"
        "p, user:prn_a, thing, read, always, allow\n",
    )
    assert not policy.decide(Principal(id="prn_b", tenant="t", roles=frozenset({role})), "thing", "read", {}).allowed


@pytest.mark.parametrize("rule", ["p, auditor, thing, read, always, allow", "p, role:, thing, read, always, allow"])
def test_a_name_without_its_prefix_is_refused(tmp_path: Path, rule: str) -> None:
    assert problem(tmp_path, rule) == ("prefix", 1)


@pytest.mark.parametrize(
    "line", ["P, role:engineer, thing, read, always, allow", "q, x", "p, role:engineer, thing, read, allow", "p,,,,,"]
)
def test_a_line_that_casbin_would_skip_is_refused(tmp_path: Path, line: str) -> None:
    assert problem(tmp_path, f"{RULE}{line}\n") == ("cells", 2)


@pytest.mark.parametrize("line", ["g, role:engineer", "g, role:engineer, user:prn_a", "g, engineer, role:member"])
def test_a_wrong_link_is_refused(tmp_path: Path, line: str) -> None:
    assert problem(tmp_path, f"{RULE}{line}\n") == ("link", 2)


def test_a_reload_leaves_the_live_policy_alone(tmp_path: Path) -> None:
    live = load(tmp_path, "g, role:engineer, role:member\np, role:member, thing, read, always, allow\n")
    fresh = load(tmp_path, "p, role:member, thing, read, always, allow\n")
    with pytest.raises(IntegrityFailed):
        load(tmp_path, "")
    assert live.decide(ENGINEER, "thing", "read", {}).allowed
    assert not fresh.decide(ENGINEER, "thing", "read", {}).allowed


@pytest.mark.parametrize("failure", [KeyError, RuntimeError, RecursionError, ZeroDivisionError])
def test_any_exception_is_a_denial_and_is_logged_without_its_text(
    tmp_path: Path, failure: type[Exception], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_principal: Principal, _context: object) -> None:
        raise failure("secret cell")

    monkeypatch.setitem(predicates.PREDICATES, "broken", broken)  # type: ignore[arg-type]
    policy = load(tmp_path, "p, role:engineer, thing, read, broken, allow\n")
    with caplog.at_level(logging.DEBUG):
        decision = policy.decide(ENGINEER, "thing", "read", {})
    assert (decision.allowed, decision.reason) == (False, "decision_failed")
    assert failure.__name__ in caplog.text
    assert "secret cell" not in caplog.text


def test_a_condition_that_disappears_after_load_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(predicates.PREDICATES, "brief", predicates.always)  # type: ignore[arg-type]
    policy = load(tmp_path, "p, role:engineer, thing, read, brief, allow\n")
    monkeypatch.delitem(predicates.PREDICATES, "brief")  # type: ignore[arg-type]
    assert policy.decide(ENGINEER, "thing", "read", {}).reason == "decision_failed"


def test_a_denial_by_default_says_which_roles_would_do() -> None:
    decision = Policy.load().decide(ENGINEER, "event", "read_all", {})
    assert decision.reason == "not_your_role"
    assert decision.params == {"noun": "event", "verb": "read_all", "roles": ["auditor"]}
    with pytest.raises(Denied) as caught:
        decision.require()
    assert caught.value.code == "not_your_role"


def test_the_rule_that_allowed_is_named() -> None:
    auditor = Principal(id="prn_a", tenant="t", roles=frozenset({"auditor"}))
    decision = Policy.load().decide(auditor, "event", "read_all", {})
    decision.require()
    assert decision.rule == "role:auditor, event, read_all, always, allow"
