"""Sessions of the calendars, as far as they are known facts."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from quantmill.errors import DataContractError
from quantmill.manifest.calendars import calendar_sessions, corrections_of, read_corrections


@pytest.fixture(scope="module")
def sessions() -> dict[str, dict[date, dict[str, Any]]]:
    rows = calendar_sessions(["XNYS", "24/7"], datetime(1990, 1, 2), ()).to_pylist()
    found: dict[str, dict[date, dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["calendar_id"], {})[row["session_date"]] = row
    return found


@pytest.mark.parametrize(
    "holiday",
    [
        date(2022, 12, 26),  # Christmas, observed
        date(2022, 6, 20),  # Juneteenth, observed: a holiday since 2022
        date(2012, 10, 29),  # hurricane Sandy
        date(2001, 9, 12),  # after the attacks
        date(2018, 12, 5),  # mourning
        date(2022, 12, 24),  # a Saturday
    ],
)
def test_new_york_has_no_session_on_a_holiday_or_closure(holiday: date, sessions: Any) -> None:
    assert holiday not in sessions["XNYS"]
    assert holiday in sessions["24/7"]


def test_new_york_closes_at_21_utc_in_winter_and_20_in_summer_and_early_on_half_days(sessions: Any) -> None:
    new_york = sessions["XNYS"]
    assert new_york[date(2022, 12, 28)]["close_utc"] == datetime(2022, 12, 28, 21)
    assert new_york[date(2022, 7, 1)]["close_utc"] == datetime(2022, 7, 1, 20)
    assert new_york[date(2022, 11, 25)]["close_utc"] == datetime(2022, 11, 25, 18)
    assert new_york[date(2022, 11, 25)]["is_half_day"]
    assert not new_york[date(2022, 12, 28)]["is_half_day"]


def test_the_calendar_reaches_back_to_the_first_bar_and_at_least_to_2010(sessions: Any) -> None:
    assert min(sessions["XNYS"]) == date(1990, 1, 2)
    later = calendar_sessions(["XNYS"], datetime(2020, 5, 5), ())["session_date"].to_pylist()
    assert min(later) == date(2010, 1, 4)


def test_the_calendar_does_not_depend_on_how_late_the_data_reach() -> None:
    early = calendar_sessions(["XNYS"], datetime(2015, 1, 1), ())
    late = calendar_sessions(["XNYS"], datetime(2022, 1, 1), ())
    assert early.equals(late)


def test_an_unknown_calendar_is_named(sessions: Any) -> None:
    with pytest.raises(DataContractError, match="'MARS', which exchange_calendars does not have"):
        calendar_sessions(["MARS"], datetime(2020, 1, 1), ())


def test_a_calendar_that_the_library_knows_in_part_reaches_as_far_as_it_is_known() -> None:
    found = calendar_sessions(["XBOM", "XNYS"], datetime(1990, 1, 2), ()).to_pylist()
    of = {name: [row["session_date"] for row in found if row["calendar_id"] == name] for name in ("XBOM", "XNYS")}
    assert min(of["XBOM"]).year == 1997
    assert date(2025, 12, 31) < max(of["XBOM"]) < max(of["XNYS"])
    assert (min(of["XNYS"]), max(of["XNYS"]).year) == (date(1990, 1, 2), 2035)


def row(**other: Any) -> dict[str, Any]:
    return {
        "version": "1", "calendar_id": "XNYS", "session_date": "2026-05-05", "kind": "closed", "open_utc": "",
        "close_utc": "", "reason": "mourning", **other,
    }  # fmt: skip


SATURDAY = row(
    session_date="2026-05-09", kind="open", open_utc="2026-05-09 13:30:00", close_utc="2026-05-09 20:00:00"
)  # fmt: skip
EARLY = row(
    session_date="2026-05-06", kind="hours", open_utc="2026-05-06 13:30:00", close_utc="2026-05-06 15:00:00"
)  # fmt: skip


def test_a_correction_closes_opens_and_shortens_sessions_of_its_calendar_alone() -> None:
    plain = calendar_sessions(["XNYS", "24/7"], datetime(2020, 1, 1), ()).to_pylist()
    corrected = calendar_sessions(
        ["XNYS", "24/7"], datetime(2020, 1, 1), corrections_of([SATURDAY, row(), EARLY])
    ).to_pylist()
    gone = [one for one in plain if one not in corrected]
    come = [one for one in corrected if one not in plain]
    assert [(one["calendar_id"], one["session_date"]) for one in gone] == [
        ("XNYS", date(2026, 5, 5)),
        ("XNYS", date(2026, 5, 6)),
    ]
    assert [(one["session_date"], one["close_utc"], one["is_half_day"]) for one in come] == [
        (date(2026, 5, 6), datetime(2026, 5, 6, 15), True),
        (date(2026, 5, 9), datetime(2026, 5, 9, 20), False),
    ]
    dates = [one["session_date"] for one in corrected if one["calendar_id"] == "XNYS"]
    assert dates == sorted(dates)


def test_a_correction_reaches_a_calendar_under_its_other_name() -> None:
    found = calendar_sessions(["NYSE"], None, corrections_of([row()]))
    assert date(2026, 5, 5) not in found["session_date"].to_pylist()


def test_of_one_date_the_newest_version_counts() -> None:
    again = {**EARLY, "version": 2, "session_date": date(2026, 5, 5)}
    (found,) = corrections_of([again, row()])
    assert (found.kind, found.close_utc) == ("hours", datetime(2026, 5, 6, 15))


def test_what_the_library_has_learned_since_is_no_error() -> None:
    christmas = corrections_of([row(session_date="2026-12-25")])
    assert calendar_sessions(["XNYS"], None, christmas).equals(calendar_sessions(["XNYS"], None, ()))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (row(kind="shut"), r"row 1 of .*\(XNYS 2026-05-05\) has the kind 'shut'; it is one of closed, open, hours"),
        (row(session_date="5 May"), "a version, date or time that is none"),
        (row(reason=" "), "gives no reason"),
        (row(kind="open"), "is open and lacks open_utc or close_utc"),
        ({**EARLY, "kind": "closed"}, "is closed and has hours"),
        ({**EARLY, "session_date": "2026-06-06"}, "not those of its date"),
        ({**EARLY, "close_utc": "2026-05-06 13:00:00"}, "not those of its date"),
        ({**EARLY, "close_utc": "2026-05-06 15:00:00+02:00"}, "has a zone"),
    ],
)
def test_a_correction_that_cannot_be_meant_is_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(DataContractError, match=said):
        corrections_of([wrong])


def test_two_corrections_of_one_version_for_one_date_are_refused() -> None:
    with pytest.raises(DataContractError, match=r"row 2 .* is the second one of version 1"):
        corrections_of([row(), row()])


def test_a_correction_of_a_calendar_that_nobody_can_have_is_named() -> None:
    unheard = corrections_of([row(calendar_id="NEWYORK")])
    with pytest.raises(
        DataContractError, match=r"NEWYORK 2026-05-05\) is of a calendar that exchange_calendars does not"
    ):
        calendar_sessions(["XNYS"], None, unheard)


def test_a_correction_before_the_first_session_adds_none() -> None:
    old = corrections_of(
        [row(session_date="2001-09-15", kind="open", open_utc="2001-09-15 13:30:00", close_utc="2001-09-15 20:00:00")]
    )
    assert calendar_sessions(["XNYS"], None, old).equals(calendar_sessions(["XNYS"], None, ()))
    assert len(calendar_sessions(["XNYS"], datetime(1990, 1, 2), old)) == 1 + len(
        calendar_sessions(["XNYS"], datetime(1990, 1, 2), ())
    )


def test_the_corrections_of_the_project_can_be_read() -> None:
    root = Path(__file__).resolve().parents[3]
    assert list(read_corrections(root)) == sorted(
        read_corrections(root), key=lambda one: (one.calendar_id, one.session_date)
    )
