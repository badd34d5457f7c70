"""Who is fetched, how deep, from where: selective synchronisation and the passes of self-healing.

Progress of the last final bar decides, never the time of a file. A pass asks for what its plan holds, lands the answers
as they come and writes one row to `ops.sync_runs`; what it did not have to ask for is counted as saved.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

from quantmill.errors import UsageError

from ingest import registry, thresholds
from ingest.answers import Answer
from ingest.calendars import expected_sessions, fill_prefixes
from ingest.judging import fill_facts
from ingest.landing import Load, canonical_json
from ingest.loads import Session, land_answers
from ingest.sources.binance import binance_ticker
from ingest.sources.common import BarRequest
from ingest.stopping import Stop
from ingest.storing import Outcome

# Reasons of series that a pass would have asked for, had it not ended before.
UNFINISHED = frozenset({"INTERRUPTED", "POSTPONED"})
FAILING = ("MISSING", "STALE", "DEGRADED")
FAILED_STATUSES = frozenset({"FAILED", "REJECTED", "EMPTY", "PARTIAL", "NO_PROGRESS"})
# A source of closed months, one file each: a pass over hundreds of symbols would ask for ten thousand of them where a
# live source needs one request per symbol, so it fills gaps and corroborates.
ARCHIVES = ("binance_bulk",)

# The ways in which a repair tries to heal, in this order.
REPAIR_PASSES = ("force", "gaps", "slow", "alternate", "archives")

# Sources that can be asked for bars up to a moment in the past.
RANGED = ("binance", "yahoo")

Progress = Callable[[int, int, str], None]


class BarSources(Protocol):
    """What a pass needs of the network."""

    def bars(
        self, source: str, requests: Sequence[BarRequest], *, is_slow: bool = False, progress: Progress | None = None
    ) -> Iterable[Answer]:
        """Yield the bars of each request as they arrive."""
        ...


CanHave = Callable[[str, str, str, str], bool]
Teller = Callable[[str, int], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class Rules:
    """What a profile says of the synchronisation: sources in order of priority, depth, and who has total returns."""

    bar_sources: tuple[str, ...]
    lookback_sessions: int = 500
    has_rating_history: bool = False
    has_total_return: bool = False
    interval: str = "1d"
    repair_seconds: int = thresholds.REPAIR_SECONDS
    profile: str | None = None

    @property
    def first_depth(self) -> int:
        """Bars of the first load of a symbol."""
        depth = self.lookback_sessions + thresholds.DEPTH_BEYOND_LOOKBACK
        return max(depth, thresholds.RATING_DEPTH) if self.has_rating_history else depth


@dataclass(frozen=True)
class Item:
    """One series to be fetched: from which source, how many bars until when, and which session it has to reach."""

    symbol: str
    source: str
    count: int
    reason: str
    expected_session: date | None
    adjustment: str = "splits"
    until: datetime | None = None
    is_forced: bool = False


@dataclass
class Plan:
    """What a pass asks for, and why it does not ask for the rest (reason to number of series)."""

    items: list[Item] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    symbol_count: int = 0

    @property
    def saved_count(self) -> int:
        """Series that need not be asked for; what a pass did not come to is no saving."""
        return sum(count for reason, count in self.skipped.items() if reason not in UNFINISHED)


@dataclass
class Pass:
    """What became of one pass."""

    name: str
    plan: Plan
    landed: list[tuple[Load, Outcome]]

    @property
    def statuses(self) -> Counter[str]:
        """Loads by status."""
        return Counter(outcome.status for _, outcome in self.landed)


def sources_of(symbol: str, rules: Rules, can_have: CanHave) -> list[str]:
    """Return the sources that may have bars of a symbol, in the profile's order."""
    return [source for source in rules.bar_sources if can_have(source, symbol, rules.interval, "splits")]


class Synchroniser:
    """Plans and runs the passes of one command.

    `as_of` is aware; `timer` measures seconds of a symbol's repair; once `stop` is set no pass begins.
    """

    def __init__(
        self,
        session: Session,
        network: BarSources | None,
        rules: Rules,
        *,
        as_of: datetime,
        can_have: CanHave,
        tell: Teller,
        timer: Callable[[], float],
        stop: Stop | None = None,
    ) -> None:
        self.stop = stop or Stop()
        self.session = session
        self.network = network
        self.rules = rules
        self.as_of = as_of
        self.can_have = can_have
        self.tell = tell
        self.timer = timer
        self.passes: list[Pass] = []
        # When the time of a repair is over, by `timer`.
        self._deadline = math.inf
        self._first_pass = 0

    def plan(self, symbols: Sequence[str], *, is_forced: bool = False) -> Plan:
        """Return what the normal pass asks for: who is new, missing, stale, degraded or behind the calendar.

        A symbol that is up to date is not asked for, nor one with a repair tried in vain within 12 hours, one that
        another command holds locked, one that no source knew today or on two days, a TOXIC or a DELISTED one;
        `is_forced` asks for all but the delisted.
        """
        wanted = sorted(set(symbols))
        if not wanted:
            raise UsageError("no symbol is in scope", remedy="name symbols with --symbol, or a profile with --profile")
        connection = self.session.connection
        expected = self.expected(wanted)
        known = registry.states(connection, wanted)
        adjusted = registry.last_adjusted(connection, wanted)
        gone = self._unlisted(wanted)
        ended = self._take_over(known)
        plan = Plan(symbol_count=len(wanted))
        now = self.as_of.astimezone(UTC).replace(tzinfo=None)
        fresh = now - timedelta(hours=thresholds.FRESH_HOURS)
        for symbol in wanted:
            state = known.get(symbol, {"status": "REGISTERED"})
            status, last = state["status"], state.get("last_final_session")
            is_behind = last is None or (expected[symbol] is not None and last < expected[symbol])
            is_tried = (state.get("last_success_utc") or datetime.min) > fresh and not is_behind
            reason = None
            if self._calendars.get(symbol) is None:
                # Its bars would belong to no session.
                reason = "UNKNOWN_EXCHANGE"
            elif status == "DELISTED" and (last is not None or state["consecutive_failures"] > 1):
                # who is gone is asked once for the bars of when he was not, and once more
                reason = "DELISTED"
            elif not is_forced:
                if status == "TOXIC":
                    reason = "TOXIC"
                elif state.get("lock_owner") and state["lock_owner"] not in ended and state["lock_until_utc"] > now:
                    reason = "LOCKED"
                elif _is_unknown(state.get("unknown_since"), last):
                    reason = _unknown_reason(state.get("reason"), state["last_attempt_utc"].date() >= now.date())
                elif status == "STABLE" and not is_behind:
                    reason = "UP_TO_DATE"
                elif is_tried:
                    reason = "FRESH"
            if reason is not None:
                plan.skipped[reason] += 1
                continue
            items = self._items(
                symbol,
                last,
                expected[symbol],
                is_forced=is_forced,
                status=status,
                last_adjusted=adjusted.get(symbol),
                is_gone=symbol in gone,
            )
            if not items:
                plan.skipped["NO_SOURCE"] += 1
            plan.items += items
        return plan

    def _take_over(self, known: Mapping[str, Mapping[str, Any]]) -> set[str]:
        """Return the owners of locks that cannot give them back any more, and say so."""
        owners = Counter(str(state["lock_owner"]) for state in known.values() if state.get("lock_owner"))
        ended = {owner for owner in owners if registry.is_ended(owner)}
        for owner in sorted(ended):
            self.session.say(f"taking over {owners[owner]:,} symbols that {owner} had locked: the process has ended")
        return ended

    def _unlisted(self, symbols: Sequence[str]) -> set[str]:
        """Return those symbols that their venue does not list any more, by what it said last."""
        found = {symbol: binance_ticker(symbol) for symbol in symbols}
        markets = {symbol: one[0] for symbol, one in found.items() if one is not None}
        return registry.unlisted(self.session.connection, markets, self.as_of)

    def expected(self, symbols: Sequence[str]) -> dict[str, date | None]:
        """Return the last complete session of each symbol at `as_of`; None where its calendar is unknown."""
        connection = self.session.connection
        fill_prefixes(connection)
        fill_facts(connection, list(symbols))
        calendars = dict(connection.execute("select symbol, calendar_id from temp.facts").fetchall())
        complete = expected_sessions(connection, {one for one in calendars.values() if one is not None}, self.as_of)
        self._calendars = calendars
        return {symbol: complete.get(calendars[symbol]) if calendars.get(symbol) else None for symbol in symbols}

    def _missing(self, symbol: str, last: date, expected: date | None) -> int:
        calendar = self._calendars.get(symbol)
        if calendar is None or expected is None:
            return max((self.as_of.date() - last).days, 0)
        return registry.sessions_between(self.session.connection, calendar, last, expected)

    def adjusted_source(self, symbol: str) -> str | None:
        """Return who is asked for the total return of a symbol beside its prices; None where nobody need be.

        Its calendar has to be known (`expected`): what never closes pays nothing.
        """
        if not self.rules.has_total_return or self._calendars.get(symbol) in (None, "24/7", "24/5"):
            return None
        sources = [source for source in sources_of(symbol, self.rules, self.can_have) if source not in ARCHIVES]
        return next((one for one in sources if self.can_have(one, symbol, self.rules.interval, "total_return")), None)

    def adjusted(self, symbols: Sequence[str]) -> list[str]:
        """Return those of `symbols` that need a total return beside their prices."""
        self.expected(symbols)
        return [symbol for symbol in symbols if self.adjusted_source(symbol) is not None]

    def _items(
        self,
        symbol: str,
        last: date | None,
        expected: date | None,
        *,
        is_forced: bool,
        status: str,
        last_adjusted: date | None,
        is_gone: bool,
    ) -> list[Item]:
        """Return the series of one symbol in the normal pass.

        Of whom the venue does not list any more the archives are asked at once: no live source knows a bar of it.
        """
        sources = sources_of(symbol, self.rules, self.can_have)
        archives = [source for source in sources if source in ARCHIVES]
        if is_gone and last is None and archives:
            count = self.rules.first_depth
            return [Item(symbol, archives[0], count, "GONE", None, until=self.as_of, is_forced=is_forced)]
        live = [source for source in sources if source not in ARCHIVES]
        if not live:
            return []
        is_whole = is_forced or status in ("MISSING", "REGISTERED")

        def item(source: str, adjustment: str, newest: date | None) -> Item:
            reason = "FIRST" if newest is None else "FORCED" if is_forced else "BEHIND"
            count = self.rules.first_depth
            if newest is not None and not is_whole:
                count = self._missing(symbol, newest, expected) + thresholds.OVERLAP_DEPTH
            return Item(symbol, source, count, reason, expected, adjustment=adjustment, is_forced=is_forced)

        items = [item(live[0], "splits", last)]
        adjusted = self.adjusted_source(symbol)
        # Yahoo's answer has both.
        if adjusted is not None and live[0] != "yahoo":
            items.append(item(adjusted, "total_return", last_adjusted))
        return items

    def run(self, name: str, plan: Plan, *, cycle: int = 1, is_slow: bool = False) -> Pass:
        """Ask for a plan, land the answers, and write the row of `ops.sync_runs`."""
        session = self.session
        started = session.clock()
        owner = session.name_command(f"sync {name}")
        symbols = sorted({item.symbol for item in plan.items})
        registry.register(session.connection, symbols, self.as_of)
        lock_owner = registry.lock_owner(owner)
        registry.lock(session.connection, symbols, lock_owner, self.as_of)
        landed: list[tuple[Load, Outcome]] = []
        try:
            for source in sorted({item.source for item in plan.items}, key=self._place):
                if self.stop.is_set() or self.timer() >= self._deadline:
                    break
                items = [item for item in plan.items if item.source == source]
                landed += self._ask(name, source, items, is_slow=is_slow)
        finally:
            registry.unlock(session.connection, lock_owner)
        if self.stop.is_set() or self.timer() >= self._deadline:
            answered = {(load.source, load.request.get("symbol")) for load, _ in landed}
            kept = [item for item in plan.items if (item.source, item.symbol) in answered]
            if len(kept) < len(plan.items):
                plan.skipped["INTERRUPTED" if self.stop.is_set() else "POSTPONED"] += len(plan.items) - len(kept)
                plan.items = kept
        done = Pass(name, plan, landed)
        self.passes.append(done)
        saved = plan.saved_count
        session.record(
            "ops.sync_runs",
            {
                "command_id": owner,
                "profile": self.rules.profile,
                "cycle": cycle,
                "pass": name,
                "as_of_utc": _text(self.as_of),
                "symbol_count": plan.symbol_count,
                "request_count": len(plan.items),
                "saved_count": saved,
                "saved_share": saved / (saved + len(plan.items)) if saved + len(plan.items) else 0.0,
                "skipped": canonical_json(dict(sorted(plan.skipped.items()))),
                "statuses": canonical_json(dict(sorted(done.statuses.items()))),
                "started_at_utc": _text(started),
                "finished_at_utc": _text(session.clock()),
            },
        )
        return done

    def _place(self, source: str) -> int:
        return (*self.rules.bar_sources, source).index(source)

    def _ask(self, name: str, source: str, items: Sequence[Item], *, is_slow: bool) -> list[tuple[Load, Outcome]]:
        assert self.network is not None
        requests = [
            BarRequest(
                item.symbol,
                item.count,
                item.until or self.as_of,
                interval=self.rules.interval,
                adjustment=item.adjustment,
            )
            for item in items
        ]
        # A source lands crypto as traded, whatever adjustment was asked for: items are found by symbol then.
        by_key = {(item.symbol, item.adjustment): item for item in items}
        by_symbol = {item.symbol: item for item in items}

        def context(answer: Answer) -> Mapping[str, Any]:
            symbol = answer.request["symbol"]
            item = by_key.get((symbol, answer.request.get("adjustment", ""))) or by_symbol[symbol]
            if answer.kind != "bars":
                return {"pass": name}
            expected = item.expected_session
            return {
                "symbol": symbol,
                "interval": answer.request.get("interval", self.rules.interval),
                "adjustment": answer.request.get("adjustment", item.adjustment),
                "expected_session": expected.isoformat() if expected else None,
                "pass": name,
                "reason": item.reason,
                "wanted": item.count,
                "is_forced": item.is_forced,
            }

        with self.tell(f"{name}: {source}", len(requests)) as progress:
            answers = self._in_time(self.network.bars(source, requests, is_slow=is_slow, progress=progress))
            return land_answers(self.session, answers, context=context)

    def _in_time(self, answers: Iterable[Answer]) -> Iterator[Answer]:
        """Yield answers until the time of the repair is over; what has not begun then is not asked for."""
        for one in answers:
            yield one
            if self.timer() >= self._deadline:
                return

    def health(self, symbols: Sequence[str]) -> list[dict[str, Any]]:
        """Return the health of the symbols as of now."""
        return registry.describe_health(
            self.session.connection, symbols, self.as_of, adjusted=self.adjusted(sorted(set(symbols)))
        )

    def failing(self, symbols: Sequence[str], *, is_toxic_too: bool = False) -> list[dict[str, Any]]:
        """Return the health of those symbols that a repair could help; delisted ones are left in peace.

        Whom the last repair had no time for is first, then they follow by symbol.
        `is_toxic_too` takes what a person has to name: TOXIC symbols and those listed for review.
        """
        verdicts = (*FAILING, "TOXIC") if is_toxic_too else FAILING
        found = [
            row
            for row in self.health(symbols)
            if row["verdict"] in verdicts
            and row["registry_status"] != "DELISTED"
            and (is_toxic_too or row["registry_status"] != "TOXIC")
            and (is_toxic_too or not (row["registry_reason"] or "").startswith(registry.REVIEW))
        ]
        return sorted(found, key=lambda row: (row["repair_postponed_utc"] is None, row["symbol"]))

    def repair(
        self, symbols: Sequence[str], *, cycles: int = thresholds.MAX_CYCLES, only_slow: bool = False, is_explicit: bool
    ) -> list[dict[str, Any]]:
        """Run the passes force, gaps, slow and alternate over what fails, at most `cycles` times.

        Returns the health of all symbols afterwards. `is_explicit` (symbols named by a person) takes TOXIC ones too,
        `only_slow` begins with the slow lane. Whole histories are asked for anew where a corporate action changed them.
        """
        if not symbols:
            raise UsageError(
                "a repair needs a scope: no symbol was named", remedy="give --symbol, or --profile for its symbols"
            )
        # nobody else is asked for, so nobody else is judged again before the end
        suspects = [row["symbol"] for row in self.failing(symbols, is_toxic_too=is_explicit)]
        seconds = min(self.rules.repair_seconds, thresholds.MAX_SYMBOL_SECONDS * max(1, len(suspects)))
        self._deadline = self.timer() + seconds
        self._first_pass = len(self.passes)
        try:
            return self._repair(symbols, suspects, cycles=cycles, only_slow=only_slow, is_explicit=is_explicit)
        finally:
            self._deadline = math.inf

    def _repair(
        self, symbols: Sequence[str], suspects: Sequence[str], *, cycles: int, only_slow: bool, is_explicit: bool
    ) -> list[dict[str, Any]]:
        for cycle in range(1, cycles + 1):
            failing = self.failing(suspects, is_toxic_too=is_explicit) if suspects else []
            if not failing:
                break
            before = {_standing(row) for row in failing}
            passes = ("slow", "alternate", "archives") if only_slow else REPAIR_PASSES
            for name in passes:
                if self.stop.is_set():
                    return self._settle(symbols, is_final=False)
                failing = self.failing(suspects, is_toxic_too=is_explicit)
                if not failing:
                    break
                if self.timer() >= self._deadline:
                    return self._postponed(symbols, suspects, is_explicit=is_explicit)
                plan = self._repair_plan(name, failing, is_explicit=is_explicit)
                plan.symbol_count = len(set(symbols))
                plan.skipped["HEALTHY"] += len(set(symbols)) - len({row["symbol"] for row in failing})
                if plan.items:
                    self.run(name, plan, cycle=cycle, is_slow=name == "slow")
                self._settle(suspects, is_final=False)
            after = {_standing(row) for row in self.failing(suspects, is_toxic_too=is_explicit)}
            if not after or after == before:
                break
        if self.stop.is_set():
            return self._settle(symbols, is_final=False)
        if self.timer() >= self._deadline:
            return self._postponed(symbols, suspects, is_explicit=is_explicit)
        if not only_slow:
            self._confirm_genesis(symbols)
        registry.postpone(self.session.connection, suspects, None)
        return self._settle(symbols, is_final=True)

    def _postponed(self, symbols: Sequence[str], suspects: Sequence[str], *, is_explicit: bool) -> list[dict[str, Any]]:
        """End a repair whose time is over: whom it did not come to is named, and first in the next one."""
        tried = {item.symbol for one in self.passes[self._first_pass :] for item in one.plan.items}
        left = [row["symbol"] for row in self.failing(suspects, is_toxic_too=is_explicit) if row["symbol"] not in tried]
        registry.postpone(self.session.connection, sorted(tried & set(suspects)), None)
        registry.postpone(self.session.connection, left, self.as_of)
        shown = ", ".join(left[:5]) + (" ..." if len(left) > 5 else "")
        self.session.say(
            f"the repair used up its time, acquisition.repair_seconds: {len(left):,} symbols were not tried and come "
            f"first next time{f' ({shown})' if left else ''}"
        )
        return self._settle(symbols, is_final=False)

    def first_repair(self, symbols: Sequence[str], *, only_slow: bool, is_explicit: bool) -> Plan:
        """Return what a repair would ask for first, without asking."""
        plan = Plan()
        failing = self.failing(symbols, is_toxic_too=is_explicit) if symbols else []
        for name in ("slow",) if only_slow else ("force", "gaps"):
            found = self._repair_plan(name, failing, is_explicit=is_explicit)
            plan.items += found.items
            plan.skipped += found.skipped
        plan.symbol_count = len(set(symbols))
        plan.skipped["HEALTHY"] += len(set(symbols)) - len(failing)
        return plan

    def _repair_plan(self, name: str, failing: Sequence[Mapping[str, Any]], *, is_explicit: bool) -> Plan:
        plan = Plan()
        symbols = [row["symbol"] for row in failing]
        expected = self.expected(symbols)
        for row in failing:
            symbol = row["symbol"]
            if self._calendars.get(symbol) is None:
                plan.skipped["UNKNOWN_EXCHANGE"] += 1
                continue
            sources = [s for s in sources_of(symbol, self.rules, self.can_have) if s not in ARCHIVES]
            if not sources:
                plan.skipped["NO_SOURCE"] += 1
                continue
            depth = min(self._depth(row), thresholds.MAX_BARS)
            if name == "archives":
                plan.items += self._archive_items(row)
                continue
            if name == "gaps":
                plan.items += self._gap_items(row, sources)
                continue
            if name != "alternate" and not is_explicit and _is_unknown(row["unknown_since"], row["last_session"]):
                # Whoever does not know it will not know it a minute later; another source may.
                plan.skipped["UNKNOWN"] += 1
                continue
            if name == "alternate":
                others = sources[1:]
                if not others:
                    plan.skipped["NO_ALTERNATE"] += 1
                plan.items += [
                    Item(symbol, source, depth, row["verdict"], expected[symbol], is_forced=True)
                    for source in others[:1]
                ]
                continue
            plan.items.append(Item(symbol, sources[0], depth, row["verdict"], expected[symbol], is_forced=True))
            adjusted = self.adjusted_source(symbol)
            is_wanting = row["adjusted_missing_count"] > 0 or row["verdict"] == "MISSING"
            if is_wanting and adjusted is not None and sources[0] != "yahoo":
                # A dividend changes every total return before it: the whole series is asked for anew.
                depth = min(self._whole_depth(symbol), thresholds.MAX_BARS)
                plan.items.append(
                    Item(
                        symbol,
                        adjusted,
                        depth,
                        row["verdict"],
                        expected[symbol],
                        adjustment="total_return",
                        is_forced=True,
                    )
                )
        return plan

    def _archive_items(self, row: Mapping[str, Any]) -> list[Item]:
        """Return the request for the archives of a symbol of which no live source has a bar: they outlive a listing."""
        archives = [one for one in sources_of(row["symbol"], self.rules, self.can_have) if one in ARCHIVES]
        is_unknown = "UNKNOWN_SYMBOL" in (row["registry_reason"] or "")
        if row["verdict"] != "MISSING" or not archives or not is_unknown:
            return []
        count = self.rules.first_depth
        return [Item(row["symbol"], archives[0], count, row["verdict"], None, until=self.as_of, is_forced=True)]

    def _depth(self, row: Mapping[str, Any]) -> int:
        """Return the bars of a forced load: 2,000, or all that is stored where the whole history has to come anew."""
        if row["registry_status"] != "TOXIC" and "CORPORATE_ACTION" not in (row["registry_reason"] or ""):
            return thresholds.FORCE_DEPTH
        return self._whole_depth(row["symbol"])

    def _whole_depth(self, symbol: str) -> int:
        """Return the bars from the first stored one on, 2,000 at least."""
        first = self.session.connection.execute(
            "select min(opened_at_utc)::date from raw.bars where symbol = ? and \"interval\" = '1d'", [symbol]
        ).fetchone()
        if first is None or first[0] is None:
            return thresholds.FORCE_DEPTH
        return max(thresholds.FORCE_DEPTH, self._missing(symbol, first[0], self.as_of.date()) + 1)

    def _gap_items(self, row: Mapping[str, Any], sources: Sequence[str]) -> list[Item]:
        """Return requests for the runs of missing sessions, newest first, at most 15, from sources that have ranges."""
        # What is missing at the end is not a gap: it is what the other passes ask for.
        gaps = [day for day in row["gaps"] if date(2010, 1, 1) <= day < row["last_session"]]
        ranged = [source for source in sources if source in RANGED]
        if not ranged or not gaps:
            return []
        runs: list[list[date]] = []
        for day in gaps:  # newest first
            if runs and (runs[-1][-1] - day).days == 1:
                runs[-1].append(day)
            else:
                runs.append([day])
        runs = runs[: thresholds.MAX_GAP_FILLS]
        items = [
            Item(
                row["symbol"],
                ranged[0],
                len(run) + 1,
                "GAP",
                None,
                until=min(datetime(run[0].year, run[0].month, run[0].day, 23, tzinfo=UTC), self.as_of),
                is_forced=True,
            )
            for run in runs
        ]
        archives = [one for one in sources_of(row["symbol"], self.rules, self.can_have) if one in ARCHIVES]
        months = sorted({day.replace(day=1) for run in runs for day in run}, reverse=True)[: thresholds.MAX_GAP_FILLS]
        for month in months if archives else ():
            end = (month + timedelta(days=31)).replace(day=1)
            if end <= self.as_of.date():
                until = datetime(end.year, end.month, 1, tzinfo=UTC)
                items.append(
                    Item(row["symbol"], archives[0], (end - month).days, "GAP", None, until=until, is_forced=True)
                )
        return items

    def _settle(self, symbols: Sequence[str], *, is_final: bool) -> list[dict[str, Any]]:
        health = self.health(symbols)
        registry.refresh(self.session.connection, health, is_final=is_final)
        return self.health(symbols)

    def settle(self, symbols: Sequence[str]) -> list[dict[str, Any]]:
        """Bring the registry to the health of the symbols and return it."""
        return self._settle(symbols, is_final=False)

    def _confirm_genesis(self, symbols: Sequence[str]) -> None:
        """Ask once more, at the same depth, for symbols whose history is shorter than what was asked for.

        A first bar that two answers of that depth agree on is the first there is.
        """
        connection = self.session.connection
        short = connection.execute(
            """
            select bars.symbol, min(bars.opened_at_utc) from raw.bars as bars
            join ops.symbol_registry as known on known.symbol = bars.symbol and known.genesis_utc is null
                and known.status = 'STABLE'
            where bars."interval" = '1d' and list_contains(?::varchar[], bars.symbol)
            group by bars.symbol having count(distinct bars.opened_at_utc::date) < ?
            order by bars.symbol
            """,
            [list(symbols), self.rules.first_depth],
        ).fetchall()
        if not short:
            return
        first = dict(short)
        expected = self.expected(list(first))
        plan = Plan(symbol_count=len(set(symbols)))
        for symbol in first:
            sources = [s for s in sources_of(symbol, self.rules, self.can_have) if s not in ARCHIVES]
            plan.items += [
                Item(symbol, source, self.rules.first_depth, "GENESIS", expected[symbol], is_forced=True)
                for source in sources[:1]
            ]
        plan.skipped["CONFIRMED"] = len(set(symbols)) - len(first)
        done = self.run("genesis", plan)
        answered = {
            load.context["symbol"]
            for load, outcome in done.landed
            if outcome.status in ("OK", "UP_TO_DATE") and outcome.rows_received < load.context["wanted"]
        }
        again = dict(
            connection.execute(
                """
                select symbol, min(opened_at_utc) from raw.bars
                where "interval" = '1d' and list_contains(?::varchar[], symbol) group by symbol
                """,
                [sorted(answered)],
            ).fetchall()
        )
        registry.confirm_genesis(
            connection, [symbol for symbol in sorted(answered) if again.get(symbol) == first[symbol]]
        )


def _standing(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what a cycle of repairs has to change of a symbol's health, or there is no use in another."""
    return row["symbol"], row["verdict"], row["missing_count"], row["adjusted_missing_count"]


def _is_unknown(unknown_since: date | None, last: date | None) -> bool:
    return unknown_since is not None and last is None


def _unknown_reason(reason: str | None, is_asked_today: bool) -> str | None:
    """Return why a symbol that a source did not know is not asked for; None where it is its turn once more."""
    if (reason or "").startswith(registry.REVIEW):
        return "REVIEW"
    return "UNKNOWN" if is_asked_today else None


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
