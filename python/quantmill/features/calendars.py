"""Trading sessions per calendar, from the library exchange_calendars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from quantmill.errors import DataContractError

if TYPE_CHECKING:
    import pyarrow as pa

FIRST_SESSION = date(2010, 1, 1)

# Sessions are laid out far ahead so that the table depends on the landed data and the library alone, not on
# the day it is built: what an unscheduled closure changes later arrives with a new version of the library.
LAST_SESSION = date(2035, 12, 31)

# A time that every calendar of the library covers: from there it tells how far it reaches.
KNOWN = ("2020-01-01", "2020-12-31")


def calendar_sessions(calendar_ids: Sequence[str], first_bar: datetime | None) -> pa.Table:
    """Return one row per calendar and session: calendar_id, session_date, open_utc, close_utc, is_half_day.

    Sessions run from the earlier of `first_bar` (None before anything is landed) and 2010-01-01 to the end of 2035.
    Where the library knows a calendar for a part of that time only, so do the rows: a bar before or after it is off the
    calendar. Times are UTC without a zone. A half day closes earlier than the calendar's usual close on that side of
    the clock change. No calendars give no rows.
    Raises `DataContractError` for a calendar that the library does not have.
    """
    import exchange_calendars
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    start = min(FIRST_SESSION, first_bar.date()) if first_bar else FIRST_SESSION
    schema = pa.schema(
        [
            ("calendar_id", pa.string()),
            ("session_date", pa.date32()),
            ("open_utc", pa.timestamp("us")),
            ("close_utc", pa.timestamp("us")),
            ("is_half_day", pa.bool_()),
        ]
    )
    parts = [schema.empty_table()]
    for calendar_id in sorted(calendar_ids):
        try:
            known = exchange_calendars.get_calendar(calendar_id, start=KNOWN[0], end=KNOWN[1])
            first, last = known.bound_min(), known.bound_max()
            calendar = exchange_calendars.get_calendar(
                calendar_id,
                start=str(start if first is None else max(start, first.date())),
                end=str(LAST_SESSION if last is None else min(LAST_SESSION, last.date())),
            )
        except exchange_calendars.errors.InvalidCalendarName:
            raise DataContractError(
                f"symbols name the calendar {calendar_id!r}, which exchange_calendars does not have",
                remedy="land metadata with one of its names, such as XNYS or 24/7",
                calendar_id=calendar_id,
            ) from None
        schedule = calendar.schedule
        early = pd.DatetimeIndex(calendar.early_closes)
        parts.append(
            pa.table(
                {
                    "calendar_id": pa.array([calendar_id] * len(schedule)),
                    "session_date": pa.array(schedule.index.to_numpy().astype("datetime64[D]")),
                    "open_utc": pa.array(_utc(schedule["open"])),
                    "close_utc": pa.array(_utc(schedule["close"])),
                    "is_half_day": pa.array(np.asarray(schedule.index.isin(early))),
                },
                schema=schema,
            )
        )
    return pa.concat_tables(parts)


def _utc(times: object) -> object:
    """Return zoned pandas times as UTC microseconds without a zone."""
    return times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[us]")  # type: ignore[attr-defined]
