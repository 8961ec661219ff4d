"""Answers on the terminal: intervals beside numbers, and CSV that no spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from sandbox.cli import answers

LAPLACE = {"mechanism": "laplace", "level": 0.95}


def body() -> dict[str, Any]:
    return {
        "id": "qry_1", "grant": "grt_1", "dataset": "health.rwm5yr", "version": 1, "purpose": "research",
        "columns": [
            {"label": "year", "kind": "key", "type": "integer", "mechanism": None, "scale": None, "level": None},
            {"label": "count", "kind": "count", "type": "integer", **LAPLACE, "scale": 20.0},
            {"label": "avg_docvis", "kind": "avg", "type": "decimal", **LAPLACE, "scale": 9.0},
        ],
        "rows": [[1984, 3874, 3.1416], [None, -3, 60.0]],
        "low": [[None, 3814, 3.0], [None, -63, 0.0]],
        "high": [[None, 3934, 3.3], [None, 57, 121.0]],
        "flags": [[], ["few"]],
        "bounds": {"rows_per_unit": 5, "text": {"en": "each id gives at most 5 rows", "zh": "每个 id 最多 5 行"}},
        "price": {"eps_p": "1000000000000", "rho": "0", "delta": "0"},
        "epsilon": "1", "left": {"pure": "2", "gaussian_rho": "0.1", "gaussian_epsilon": "1.9"},
        "rung": 0.25, "event": "evt_1", "facts": [], "promise": {"en": "-", "zh": "-"},
    }  # fmt: skip


def test_a_table_has_the_interval_beside_each_number(capsys: pytest.CaptureFixture[str]) -> None:
    answers.table(body())
    out = capsys.readouterr().out
    assert "3,874" in out
    assert "[3,814, 3,934]" in out
    assert "3.14" in out
    assert "[3.00, 3.30]" in out
    assert "60*" in out
    assert "NULL" in out


def test_beneath_it_stands_what_was_paid_and_where_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    answers.table(body())
    out = capsys.readouterr().out
    for told in ("at most 5 rows", "最多 5 行", "laplace, scale 20", "epsilon 1 (eps_p 1)", "pure 2", "evt_1", "few"):
        assert told in out, told


def test_an_answer_by_relative_accuracy_marks_what_errs_by_more(capsys: pytest.CaptureFixture[str]) -> None:
    wide = body() | {
        "flags": [[], ["wide"]],
        "accuracy": {
            "within": "5%", "releases": 4, "reached": False, "wide": 1, "text": {"en": "not reached", "zh": "未达到"},
        },
    }  # fmt: skip
    answers.table(wide)
    out = capsys.readouterr().out
    for told in ("-3*", "a larger part of it than was asked", "误差占比大于所求", "not reached", "未达到"):
        assert told in out, told
    assert "3,874*" not in out


def test_decimals_follow_the_intervals_width() -> None:
    assert answers.digits(0.0, 1000.0) == 0
    assert answers.digits(0.0, 1.0) == 2
    assert answers.digits(3.00, 3.02) == 3
    assert answers.digits(None, None) == 2
    assert answers.digits(0.0, 0.0) == 2


def test_csv_holds_each_number_with_its_ends() -> None:
    rows = list(csv.reader(io.StringIO(answers.csv_of(body()))))
    assert rows[0] == ["year", "count", "count_low", "count_high", "avg_docvis", "avg_docvis_low", "avg_docvis_high", "flags"]
    assert rows[1] == ["1984", "3874", "3814", "3934", "3.1416", "3.0", "3.3", ""]
    assert (rows[2][1], rows[2][-1]) == ("-3", "few")


def test_lists_and_ranks_are_told_with_their_widths(capsys: pytest.CaptureFixture[str]) -> None:
    listed = body() | {"rows": [[[1, 9], [7, 8]]], "low": [[None, [5, 6]]], "high": [[None, [9, 10]]], "flags": [["rank"]]}
    listed["columns"] = [
        {"label": "q", "kind": "quantiles", "type": "list", "mechanism": "gumbel", "scale": [2.5, 3.5], "level": 0.95,
         "elements": "integer", "ranks": [[1, 4], [3, 4]], "rank_half_widths": [20.0, 30.0]},
        {"label": "h", "kind": "histogram", "type": "list", **LAPLACE, "scale": 1.0, "bins": [0, 10, 21]},
    ]  # fmt: skip
    answers.table(listed)
    out = " ".join(capsys.readouterr().out.split())
    for told in ("1, 9*", "± 20, 30 rows", "0: 7; 10: 8", "± 2", "q: gumbel, scale 2.5 / 3.5", "half of all rows"):
        assert told in out
    heads, row = csv.reader(io.StringIO(answers.csv_of(listed)))
    assert heads == ["q", "q_rank_half_width", "h", "h_low", "h_high", "h_bins", "flags"]
    assert row == ["[1, 9]", "[20.0, 30.0]", "[7, 8]", "[5, 6]", "[9, 10]", "[0, 10, 21]", "rank"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_text_that_would_be_a_formula_is_escaped(text: str) -> None:
    assert answers.escaped(text) == "'" + text


@pytest.mark.parametrize("value", ["AA", "", -1, -1.5, None, True])
def test_what_is_no_formula_is_let_be(value: object) -> None:
    assert answers.escaped(value) is value


def test_markup_in_a_label_is_only_text(capsys: pytest.CaptureFixture[str]) -> None:
    strange = body()
    strange["columns"][0]["label"] = "[red]x[/red]"
    strange["rows"][0][0] = "[bold]AA\x1b[31m"
    answers.table(strange)
    out = capsys.readouterr().out
    assert "[red]x[/red]" in out
    assert "\x1b" not in out
