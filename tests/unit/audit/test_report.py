"""The month's page: each figure follows from leaves that it names, and a page that says otherwise is found out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sandbox.audit.checkpoint import sign_note, vkey
from sandbox.audit.event import Event, decode
from sandbox.audit.export import write_export
from sandbox.audit.records import plain
from sandbox.audit.report import check_report, open_report, report
from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed, RequestError
from tests.unit.audit.story import NAME, PRIVATE, VKEY, Story, honest


def life() -> Story:
    story = honest()
    for reason in ("no_grant", "budget_exhausted", "no_grant"):
        story.tell("access.deny", "e1", {"noun": "query", "verb": "ask", "reason": reason})
    story.tell(
        "cap.forfeit", "system", {"cap": ["population", "pop_1"], "cost": {"eps_p": "0", "rho": "0", "delta": "5"}}
    )
    story.rows["caps/population/pop_1"]["spent_delta"] += 5
    path = "caps/population/pop_1"
    story.tell_rows("home.backup", "system", {"backup": "b"}, {path: story.rows[path]})
    return story


def events(story: Story) -> list[tuple[int, Event]]:
    return [(index, decode(body)) for index, body in enumerate(story.bodies)]


def page(story: Story, month: str = "2026-01") -> str:
    return sign_note(report(events(story), month, story.checkpoint()), NAME, PRIVATE)


def export(folder: Path, story: Story) -> Path:
    records = ((path, plain(row)) for path, row in story.rows.items())
    write_export(folder, story.checkpoint(), story.bodies, records)
    return folder


def row(text: str, label: str) -> list[str]:
    line = next(line for line in text.split("\n") if line.startswith(f"| {label}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_figure_has_its_leaves() -> None:
    story = life()
    text = page(story)
    assert row(text, "created")[1:] == ["1", "14"]
    assert row(text, "expired")[1:] == ["1", "18"]
    assert row(text, "charged")[1:] == ["2", "15–16"]
    assert row(text, "no_grant")[1:] == ["2", "19, 21"]
    assert row(text, "budget_exhausted")[1:] == ["1", "20"]
    assert row(text, "late answers")[1:] == ["0", "-"]
    assert row(text, "reviewed")[1:] == ["0", "-"]
    assert row(text, "pop_1 by queries")[1:] == [
        "eps_p 0.0000000005, rho 0.0000000004, delta 0.000000000000000002",
        "15–16",
    ]
    assert row(text, "pop_1 forfeited")[1:] == ["eps_p 0, rho 0, delta 0.000000000000000005", "22"]
    assert story.checkpoint().split("\n")[2] in text


def test_an_honest_page_is_proved_from_an_export_of_then_or_later(tmp_path: Path) -> None:
    story = life()
    signed = page(story)
    assert check_report(signed, VKEY, export(tmp_path / "then", story)) == []
    story.tell("access.deny", "e1", {"noun": "query", "verb": "ask", "reason": "no_grant"})
    assert check_report(signed, VKEY, export(tmp_path / "later", story)) == []
    assert check_report(page(story, "2025-12"), VKEY, tmp_path / "later") == []


def test_other_months_are_passed_over() -> None:
    assert all(figure[1] == "0" for figure in (row(page(life(), "2026-02"), label) for label in ("created", "charged")))
    assert "no_grant" not in page(life(), "2025-01")


@pytest.mark.parametrize("label", ["created", "charged", "no_grant", "pop_1 by queries"])
def test_a_page_that_was_signed_with_another_figure_is_found_out(tmp_path: Path, label: str) -> None:
    story = life()
    text = report(events(story), "2026-01", story.checkpoint())
    line = next(line for line in text.split("\n") if line.startswith(f"| {label}"))
    for changed in (re.sub(r"\d", "7", line, count=1), line.replace("| 1", "| 9", 1), line + " x", ""):
        if changed == line:
            continue
        signed = sign_note(text.replace(line, changed), NAME, PRIVATE)
        findings = check_report(signed, VKEY, export(tmp_path / f"{len(list(tmp_path.iterdir()))}", story))
        assert any("the page says" in finding for finding in findings)
    signed = sign_note(text.replace(f"{line}\n", ""), NAME, PRIVATE)
    assert check_report(signed, VKEY, export(tmp_path / "gone", story))


def test_a_page_of_another_log_or_history_is_found_out(tmp_path: Path) -> None:
    other = life()
    other.bodies[-1] = other.bodies[-1].replace(b'"backup":"b"', b'"backup":"c"')
    findings = check_report(page(other), VKEY, export(tmp_path / "export", life()))
    assert any("does not sign a beginning" in finding for finding in findings)


def test_a_page_that_is_not_signed_or_none_is_refused() -> None:
    signed = page(life())
    with pytest.raises(IntegrityFailed, match="note_not_signed"):
        open_report(signed.replace("| 1 |", "| 2 |", 1), VKEY)
    with pytest.raises(IntegrityFailed, match="note_not_signed"):
        open_report(signed, vkey(NAME, INTL.public_key(bytes(32))))
    with pytest.raises(IntegrityFailed, match="report_malformed"):
        open_report(life().checkpoint(), VKEY)
    assert open_report(signed, VKEY)[1:] == ("2026-01", life().checkpoint())


@pytest.mark.parametrize("month", ["", "2026", "2026-13", "2026-1", "2026-01-01", "x", "2026-00"])
def test_what_is_no_month_is_refused(month: str) -> None:
    with pytest.raises(RequestError, match="month_malformed"):
        report([], month, Story().checkpoint())


def test_an_event_that_does_not_tell_its_reason_is_named() -> None:
    story = Story()
    story.tell("access.deny", "e1", {})
    with pytest.raises(IntegrityFailed, match="event_malformed"):
        page(story)


def test_a_word_in_an_event_cannot_write_on_the_page() -> None:
    story = Story()
    story.tell("access.deny", "e1", {"reason": "x | 9 | 1 |\n## Grants"})
    assert row(page(story), "x")[0] == "x???9???1??????Grants"


def test_many_scattered_leaves_are_told_by_their_digest() -> None:
    story = Story()
    for number in range(40):
        kind = {"noun": "query", "verb": "ask", "reason": "no_grant"} if number % 2 else {}
        story.tell("access.deny" if number % 2 else "answer.read", "e1", kind)
    places = row(page(story), "no_grant")[2]
    listed = "".join(f"{n}\n" for n in range(1, 40, 2)).encode()
    assert places == f"20 of 其中 1–39, sha256 {INTL.digest(listed).hex()}"
