"""All sources of one command behind one door: one client, pace and breaker per interface, whoever asks.

Nothing here decides what is asked. What a source cannot have is an error before anybody is asked; everything else is an
answer, with a code where it failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from quantmill.errors import BadValue, UsageError

from ingest.answers import Answer
from ingest.sources import binance, binance_bulk, tradingview_scanner, tradingview_socket, yahoo
from ingest.sources.common import BarRequest
from ingest.sources.tradingview_socket import SocketBars, SocketRules
from ingest.stopping import Stop
from ingest.transport import SLOW_WAITS, Clock, Pacing, Progress, RetryRules, Transport, gathered, is_loopback

if TYPE_CHECKING:
    from quantmill.manifest.scanners import Scanner

BAR_SOURCES = ("tradingview", "binance", "binance_bulk", "yahoo")
_MARKETS: Mapping[binance.Market, str] = {
    "spot": "binance_spot",
    "usdm": "binance_usdm",
    "coinm": "binance_coinm",
}
_SOURCES: Mapping[str, str] = {
    "tradingview_scanner": tradingview_scanner.SOURCE,
    **dict.fromkeys(_MARKETS.values(), binance.SOURCE),
    "binance_bulk": binance_bulk.SOURCE,
    "yahoo": yahoo.SOURCE,
}
# Pacing protects a service; one on this machine (a simulated venue) needs none.
LOOPBACK_PACING = Pacing(requests_per_second=10_000.0)


class _StatedPacing(Protocol):
    @property
    def requests_per_second(self) -> float: ...
    @property
    def concurrent(self) -> int: ...
    @property
    def weight_per_minute(self) -> int | None: ...


class _StatedRetry(Protocol):
    @property
    def attempts(self) -> int: ...
    @property
    def base_seconds(self) -> float: ...
    @property
    def cap_seconds(self) -> float: ...
    @property
    def connect_seconds(self) -> float: ...
    @property
    def read_seconds(self) -> float: ...


class StatedInterface(Protocol):
    """What the manifest says of one interface: where it is, how gently it is asked, how much one request may bring."""

    @property
    def address(self) -> str: ...
    @property
    def pacing(self) -> _StatedPacing: ...
    @property
    def retry(self) -> _StatedRetry: ...
    @property
    def page_rows(self) -> int | None: ...
    @property
    def symbols_per_request(self) -> int | None: ...
    @property
    def symbols_per_connection(self) -> int | None: ...
    @property
    def depth_daily(self) -> int | None: ...
    @property
    def depth_intraday(self) -> int | None: ...


@dataclass(frozen=True)
class Ways:
    """How a command waits, measures and ends: replaced in tests, never read from the surroundings."""

    clock: Clock
    sleep: Callable[[float], None] = time.sleep
    timer: Callable[[], float] = time.monotonic
    stop: Stop = field(default_factory=Stop)


class Network:
    """The sources of one command.

    `interfaces` is what the manifest says of each interface, `addresses` are base addresses that take the place of
    theirs, `rules` retries that take the place of all of theirs, `market_clock` the moment that a simulated venue is to
    answer for, `token` a TradingView user's own, `downloads` a folder for archives. One breaker per interface holds for
    all calls.
    """

    def __init__(
        self,
        ways: Ways,
        *,
        interfaces: Mapping[str, StatedInterface],
        addresses: Mapping[str, str] | None = None,
        market_clock: datetime | None = None,
        token: str | None = None,
        seed: int = 0,
        downloads: Path | None = None,
        rules: RetryRules | None = None,
    ) -> None:
        unknown = sorted(set(addresses or ()) - set(interfaces))
        if unknown:
            raise UsageError(f"there is no interface {unknown[0]!r}", remedy=f"one of {', '.join(sorted(interfaces))}")
        self._ways = ways
        self._interfaces = interfaces
        self._addresses = {**{name: one.address for name, one in interfaces.items()}, **(addresses or {})}
        self._market_clock = market_clock
        self._token = token
        self._seed = seed
        self._downloads = downloads
        self._rules = rules
        self._transports: dict[str, Transport] = {}
        self._socket: SocketBars | None = None

    def transport(self, interface: str) -> Transport:
        """Return the one HTTP client of an interface."""
        if interface not in self._transports:
            address = self._addresses[interface]
            self._transports[interface] = Transport(
                _SOURCES[interface],
                address,
                clock=self._ways.clock,
                pacing=self._pacing(interface, address),
                rules=self._retry(interface),
                headers=tradingview_scanner.HEADERS if interface == "tradingview_scanner" else None,
                market_clock=self._market_clock,
                seed=self._seed,
                timer=self._ways.timer,
                sleep=self._ways.sleep,
                stop=self._ways.stop,
            )
        return self._transports[interface]

    def socket(self) -> SocketBars:
        """Return the one client of TradingView's socket."""
        if self._socket is None:
            stated = self._interfaces["tradingview_socket"]
            rules = SocketRules(
                symbols_per_socket=self._limit("tradingview_socket", "symbols_per_connection"),
                depth_daily=self._limit("tradingview_socket", "depth_daily"),
                depth_intraday=self._limit("tradingview_socket", "depth_intraday"),
                sockets=stated.pacing.concurrent,
                tries=stated.retry.attempts,
                reconnect_seconds=stated.retry.base_seconds,
                cap_seconds=stated.retry.cap_seconds,
                connect_seconds=stated.retry.connect_seconds,
                read_seconds=stated.retry.read_seconds,
            )
            if self._rules is not None:
                rules = replace(rules, tries=self._rules.attempts, connect_seconds=self._rules.connect_seconds)
            self._socket = SocketBars(
                self._addresses["tradingview_socket"],
                clock=self._ways.clock,
                rules=rules,
                market_clock=self._market_clock,
                token=self._token,
                seed=self._seed,
                timer=self._ways.timer,
                sleep=self._ways.sleep,
                stop=self._ways.stop,
            )
        return self._socket

    def _pacing(self, interface: str, address: str) -> Pacing:
        stated = self._interfaces[interface]
        if is_loopback(address):
            return replace(LOOPBACK_PACING, concurrent=stated.pacing.concurrent)
        return Pacing(stated.pacing.requests_per_second, stated.pacing.concurrent, stated.pacing.weight_per_minute)

    def _retry(self, interface: str) -> RetryRules:
        if self._rules is not None:
            return self._rules
        stated = self._interfaces[interface]
        return RetryRules(
            attempts=stated.retry.attempts,
            base_seconds=stated.retry.base_seconds,
            cap_seconds=stated.retry.cap_seconds,
            connect_seconds=stated.retry.connect_seconds,
            read_seconds=stated.retry.read_seconds,
        )

    def _limit(
        self,
        interface: str,
        name: Literal["page_rows", "symbols_per_request", "symbols_per_connection", "depth_daily", "depth_intraday"],
    ) -> int:
        """Return a limit that an interface has to state."""
        stated: int | None = getattr(self._interfaces[interface], name)
        if stated is None:
            raise BadValue(
                f"manifest/sources says nothing of {name} of the interface {interface}", remedy=f"state {name} there"
            )
        return stated

    def scans(
        self,
        scanners: Sequence[Scanner],
        *,
        pools: Mapping[str, Sequence[str]] | None = None,
        workers: int = 5,
        progress: Progress | None = None,
    ) -> Iterator[Answer]:
        """Yield the answer to each scanner as it comes; `pools` are the members of indices by index."""
        members = pools or {}

        def one(scanner: Scanner) -> Answer:
            pool = members.get(scanner.index_id) if scanner.index_id is not None else None
            return self.scan(scanner, pool=pool)

        work = gathered(scanners, one, workers=workers, stop=self._ways.stop)
        for done, found in enumerate(work, start=1):
            if progress is not None:
                progress(done, len(scanners), found.request["scanner_id"])
            yield found

    def scan(self, scanner: Scanner, *, pool: Sequence[str] | None = None) -> Answer:
        """Return the answer to one scanner; `pool` are the members of its index."""
        return tradingview_scanner.scan(
            scanner,
            self.transport("tradingview_scanner"),
            page_rows=self._limit("tradingview_scanner", "page_rows"),
            symbols_per_request=self._limit("tradingview_scanner", "symbols_per_request"),
            pool=pool,
        )

    def fields(
        self,
        symbols: Sequence[str],
        fields: Sequence[str],
        *,
        kind: tradingview_scanner.LookupKind,
        market: str = "global",
        progress: Progress | None = None,
    ) -> Iterator[Answer]:
        """Yield the fields of symbols, as many per answer as one request may hold; see `tradingview_scanner.lookup`."""
        return tradingview_scanner.lookup(
            symbols,
            fields,
            self.transport("tradingview_scanner"),
            symbols_per_request=self._limit("tradingview_scanner", "symbols_per_request"),
            kind=kind,
            market=market,
            progress=progress,
        )

    def symbol_fields(
        self, symbols: Sequence[str], fields: Sequence[str], *, progress: Progress | None = None
    ) -> Iterator[Answer]:
        """Yield what the service says of symbols one by one, whichever prefix they are written with."""
        return tradingview_scanner.symbol_fields(
            symbols, fields, self.transport("tradingview_scanner"), progress=progress
        )

    def limits(
        self, markets: Sequence[binance.Market] = ("spot", "usdm"), *, progress: Progress | None = None
    ) -> Iterator[Answer]:
        """Yield the trading limits of Binance's markets, one answer each."""
        return binance.fetch_limits({one: self.transport(_MARKETS[one]) for one in markets}, progress=progress)

    def bars(
        self, source: str, requests: Sequence[BarRequest], *, is_slow: bool = False, progress: Progress | None = None
    ) -> Iterator[Answer]:
        """Yield the bars of each request from one source, in the order in which they arrive.

        `is_slow` asks for one symbol after the other and waits 30 s and 60 s for a 429. Raises `UsageError` for a
        source without bars and for a request that the source cannot have (`can_have`).
        """
        self._require(source)
        workers = 1 if is_slow else 5
        if source == "tradingview":
            rules = self.socket().rules
            if is_slow:
                rules = rules.slow_lane(SLOW_WAITS)
            return self.socket().fetch_bars(requests, rules=rules, progress=progress)
        if source == "binance":
            interfaces = {
                market: binance.Interface(self._lane(name, is_slow), self._limit(name, "page_rows"))
                for market, name in _MARKETS.items()
            }
            return binance.fetch_klines(requests, interfaces, workers=workers, progress=progress)
        if source == "binance_bulk":
            files = [file for request in requests for file in binance_bulk.archives(request)]
            transport = self._lane("binance_bulk", is_slow)
            return binance_bulk.fetch_archives(
                files, transport, folder=self._downloads, workers=workers, progress=progress
            )
        return yahoo.fetch_charts(requests, self._lane("yahoo", is_slow), workers=workers, progress=progress)

    def _lane(self, interface: str, is_slow: bool) -> Transport:
        transport = self.transport(interface)
        return transport.with_rules(replace(transport.rules, rate_limit_waits=SLOW_WAITS)) if is_slow else transport

    @staticmethod
    def _require(source: str) -> None:
        if source not in BAR_SOURCES:
            raise UsageError(f"{source!r} is no source of bars", remedy=f"one of {', '.join(BAR_SOURCES)}")


def can_have(source: str, symbol: str, interval: str = "1d", adjustment: str = "splits") -> bool:
    """Return whether a source may have such bars of a symbol at all; raise `UsageError` for an unknown source.

    Binance's bars are as traded: it counts as having `splits` (a coin has none) and lands them as `none`.
    """
    Network._require(source)
    if source == "tradingview":
        return interval in tradingview_socket.INTERVALS and adjustment in tradingview_socket.ADJUSTMENTS
    if source == "yahoo":
        return yahoo.yahoo_ticker(symbol) is not None and interval in yahoo.INTERVALS and adjustment != "none"
    return binance.binance_ticker(symbol) is not None and interval in binance.INTERVALS and adjustment != "total_return"
