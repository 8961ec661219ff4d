"""The month's page over HTTP: signed by the log's key, and every figure of it follows from an export."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from sandbox.audit.checkpoint import sign_note
from sandbox.audit.report import check_report, open_report
from sandbox.cli.exports import take
from sandbox.gateway import monthly
from tests.unit.gateway.living import Living, living


def page(alive: Living, month: str, who: str = "auditor") -> httpx2.Response:
    return alive.client.get("/v1/log/report", params={"month": month}, headers=alive.who(who))


def this_month(alive: Living) -> str:
    return alive.house.clock.text()[:7]


def vkey(alive: Living) -> str:
    return (alive.house.home / "log.vkey").read_text("utf-8")


def test_every_figure_follows_from_the_export(full: Living, tmp_path: Path) -> None:
    assert page(full, this_month(full), "rival").status_code == 403
    for number in range(3):
        asked = full.client.post(
            "/v1/queries", json={"sql": "SELECT count(*) FROM health.visits", "epsilon": "0.1"},
            headers={**full.who("engineer"), "Idempotency-Key": f"monthly-{number}"},
        )  # fmt: skip
        assert asked.status_code == 200
    made = page(full, this_month(full))
    assert made.status_code == 200
    note = made.json()["note"]
    take([full.client.get("/v1/log/export", headers=full.who("auditor")).content], tmp_path / "export")
    assert check_report(note, vkey(full), tmp_path / "export") == []
    text, month, _ = open_report(note, vkey(full))
    assert month == this_month(full) == made.json()["month"]
    assert "| created 新增 | 1 |" in text
    assert "not_your_role" in text


def test_a_page_that_says_otherwise_is_found_out(full: Living, tmp_path: Path) -> None:
    text, _, _ = open_report(page(full, this_month(full)).json()["note"], vkey(full))
    take([full.client.get("/v1/log/export", headers=full.who("auditor")).content], tmp_path / "export")
    forged = text.replace("| created 新增 | 1 |", "| created 新增 | 2 |")
    assert forged != text
    signed = sign_note(forged, full.house.log_name, full.house.log_key)
    assert any("created 新增 | 2" in found for found in check_report(signed, vkey(full), tmp_path / "export"))


def test_it_is_the_auditors_and_reading_it_is_logged(full: Living) -> None:
    for name in ("operator", "steward", "member1", "engineer"):
        response = page(full, this_month(full), name)
        assert (response.status_code, response.json()["code"]) == (403, "not_your_role")
    before = len(full.events("log.read"))
    page(full, this_month(full))
    page(full, "2026-13")
    assert [e["what"] for e in full.events("log.read")[before:]] == ["report"]


@pytest.mark.parametrize(
    ("month", "code"),
    [("2026-13", "month_malformed"), ("2026-1", "month_malformed"), ("26-11", "month_malformed"), ("", "month_malformed"),
     ("2026-11-01", "month_malformed"), ("２０２６-11", "month_malformed"), ("2026-11\n", "month_malformed"),
     ("9999-12", "month_to_come"), ("1999-12", "month_before_log"), ("x" * 41, "request_invalid")],
)  # fmt: skip
def test_what_is_no_month_is_refused(full: Living, month: str, code: str) -> None:
    response = page(full, month)
    assert (response.status_code, response.json()["code"]) == (400, code)


def test_a_log_that_nobody_signed_has_no_page(tmp_path: Path) -> None:
    with living(tmp_path) as alive:
        response = page(alive, this_month(alive))
        assert (response.status_code, response.json()["code"]) == (404, "checkpoint_missing")


def test_months_end_where_the_next_begin() -> None:
    """Events on both sides of a month's end, also of a year's."""
    assert monthly._span("2026-11") == ("2026-11", "2026-12")
    assert monthly._span("2026-12") == ("2026-12", "2027-01")
    start, end = monthly._span("2026-12")
    inside = ["2026-12-01T00:00:00.000Z", "2026-12-31T23:59:59.999Z"]
    outside = ["2026-11-30T23:59:59.999Z", "2027-01-01T00:00:00.000Z"]
    assert all(start <= at < end for at in inside)
    assert not any(start <= at < end for at in outside)
