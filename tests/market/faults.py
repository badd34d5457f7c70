"""Faults on request: what the venue does wrong, for whom, how often and when.

A fault of the wire (a 429, a dropped connection, foreign packets) is taken by a request; a fault of the data changes
what bars say. `count` heals it after so many requests; `since` and `until` bound the moments (clock of the request)
at which it holds; `sources` bounds where, so that another source can be clean.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import count as counter
from typing import Any

import numpy as np

from .market import DAY, Bars, Market, epoch, epoch_of_day

SOURCES = ("tradingview_scanner", "tradingview_socket", "binance", "binance_bulk", "yahoo")
_GROUPS = {"tradingview": ("tradingview_scanner", "tradingview_socket"), "bars": SOURCES[1:]}

# name: what happens, and its options with their defaults
HTTP_FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "too_many_requests": ("429 with Retry-After", {"retry_after": 1}),
    "server_error": ("an error of the server", {"status": 500}),
    "drop": ("the connection is closed without an answer", {}),
    "truncated": ("the connection is closed in the middle of the body", {"share": 0.5}),
    "cut_json": ("the body ends in the middle, its length is right", {"share": 0.5}),
    "slow": ("the answer comes late", {"seconds": 1.0}),
    "html": ("200 with a page of HTML", {}),
    "blocked": ("451, as for a blocked country", {}),
    "banned": ("418, as after too many 429s", {"retry_after": 60}),
}
SCAN_FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "unknown_column": ("columns that vanished: 400 with the field's name", {"columns": ("Recommend.Other",)}),
    "retyped_column": ("numbers of a column come as text", {"columns": ("close",)}),
    "malformed_rows": (
        "rows with the wrong width, symbol or type",
        {"share": 0.02, "ways": ("width", "symbol", "type")},
    ),
    "wrong_venue_rows": ("rows of another venue or class than asked", {"rows": ("OKX:BTCUSDT",)}),
    "repeated_rows": ("the last rows of the page before come again", {"rows": 3}),
    "moved_rows": ("the ranking moves between pages: some rows twice, some never", {"rows": 3}),
    "short_page": ("a page has fewer rows than asked, the rest comes on the next", {"missing": 5}),
    "lost_rows": ("rows are counted but never come", {"rows": 5}),
    "empty_scan": ("no rows: data is null", {}),
}
SOCKET_FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "socket_refused": ("the handshake is answered with 429", {"status": 429}),
    "socket_drop": ("the socket closes after so many bars of a series", {"after_bars": 100}),
    "foreign_packets": (
        "packets of another series stand between those asked for: another series, session or turnaround",
        {"donor": "", "ways": ("series", "session", "turnaround")},
    ),
    "wrong_symbol": ("the symbol resolves to another one", {"donor": ""}),
    "no_completion": ("series_completed never comes", {}),
    "silence": ("no answer to a series at all, heartbeats go on", {}),
    "series_error": ("series_error in place of bars", {"text": "study_not_auth:bars"}),
    "symbol_error": ("symbol_error in place of the symbol", {"text": "invalid symbol"}),
    "critical_error": ("critical_error, and the socket closes", {}),
}
BULK_FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "wrong_checksum": ("the checksum is that of another file", {}),
    "broken_archive": ("the archive ends in the middle, the checksum is that of the whole one", {}),
}
DATA_FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "gap": ("sessions are missing: from first to last, every n-th", {"first": None, "last": None, "every": 1}),
    "stale": ("nothing after the session `last`", {"last": None}),
    "no_new_bars": ("the last sessions before the moment of asking are missing", {"sessions": 1}),
    "empty": ("no bars at all", {}),
    "spike": (
        "one close is wrong: given, a multiple of the close before, or that of a donor",
        {"day": None, "close": None, "move": None, "donor": None},
    ),
    "contamination": (
        "22 symbols carry foreign closes on one day, five of them the named moves",
        {"day": "2026-01-01"},
    ),
    "identical_rows": ("the rows are those of the donor", {"donor": "", "first": None, "last": None}),
    "shifted_overlap": ("some old bars differ from what was said before", {"share": 0.5, "size": 0.01}),
    "constant_ratio": ("all prices up to a day are multiplied by one ratio", {"ratio": 0.97, "until_day": None}),
    "split": ("prices before the day are those before a split that nobody announced", {"day": None, "ratio": 2.0}),
    "stray_bars": ("isolated old bars long before the first one", {"bars": 2, "sessions_before": 60, "ratio": 3.0}),
    "ohlc_inconsistent": ("the high is below the low", {"day": None}),
    "zero_price": ("the low is zero", {"day": None}),
    "negative_volume": ("the volume is negative", {"day": None}),
    "future_bar": ("a bar that opens after the moment of asking", {"days": 2}),
    "not_finite": (
        "values that are no numbers",
        {"day": None, "values": {"close": "NaN", "open": "abc", "high": None}},
    ),
    "numbers_as_text": ("numbers come as text", {"day": None}),
    "duplicate_timestamps": ("a bar comes twice, equal or with other values", {"day": None, "is_conflicting": False}),
    "unordered": ("the bars come newest first", {}),
    "wrong_unit": ("times in milliseconds or microseconds", {"factor": 1000}),
    "off_grid": ("times that are no session's opening", {"day": None, "seconds": 5400}),
    "off_calendar": ("a bar on a day without a session", {"day": None}),
    "collapse": ("the close falls to a fraction and stays there", {"day": None, "ratio": 0.005}),
    "volume_spike": ("one volume is a multiple of the usual", {"day": None, "factor": 60.0}),
    "stall": ("the close does not change", {"first": None, "last": None}),
}
ALL_FAULTS = {**HTTP_FAULTS, **SCAN_FAULTS, **SOCKET_FAULTS, **BULK_FAULTS, **DATA_FAULTS}

# The incident of 2026-01-01: the move of the day's close. ADA took the level of another coin.
NAMED_MOVES = {
    "BINANCE:ADAUSDT": None,
    "BINANCE:BNBUSDT": 1072.77,
    "BINANCE:LTCUSDT": 62.80,
    "BINANCE:PAXGUSDT": 2351945.85,
    "BINANCE:UNIUSDT": 10.59,
}
ADA_DONOR = "BINANCE:BCHUSDT"
_OTHERS = (
    "XRP", "DOGE", "TRX", "XLM", "HBAR", "ARB", "OP", "SEI", "FET", "GALA", "ALGO", "VET", "GRT", "SAND", "MANA", "CRV",
    "ONDO",
)  # fmt: skip
CONTAMINATED = (*NAMED_MOVES, *(f"BINANCE:{name}USDT" for name in _OTHERS))


@dataclass
class Fault:
    """One fault. `symbols`, `sources` None: all; `count` None: until it is taken away; `skip` requests are spared."""

    number: int
    name: str
    symbols: frozenset[str] | None
    sources: frozenset[str] | None
    count: int | None
    skip: int
    since: int | None
    until: int | None
    options: dict[str, Any]
    hits: int = 0
    spared: int = 0

    def reaches(self, source: str, symbols: Iterable[str] | None, moment: int) -> bool:
        """Return whether a request is within the scope; symbols None: the request names none."""
        if self.count is not None and self.hits >= self.count:
            return False
        if self.sources is not None and source not in self.sources:
            return False
        if (self.since is not None and moment < self.since) or (self.until is not None and moment >= self.until):
            return False
        return self.symbols is None or (symbols is not None and not self.symbols.isdisjoint(symbols))

    def take(self) -> bool:
        """Count a request; return whether the fault applies to it."""
        if self.spared < self.skip:
            self.spared += 1
            return False
        self.hits += 1
        return True

    def described(self) -> dict[str, Any]:
        """Return the fault as JSON values."""
        return {
            "number": self.number,
            "name": self.name,
            "symbols": sorted(self.symbols) if self.symbols is not None else None,
            "sources": sorted(self.sources) if self.sources is not None else None,
            "count": self.count,
            "skip": self.skip,
            "hits": self.hits,
            "options": {
                name: value.isoformat() if isinstance(value, date) else value
                for name, value in self.options.items()
                if value is not None
            },
        }


def _moment(value: datetime | str | None) -> int | None:
    if value is None:
        return None
    if isinstance(value, str):
        value = datetime.fromisoformat(value.replace("Z", "+00:00"))
    return epoch(value)


def day_of(value: date | str | None) -> date | None:
    return date.fromisoformat(value) if isinstance(value, str) else value


def make_fault(number: int, name: str, **given: Any) -> Fault:
    """Return a fault from its name, scope and options. Raises ValueError naming what is unknown and what there is."""
    if name not in ALL_FAULTS:
        raise ValueError(f"unknown fault {name!r}; there are {', '.join(sorted(ALL_FAULTS))}")
    defaults = ALL_FAULTS[name][1]
    scope = {key: given.pop(key, None) for key in ("symbols", "sources", "count", "since", "until")}
    skip = int(given.pop("skip", 0) or 0)
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        raise ValueError(f"fault {name}: unknown option {unknown[0]!r}; it has {', '.join(sorted(defaults)) or 'none'}")
    options = {**defaults, **given}
    for key in ("first", "last", "day", "until_day"):
        if key in options:
            options[key] = day_of(options[key])
    if name in DATA_FAULTS and "day" in defaults and options["day"] is None:
        raise ValueError(f"fault {name} needs a day")
    symbols, sources = ([value] if isinstance(value, str) else value for value in (scope["symbols"], scope["sources"]))
    if name == "contamination" and symbols is None:
        symbols = CONTAMINATED
    if sources is not None:
        sources = [one for value in sources for one in _GROUPS.get(value, (value,))]
        wrong = sorted(set(sources) - set(SOURCES))
        if wrong:
            raise ValueError(f"fault {name}: unknown source {wrong[0]!r}; there are {', '.join(SOURCES)}")
    return Fault(
        number=number,
        name=name,
        symbols=None if symbols is None else frozenset(symbols),
        sources=None if sources is None else frozenset(sources),
        count=scope["count"],
        skip=skip,
        since=_moment(scope["since"]),
        until=_moment(scope["until"]),
        options=options,
    )


class Faults:
    """The faults of a venue. Requests of several threads ask it."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._numbers = counter(1)
        self._lock = threading.Lock()

    def add(self, name: str, **given: Any) -> Fault:
        """Add a fault; see `make_fault`."""
        fault = make_fault(next(self._numbers), name, **given)
        with self._lock:
            self._faults.append(fault)
        return fault

    def heal(self, number: int | None = None, *, name: str | None = None) -> int:
        """Take faults away: one by its number, all of a name, or all. Returns how many."""
        with self._lock:
            kept = [
                one
                for one in self._faults
                if (number is not None and one.number != number) or (name is not None and one.name != name)
            ]
            gone = len(self._faults) - len(kept)
            self._faults = kept
        return gone

    def described(self) -> list[dict[str, Any]]:
        with self._lock:
            return [one.described() for one in self._faults]

    def take(self, names: Iterable[str], source: str, symbols: Iterable[str] | None, moment: int) -> list[Fault]:
        """Return the faults among `names` that a request meets, and count it for each of them."""
        asked = None if symbols is None else tuple(symbols)
        with self._lock:
            met = [one for one in self._faults if one.name in names and one.reaches(source, asked, moment)]
            return [one for one in met if one.take()]


@dataclass
class Tape:
    """Bars as a source says them: the numbers, and by place what stands there in place of a number."""

    bars: Bars
    odd: dict[int, dict[str, Any]] = field(default_factory=dict)
    time_factor: int = 1

    def __len__(self) -> int:
        return len(self.bars)

    def select(self, where: np.ndarray) -> Tape:
        """Return the bars at places, in that order."""
        moved = {new: self.odd[int(old)] for new, old in enumerate(where.tolist()) if int(old) in self.odd}
        return replace(self, bars=self.bars[where], odd=moved)


def _with(bars: Bars, **values: np.ndarray) -> Bars:
    return replace(bars, **values)


def _places(bars: Bars, first: date | None, last: date | None) -> np.ndarray:
    """Return the places of the bars of the sessions between two days; what opens in the evening is of the next."""
    day = (bars.opened + 4 * 3600) // DAY if len(bars) and (bars.opened[0] % DAY) >= 20 * 3600 else bars.opened // DAY
    kept = np.ones(len(bars), dtype=bool)
    if first is not None:
        kept &= day >= epoch_of_day(first) // DAY
    if last is not None:
        kept &= day <= epoch_of_day(last) // DAY
    return np.flatnonzero(kept)


class Damage:
    """Applies faults of the data to what a source would say."""

    def __init__(self, market: Market, faults: Faults) -> None:
        self.market, self.faults = market, faults

    def tape(
        self, source: str, symbol: str, timeframe: str, moment: int, bars: Bars, ask: Callable[[str], Bars]
    ) -> Tape:
        """Return the bars of a symbol as the source says them; `ask` gives a donor's clean bars in the same way."""
        tape = Tape(bars)
        for fault in self.faults.take(DATA_FAULTS, source, (symbol,), moment):
            tape = getattr(self, f"_{fault.name}")(tape, fault.options, symbol, moment, ask)
        return tape

    def _gap(self, tape: Tape, options: Mapping[str, Any], *_: Any) -> Tape:
        inside = _places(tape.bars, options["first"], options["last"])
        dropped = inside[:: int(options["every"])]
        return tape.select(np.setdiff1d(np.arange(len(tape)), dropped))

    def _stale(self, tape: Tape, options: Mapping[str, Any], *_: Any) -> Tape:
        return tape.select(_places(tape.bars, None, options["last"]))

    def _no_new_bars(self, tape: Tape, options: Mapping[str, Any], *_: Any) -> Tape:
        whole = np.flatnonzero(tape.bars.is_complete)
        return tape.select(whole[: max(0, len(whole) - int(options["sessions"]))])

    def _empty(self, tape: Tape, *_: Any) -> Tape:
        return tape.select(np.empty(0, dtype=np.int64))

    def _set_close(self, tape: Tape, place: int, close: float) -> Tape:
        bars = tape.bars
        changed = {name: getattr(bars, name).copy() for name in ("high", "low", "close")}
        changed["close"][place] = close
        changed["high"][place] = max(bars.high[place], close)
        changed["low"][place] = min(bars.low[place], close)
        return replace(tape, bars=_with(bars, **changed))

    def _spike(
        self, tape: Tape, options: Mapping[str, Any], symbol: str, moment: int, ask: Callable[[str], Bars]
    ) -> Tape:
        day = options["day"]
        for place in _places(tape.bars, day, day):
            if options["close"] is not None:
                close = float(options["close"])
            elif options["donor"]:
                close = _close_at(ask(options["donor"]), int(tape.bars.opened[place]))
            else:
                close = _close_before(ask(symbol), int(tape.bars.opened[place])) * (1 + float(options["move"] or 10.0))
            tape = self._set_close(tape, int(place), close)
        return tape

    def _contamination(
        self, tape: Tape, options: Mapping[str, Any], symbol: str, moment: int, ask: Callable[[str], Bars]
    ) -> Tape:
        move = NAMED_MOVES.get(symbol)
        donor = ADA_DONOR if symbol == "BINANCE:ADAUSDT" or (move is None and symbol not in NAMED_MOVES) else None
        day = day_of(options["day"])
        return self._spike(tape, {"day": day, "close": None, "donor": donor, "move": move}, symbol, moment, ask)

    def _identical_rows(
        self, tape: Tape, options: Mapping[str, Any], symbol: str, moment: int, ask: Callable[[str], Bars]
    ) -> Tape:
        donor, bars = ask(options["donor"]), tape.bars
        inside = _places(bars, options["first"], options["last"])
        changed = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume", "turnover")}
        at = np.searchsorted(donor.opened, bars.opened[inside])
        known = (at < len(donor)) & (donor.opened[np.minimum(at, len(donor) - 1)] == bars.opened[inside])
        for name, values in changed.items():
            values[inside[known]] = getattr(donor, name)[at[known]]
        return replace(tape, bars=_with(bars, **changed))

    def _shifted_overlap(self, tape: Tape, options: Mapping[str, Any], *_: Any) -> Tape:
        bars = tape.bars
        # which bars differ depends on their time alone, so that two requests agree
        place = ((bars.opened // DAY) * 2654435761 % 1000) / 1000
        factor = np.where(place < options["share"], 1 + options["size"] * (1 + place), 1.0)
        factor[~bars.is_complete] = 1.0
        return self._scaled(tape, factor)

    def _scaled(self, tape: Tape, factor: np.ndarray) -> Tape:
        bars = tape.bars
        return replace(
            tape, bars=_with(bars, **{n: getattr(bars, n) * factor for n in ("open", "high", "low", "close")})
        )

    def _constant_ratio(self, tape: Tape, options: Mapping[str, Any], *_: Any) -> Tape:
        factor = np.ones(len(tape))
        factor[_places(tape.bars, None, options["until_day"])] = options["ratio"]
        return self._scaled(tape, factor)

    def _split(self, tape: Tape, options: Mapping[str, Any], *_: Any) -> Tape:
        factor = np.ones(len(tape))
        factor[_places(tape.bars, None, options["day"] - timedelta(days=1))] = options["ratio"]
        return self._scaled(tape, factor)

    def _stray_bars(
        self, tape: Tape, options: Mapping[str, Any], symbol: str, moment: int, ask: Callable[[str], Bars]
    ) -> Tape:
        """Put bars before the first one, on sessions of its calendar, at another level and with next to no volume."""
        bars, panel = ask(symbol), self.market.panel_of(symbol)
        if not len(bars) or not len(tape):
            return tape
        count = int(options["bars"])
        first = int(np.searchsorted(panel.opens, bars.opened[0]))
        row = max(0, first - int(options["sessions_before"]))
        opened = panel.opens[row : min(row + count, first)]
        stray = bars[np.zeros(len(opened), dtype=np.int64)]
        scaled = {n: getattr(stray, n) * float(options["ratio"]) for n in ("open", "high", "low", "close")}
        stray = replace(
            stray, opened=opened, closed=opened + DAY, volume=np.full(len(opened), 37.0),
            turnover=37.0 * scaled["close"], **scaled,
        )  # fmt: skip
        return self._inserted(tape, stray)

    def _inserted(self, tape: Tape, more: Bars) -> Tape:
        joined = Bars(*(np.concatenate([getattr(tape.bars, n), getattr(more, n)]) for n in Bars.__dataclass_fields__))
        whole = replace(tape, bars=joined)
        return whole.select(np.argsort(joined.opened, kind="stable"))

    def _changed(self, tape: Tape, day: date | None, **values: Callable[[Bars, int], float]) -> Tape:
        bars = tape.bars
        changed = {name: getattr(bars, name).copy() for name in values}
        for place in _places(bars, day, day):
            for name, rule in values.items():
                changed[name][place] = rule(bars, int(place))
        return replace(tape, bars=_with(bars, **changed))

    def _ohlc_inconsistent(self, tape: Tape, options: Mapping[str, Any], *_: Any) -> Tape:
        return self._changed(tape, options["day"], high=lambda bars, at: float(bars.low[at]) * 0.99)

    def _zero_price(self, tape: Tape, options: Mapping[str, Any], *_: Any) -> Tape:
        return self._changed(tape, options["day"], low=lambda bars, at: 0.0)

    def _negative_volume(self, tape: Tape, options: Mapping[str, Any], *_: Any) -> Tape:
        return self._changed(tape, options["day"], volume=lambda bars, at: -abs(float(bars.volume[at])))

    def _volume_spike(self, tape: Tape, options: Mapping[str, Any], *_: Any) -> Tape:
        factor = float(options["factor"])
        return self._changed(tape, options["day"], volume=lambda bars, at: float(bars.volume[at]) * factor)

    def _future_bar(self, tape: Tape, options: Mapping[str, Any], symbol: str, moment: int, *_: Any) -> Tape:
        if not len(tape):
            return tape
        more = tape.bars[np.array([len(tape) - 1])]
        ahead = (moment // DAY + int(options["days"])) * DAY + int(more.opened[0]) % DAY
        more = replace(more, opened=np.array([ahead]), closed=np.array([ahead + DAY]), is_complete=np.array([False]))
        return self._inserted(tape, more)

    def _not_finite(self, tape: Tape, options: Mapping[str, Any], *_: Any) -> Tape:
        odd = dict(tape.odd)
        for place in _places(tape.bars, options["day"], options["day"]):
            odd[int(place)] = {**odd.get(int(place), {}), **options["values"]}
        return replace(tape, odd=odd)

    def _numbers_as_text(self, tape: Tape, options: Mapping[str, Any], *_: Any) -> Tape:
        odd = dict(tape.odd)
        for place in _places(tape.bars, options["day"], options["day"]):
            values = {name: repr(float(getattr(tape.bars, name)[place])) for name in ("open", "high", "low", "close")}
            odd[int(place)] = {**odd.get(int(place), {}), **values}
        return replace(tape, odd=odd)

    def _duplicate_timestamps(self, tape: Tape, options: Mapping[str, Any], *_: Any) -> Tape:
        places = _places(tape.bars, options["day"], options["day"])
        more = tape.bars[places]
        if options["is_conflicting"]:
            more = replace(more, close=(more.close + more.low) / 2)
        return self._inserted(tape, more)

    def _unordered(self, tape: Tape, *_: Any) -> Tape:
        return tape.select(np.arange(len(tape))[::-1])

    def _wrong_unit(self, tape: Tape, options: Mapping[str, Any], *_: Any) -> Tape:
        return replace(tape, time_factor=int(options["factor"]))

    def _off_grid(self, tape: Tape, options: Mapping[str, Any], *_: Any) -> Tape:
        opened = tape.bars.opened.copy()
        opened[_places(tape.bars, options["day"], options["day"])] += int(options["seconds"])
        return replace(tape, bars=_with(tape.bars, opened=opened))

    def _off_calendar(self, tape: Tape, options: Mapping[str, Any], *_: Any) -> Tape:
        places = _places(tape.bars, None, options["day"])
        if not len(places):
            return tape
        more = tape.bars[places[-1:]]
        opened = epoch_of_day(options["day"]) + more.opened % DAY
        return self._inserted(tape, replace(more, opened=opened, closed=opened + DAY))

    def _collapse(self, tape: Tape, options: Mapping[str, Any], *_: Any) -> Tape:
        after = _places(tape.bars, options["day"], None)
        if not len(after):
            return tape
        factor = np.ones(len(tape))
        factor[after] = options["ratio"]
        fallen = self._scaled(tape, factor)
        high = fallen.bars.high.copy()
        # the day of the fall began at the old level
        opened = fallen.bars.open.copy()
        opened[after[0]], high[after[0]] = tape.bars.open[after[0]], tape.bars.high[after[0]]
        return replace(fallen, bars=_with(fallen.bars, open=opened, high=high))

    def _stall(self, tape: Tape, options: Mapping[str, Any], *_: Any) -> Tape:
        inside = _places(tape.bars, options["first"], options["last"])
        bars = tape.bars
        close, high, low = bars.close.copy(), bars.high.copy(), bars.low.copy()
        if len(inside):
            close[inside] = close[max(0, inside[0] - 1)]
            high[inside], low[inside] = np.maximum(high, close)[inside], np.minimum(low, close)[inside]
        return replace(tape, bars=_with(bars, close=close, high=high, low=low))


def _close_at(bars: Bars, opened: int) -> float:
    """Return the close of the bar of a time; the nearest earlier one where the calendars differ."""
    place = int(np.searchsorted(bars.opened, opened, side="right")) - 1
    if place < 0:
        raise ValueError(f"the donor has no bar at {datetime.fromtimestamp(opened, UTC):%Y-%m-%d}")
    return float(bars.close[place])


def _close_before(bars: Bars, opened: int) -> float:
    place = int(np.searchsorted(bars.opened, opened)) - 1
    return float(bars.close[max(place, 0)])


def midnight(day: date) -> datetime:
    """Return the beginning of a UTC day."""
    return datetime.combine(day, time(), UTC)
