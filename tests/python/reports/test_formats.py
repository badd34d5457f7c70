"""Numbers as people read them, with the exact value beside."""

from __future__ import annotations

import math

import pytest
from quantmill.reports import formats
from quantmill.reports.page import Section

OK = {"status": "ok", "reason": None}


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (0.12345, "percent", "12.3%"),
        (-0.12345, "percent", "−12.3%"),
        (0.00123, "fine", "0.12%"),
        (-0.0000001, "fine", "0.00%"),
        (0.774, "ratio", "0.77"),
        (1240.0, "count", "1,240"),
        (12.345, "percent", "1,234.5%"),
        (0.000123456, "plain", "0.0001235"),
    ],
)
def test_numbers_are_written_for_people(value: float, kind: str, text: str) -> None:
    assert formats.readable(value, kind) == text


def test_a_cell_keeps_the_exact_number_beside_the_rounded_one() -> None:
    cell = formats.number(0.1 + 0.2, "ratio")
    assert cell.text == "0.30"
    assert float(cell.sort) == 0.1 + 0.2
    assert cell.title == repr(0.1 + 0.2)


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_no_number_reads_n_a_and_tells_why(value: float | None) -> None:
    cell = formats.number(value, "ratio", reason="volatility is zero")
    assert (cell.text, cell.title, cell.sort) == ("n/a", "volatility is zero", "")


def test_an_undefined_metric_tells_its_status_and_reason() -> None:
    row = {"value": None, "status": "undefined", "reason": "volatility is below 1e-12"}
    assert formats.metric_cell(row, "sharpe").title == "undefined: volatility is below 1e-12"


def test_a_metric_that_was_not_computed_is_named() -> None:
    assert "sharpe" in formats.metric_cell(None, "sharpe").title


def test_an_unknown_metric_keeps_its_name() -> None:
    assert formats.metric_column("brand_new", is_extra=True).label == "brand_new"
    assert formats.metric_cell(OK | {"value": 0.123456}, "brand_new").text == "0.1235"


def test_an_unknown_count_is_written_as_one() -> None:
    assert formats.metric_cell(OK | {"value": 3.0}, "n_something").text == "3"


def test_zero_is_a_number_and_not_a_dash() -> None:
    assert formats.text(0).text == "0"
    assert formats.text(None).text == "–"


def test_a_section_is_as_bad_as_its_worst_finding() -> None:
    section = Section("x", "X")
    assert section.status == "FAIL"
    for status in ("OK", "WARN", "OK"):
        section.find(status, "found")
    assert section.status == "WARN"
    section.find("FAIL", "broken")
    assert (section.status, section.failures) == ("FAIL", ["broken"])


def test_what_holds_of_many_is_one_finding_that_names_the_first() -> None:
    section = Section("x", "X")
    section.find_each([("WARN", "no returns", name) for name in "abcdef"] + [("OK", "disabled", "g")])
    assert [finding.text for finding in section.findings] == [
        "no returns: a, b, c, d and 2 more.",
        "disabled: g.",
    ]
    assert section.status == "WARN"
