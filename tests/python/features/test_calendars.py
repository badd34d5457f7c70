"""Sessions of the calendars, as far as they are known facts."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from quantmill.errors import DataContractError
from quantmill.features.calendars import calendar_sessions


@pytest.fixture(scope="module")
def sessions() -> dict[str, dict[date, dict[str, Any]]]:
    rows = calendar_sessions(["XNYS", "24/7"], datetime(1990, 1, 2)).to_pylist()
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
    later = calendar_sessions(["XNYS"], datetime(2020, 5, 5))["session_date"].to_pylist()
    assert min(later) == date(2010, 1, 4)


def test_the_calendar_does_not_depend_on_how_late_the_data_reach() -> None:
    early = calendar_sessions(["XNYS"], datetime(2015, 1, 1))
    late = calendar_sessions(["XNYS"], datetime(2022, 1, 1))
    assert early.equals(late)


def test_a_calendar_that_the_library_knows_in_part_reaches_as_far_as_it_is_known() -> None:
    found = calendar_sessions(["XBOM", "XNYS"], datetime(1990, 1, 2)).to_pylist()
    of = {name: [row["session_date"] for row in found if row["calendar_id"] == name] for name in ("XBOM", "XNYS")}
    assert min(of["XBOM"]).year == 1997
    assert date(2025, 12, 31) < max(of["XBOM"]) < max(of["XNYS"])
    assert (min(of["XNYS"]), max(of["XNYS"]).year) == (date(1990, 1, 2), 2035)


def test_an_unknown_calendar_is_named(sessions: Any) -> None:
    with pytest.raises(DataContractError, match="'MARS', which exchange_calendars does not have"):
        calendar_sessions(["MARS"], datetime(2020, 1, 1))
