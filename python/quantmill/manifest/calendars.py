"""Trading sessions per calendar: those of the library exchange_calendars, and where a desk knows better.

Corrections stand in one table, `seed_calendar_corrections.csv`, which the models and the data cycle both read: what is
expected of a symbol is the same in both.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantmill.errors import DataContractError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FIRST_SESSION = date(2010, 1, 1)

# Sessions are laid out far ahead so that the table depends on the landed data and the library alone, not on
# the day it is built: what an unscheduled closure changes later arrives with a new version of the library.
LAST_SESSION = date(2035, 12, 31)

# A time that every calendar of the library covers: from there it tells how far it reaches.
KNOWN = ("2020-01-01", "2020-12-31")

CORRECTIONS_FILE = "models/features/calendar/seed_calendar_corrections.csv"
KINDS = ("closed", "open", "hours")


@dataclass(frozen=True)
class Correction:
    """What is true of one date of one calendar: closed, or a session from `open_utc` to `close_utc` (UTC, no zone)."""

    calendar_id: str
    session_date: date
    kind: str
    open_utc: datetime | None
    close_utc: datetime | None


def read_corrections(root: Path) -> tuple[Correction, ...]:
    """Return the corrections in force of the project at `root`; what may be wrong with them says `corrections_of`."""
    with (root / CORRECTIONS_FILE).open(encoding="utf-8", newline="") as lines:
        return corrections_of(csv.DictReader(lines))


def corrections_of(rows: Iterable[Mapping[str, Any]]) -> tuple[Correction, ...]:
    """Return the corrections in force, ordered by calendar and date: of one date the newest version.

    `rows` has version, calendar_id, session_date, kind, open_utc, close_utc and reason, as texts or as what they mean.
    Raises `DataContractError` for a row that cannot be meant: an unknown kind, a date or time that is none, hours
    missing or where there are none, a close before its open or more than two days from its date, no reason, two rows
    of one version for one date.
    """
    newest: dict[tuple[str, date], tuple[int, Correction]] = {}
    for number, row in enumerate(rows, start=1):
        where = f"row {number} of {CORRECTIONS_FILE} ({row['calendar_id']} {row['session_date']})"
        try:
            version, day = int(row["version"]), _day(row["session_date"])
            opened, closed = _moment(row["open_utc"]), _moment(row["close_utc"])
        except (TypeError, ValueError) as error:
            raise _wrong(where, f"has a version, date or time that is none: {error}") from None
        kind = row["kind"]
        if kind not in KINDS:
            raise _wrong(where, f"has the kind {kind!r}; it is one of {', '.join(KINDS)}")
        if not str(row["reason"] or "").strip():
            raise _wrong(where, "gives no reason")
        if kind == "closed":
            if opened or closed:
                raise _wrong(where, "is closed and has hours")
        elif opened is None or closed is None:
            raise _wrong(where, f"is {kind} and lacks open_utc or close_utc")
        elif not (opened < closed and all(abs(at.date() - day) <= timedelta(days=2) for at in (opened, closed))):
            raise _wrong(where, f"has the hours {opened} to {closed}, which are not those of its date")
        key = (str(row["calendar_id"]), day)
        if key in newest and newest[key][0] == version:
            raise _wrong(where, f"is the second one of version {version}")
        if key not in newest or newest[key][0] < version:
            newest[key] = (version, Correction(*key, kind, opened, closed))
    return tuple(newest[key][1] for key in sorted(newest))


def calendar_sessions(
    calendar_ids: Sequence[str], first_bar: datetime | None, corrections: Sequence[Correction]
) -> pa.Table:
    """Return one row per calendar and session: calendar_id, session_date, open_utc, close_utc, is_half_day.

    Sessions run from the earlier of `first_bar` (None before anything is landed) and 2010-01-01 to the end of 2035.
    Where the library knows a calendar for a part of that time only, so do the rows: a bar before or after it is off the
    calendar. Times are UTC without a zone. A half day closes earlier than the calendar's usual close on that side of
    the clock change, or has corrected hours. No calendars give no rows.
    Raises `DataContractError` for a calendar that the library does not have, also where only a correction names it.
    """
    import exchange_calendars
    import pyarrow as pa

    names = set(exchange_calendars.get_calendar_names()) if corrections else set()
    own_name = exchange_calendars.calendar_utils.resolve_alias
    for one in corrections:
        if one.calendar_id not in names:
            raise _wrong(
                f"a row of {CORRECTIONS_FILE} ({one.calendar_id} {one.session_date})",
                "is of a calendar that exchange_calendars does not have, so no symbol can have it",
            )
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
        except exchange_calendars.errors.InvalidCalendarName:
            raise DataContractError(
                f"symbols name the calendar {calendar_id!r}, which exchange_calendars does not have",
                remedy="land metadata with one of its names, such as XNYS or 24/7",
                calendar_id=calendar_id,
            ) from None
        first, last = known.bound_min(), known.bound_max()
        calendar = exchange_calendars.get_calendar(
            calendar_id,
            start=str(start if first is None else max(start, first.date())),
            end=str(LAST_SESSION if last is None else min(LAST_SESSION, last.date())),
        )
        sessions = _corrected(
            _library_sessions(calendar),
            [
                one
                for one in corrections
                if own_name(one.calendar_id) == own_name(calendar_id) and start <= one.session_date <= LAST_SESSION
            ],
        )
        parts.append(
            pa.table(
                {
                    "calendar_id": pa.array([calendar_id] * len(sessions)),
                    "session_date": pa.array(sessions.index.to_numpy().astype("datetime64[D]")),
                    "open_utc": pa.array(sessions["open_utc"].to_numpy().astype("datetime64[us]")),
                    "close_utc": pa.array(sessions["close_utc"].to_numpy().astype("datetime64[us]")),
                    "is_half_day": pa.array(sessions["is_half_day"].to_numpy().astype(bool)),
                },
                schema=schema,
            )
        )
    return pa.concat_tables(parts)


def _library_sessions(calendar: Any) -> pd.DataFrame:
    """Return open_utc, close_utc and is_half_day of each session of a calendar of the library, by date."""
    import pandas as pd

    schedule = calendar.schedule
    return pd.DataFrame(
        {
            "open_utc": schedule["open"].dt.tz_convert(None),
            "close_utc": schedule["close"].dt.tz_convert(None),
            "is_half_day": schedule.index.isin(pd.DatetimeIndex(calendar.early_closes)),
        },
        index=schedule.index,
    )


def _corrected(sessions: pd.DataFrame, corrections: Sequence[Correction]) -> pd.DataFrame:
    """Return `sessions` with `corrections` made, in the order of dates."""
    import pandas as pd

    for one in corrections:
        day = pd.Timestamp(one.session_date)
        if one.kind == "closed":
            sessions = sessions.drop(index=day, errors="ignore")
        else:
            sessions.loc[day] = [pd.Timestamp(one.open_utc), pd.Timestamp(one.close_utc), one.kind == "hours"]
    return sessions.sort_index() if corrections else sessions


def _day(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(value)


def _moment(value: Any) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    moment = datetime.fromisoformat(value) if value.strip() else None
    if moment is not None and moment.tzinfo is not None:
        raise ValueError(f"{value} has a zone; write UTC without one")
    return moment


def _wrong(where: str, what: str) -> DataContractError:
    return DataContractError(f"{where} {what}", remedy="correct the row, or add one of a higher version")
