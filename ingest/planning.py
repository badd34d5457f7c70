"""What a data command would ask for, without asking: the resolved requests, why each, and about how long they take.

Nothing is written: the workbench is open for reading alone. What waits in the landing for a replay is counted and not
seen, as are symbols that only the scan of the same command would find.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from quantmill.errors import UsageError

from ingest.exchanges import EXCHANGES
from ingest.sources import binance, binance_bulk, tradingview_scanner
from ingest.sources.common import BarRequest
from ingest.sync import Item, Plan, Rules
from ingest.transport import is_loopback

if TYPE_CHECKING:
    from quantmill.manifest.scanners import Scanner

    from ingest.network import StatedInterface
    from ingest.operations import Cycle

# A handshake of TradingView's socket, and a thousand bars over it, in seconds as measured.
HANDSHAKE_SECONDS = 0.5
SECONDS_PER_THOUSAND_BARS = 0.7
_COLUMNS = ("step", "interface", "subject", "interval", "adjustment", "count", "requests", "reason")


@dataclass(frozen=True)
class Asked:
    """One thing that would be asked for.

    `subject` is a symbol, a scanner, a market, or how many symbols; `count` the bars, rows or symbols of it; `requests`
    how many requests it takes without a retry, of a scan with all the pages that it may have; `body` the first one's
    body where it has one.
    """

    step: str
    interface: str
    subject: str
    count: int
    requests: int
    reason: str = ""
    interval: str | None = None
    adjustment: str | None = None
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Foresight:
    """What a command would do: `asked` in order, `saved` series that it does not ask for by reason, notes to read."""

    command: str
    asked: tuple[Asked, ...]
    saved: Mapping[str, int]
    seconds: float
    notes: tuple[str, ...] = ()


def foresee(
    cycle: Cycle,
    command: str,
    *,
    days: Sequence[datetime],
    interfaces: Mapping[str, StatedInterface],
    addresses: Mapping[str, str],
    waiting: int = 0,
) -> Foresight:
    """Return what `command` would ask for on `days`, of which only a replay of scans has more than one.

    Raises `UsageError` where the command would.
    """
    steps: dict[str, Callable[[], Iterator[Asked]]] = {
        "scan": lambda: _scans(cycle, days, interfaces),
        "metadata": lambda: _metadata(cycle, interfaces),
        "features": lambda: _features(cycle, interfaces),
    }
    saved: Counter[str] = Counter()
    notes = []
    if waiting:
        notes.append(f"{waiting:,} landed loads wait to be replayed; what they bring is not known here")
    if len(days) > 1:
        notes.append("whom a day's scans find and nobody has described is looked up at once")
    asked: list[Asked] = []
    wanted = [command]
    if command == "flow":
        has_scan = bool(cycle.acquisition and cycle.acquisition.scanners)
        has_features = bool(cycle.acquisition and cycle.acquisition.feature_fields)
        wanted = [*(["scan"] if has_scan else []), "metadata", "bars", *(["features"] if has_features else [])]
        notes.append("a repair follows where symbols are not OK then")
        if has_scan:
            notes.append("whom the scan finds beside these is asked for too")
        if has_scan and not _has_scope(cycle):
            wanted = ["scan"]
    for step in wanted:
        if step in steps:
            asked += steps[step]()
        elif step == "audit":
            notes.append("an audit asks nobody")
        else:
            plan = _bar_plan(cycle, step, notes)
            saved += plan.skipped
            asked += [_series(step, item, cycle.rules, interfaces) for item in plan.items]
    return Foresight(
        command, tuple(asked), dict(sorted(saved.items())), _seconds(asked, interfaces, addresses), tuple(notes)
    )


def _has_scope(cycle: Cycle) -> bool:
    """Return whether anybody is meant before the scan of the command has landed."""
    try:
        return bool(cycle.scope())
    except UsageError:
        return False


def _scans(cycle: Cycle, days: Sequence[datetime], interfaces: Mapping[str, StatedInterface]) -> Iterator[Asked]:
    """Yield each scanner once, with the requests of all days on which it is left to ask and the body of the first."""
    found: dict[str, tuple[Asked, int]] = {}
    for day in days:
        cycle.as_of = day
        for scanner in cycle.scanners_left():
            if scanner.scanner_id in found:
                first, count = found[scanner.scanner_id]
                found[scanner.scanner_id] = first, count + 1
                continue
            assert cycle.acquisition is not None
            pool = cycle.acquisition.members(scanner.index_id, day.date()) if scanner.index_id else ()
            symbols = tuple(scanner.symbols) or pool
            found[scanner.scanner_id] = _scan(scanner, symbols, interfaces["tradingview_scanner"]), 1
    for first, count in found.values():
        on_days = f", on {count:,} days" if len(days) > 1 else ""
        yield replace(first, requests=first.requests * count, reason=first.reason + on_days)


def _scan(scanner: Scanner, symbols: Sequence[str], stated: StatedInterface) -> Asked:
    page, most = stated.page_rows or 1, stated.symbols_per_request or 1
    first = symbols[:most]
    target = len(first) if symbols else scanner.prefilter_limit
    chunks = [len(symbols[place : place + most]) for place in range(0, len(symbols), most)] or [target]
    return Asked(
        step="scan",
        interface="tradingview_scanner",
        subject=scanner.scanner_id,
        count=len(symbols) or target,
        requests=sum(-(-size // page) for size in chunks),
        reason=f"POST /{scanner.market}/scan",
        body=tradingview_scanner.scan_body(scanner, 0, min(page, target), first),
    )


def _lookups(step: str, symbols: Sequence[str], fields: Sequence[str], stated: StatedInterface) -> Iterator[Asked]:
    from ingest.operations import market_of

    most = stated.symbols_per_request or 1
    by_market: dict[str, list[str]] = {}
    for symbol in symbols:
        by_market.setdefault(market_of(EXCHANGES.get(symbol.split(":")[0])), []).append(symbol)
    for market, named in sorted(by_market.items()):
        yield Asked(
            step=step,
            interface="tradingview_scanner",
            subject=f"{len(named):,} symbols",
            count=len(named),
            requests=-(-len(named) // most),
            reason=f"POST /{market}/scan",
            body=tradingview_scanner.lookup_body(sorted(named)[:most], fields, market),
        )


def _metadata(cycle: Cycle, interfaces: Mapping[str, StatedInterface]) -> Iterator[Asked]:
    from ingest.operations import METADATA_FIELDS

    fields = cycle.acquisition.metadata_fields if cycle.acquisition else METADATA_FIELDS
    symbols = cycle.scope()
    wanted = [*symbols, *cycle.undescribed(cycle.earlier(symbols))]
    yield from _lookups("metadata", wanted, fields, interfaces["tradingview_scanner"])
    if any(symbol.startswith("BINANCE:") for symbol in symbols):
        for interface in ("binance_spot", "binance_usdm"):
            yield Asked("metadata", interface, "trading limits", 1, 1, "GET exchangeInfo")


def _features(cycle: Cycle, interfaces: Mapping[str, StatedInterface]) -> Iterator[Asked]:
    yield from _lookups("features", cycle.scope(), cycle.feature_fields(), interfaces["tradingview_scanner"])


def _bar_plan(cycle: Cycle, step: str, notes: list[str]) -> Plan:
    """Return the plan of the step's first pass; what later passes ask for depends on its answers."""
    synchroniser = cycle.synchroniser(is_offline=True)
    if step == "bars":
        return synchroniser.plan(cycle.followed(), is_forced=cycle.is_forced)
    scope = cycle.recoverable() if step == "recover" else cycle.followed()
    plan = synchroniser.first_repair(
        scope, only_slow=step == "recover", is_explicit=bool(cycle.symbols) or cycle.is_forced
    )
    if plan.items:
        notes.append("this is the first pass; whom it does not heal is asked for again, more slowly, then elsewhere")
    return plan


def _series(step: str, item: Item, rules: Rules, interfaces: Mapping[str, StatedInterface]) -> Asked:
    interface, requests = item.source, 1
    if item.source == "tradingview":
        interface = "tradingview_socket"
    elif item.source == "binance":
        found = binance.binance_ticker(item.symbol)
        interface = f"binance_{found[0]}" if found else "binance_spot"
        requests = -(-item.count // (interfaces[interface].page_rows or item.count))
    elif item.source == "binance_bulk" and item.until is not None:
        # each month is a file and its checksum
        asked = BarRequest(item.symbol, item.count, item.until, interval=rules.interval)
        requests = 2 * len(binance_bulk.archives(asked))
    return Asked(
        step=step,
        interface=interface,
        subject=item.symbol,
        count=item.count,
        requests=requests,
        reason=item.reason,
        interval=rules.interval,
        adjustment=item.adjustment,
    )


def _seconds(asked: Sequence[Asked], interfaces: Mapping[str, StatedInterface], addresses: Mapping[str, str]) -> float:
    """Return how long requests take by the pacing of their interfaces; one on this machine is not paced."""
    total = 0.0
    for interface in sorted({one.interface for one in asked}):
        stated = interfaces[interface]
        if is_loopback(addresses.get(interface, stated.address)):
            continue
        named = [one for one in asked if one.interface == interface]
        if interface == "tradingview_socket":
            sockets = -(-len(named) // (stated.symbols_per_connection or 1))
            bars = sum(one.count for one in named)
            total += (sockets * HANDSHAKE_SECONDS + bars / 1000 * SECONDS_PER_THOUSAND_BARS) / stated.pacing.concurrent
        else:
            total += sum(one.requests for one in named) / stated.pacing.requests_per_second
    return total


def show(found: Foresight, *, as_json: bool) -> None:
    """Print what would be asked for: one JSON value, or a table (plain text off a terminal) and its sums."""
    if as_json:
        print(json.dumps(asdict(found), ensure_ascii=False, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 200, soft_wrap=False)
    if found.asked:
        table = Table(title=f"{found.command} would ask for", title_justify="left")
        for heading in _COLUMNS:
            table.add_column(heading, overflow="fold")
        for one in found.asked:
            table.add_row(*("" if (value := getattr(one, name)) is None else str(value) for name in _COLUMNS))
        console.print(table)
    for one in found.asked:
        if one.step == "scan":
            body = json.dumps(one.body, ensure_ascii=False, separators=(",", ":"))
            print(f"{one.subject}: {one.reason} {body}")
    for note in found.notes:
        print(note)
    saved = ", ".join(f"{reason} {count:,}" for reason, count in found.saved.items() if count)
    print(
        f"{found.command}: {sum(one.requests for one in found.asked):,} requests for {len(found.asked):,} things, "
        f"about {found.seconds:,.0f} s by pacing; {sum(found.saved.values()):,} saved{f' ({saved})' if saved else ''}; "
        "nobody was asked, nothing was written"
    )
