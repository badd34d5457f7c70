"""A small market and a venue that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from market import CONTAMINATED, Market, Venue

SYMBOLS = (
    *CONTAMINATED,
    "BINANCE:BTCUSDT", "BINANCE:BTCUSDC", "BINANCE:BTCUSDT.P", "BINANCE:BTCUSD.P", "BINANCE:1000PEPEUSDT.P",
    "BINANCE:PEPEUSDT", "BINANCE:ETHUSDT", "BINANCE:BCHUSDT", "BINANCE:USDCUSDT", "BINANCE:FHEUSDT.P",
    "BINANCE:MATICUSDT", "BINANCE:POLUSDT", "BINANCE:FLMUSDT", "BINANCE:FOGOUSDT", "BINANCE:EURUSDT",
    "AMEX:SPY", "AMEX:GLD", "AMEX:BRZX", "AMEX:SHLD", "CBOE:ASTX", "NASDAQ:TLT", "NASDAQ:NVDA", "NASDAQ:PLTR",
    "NYSE:BRK.B", "FX_IDC:EURUSD", "OANDA:EURUSD", "OANDA:USDJPY",
)  # fmt: skip


@pytest.fixture(scope="session")
def small_market() -> Market:
    """A market of the listings that the tests name."""
    return Market(symbols=SYMBOLS)


@pytest.fixture(scope="session")
def open_venue(small_market: Market) -> Iterator[Venue]:
    """A venue over the small market, open as long as the session."""
    with Venue(small_market, port=0, heartbeat_seconds=0.2, bars_per_frame=200) as venue:
        yield venue


@pytest.fixture
def venue(open_venue: Venue) -> Iterator[Venue]:
    """The open venue without faults and with an empty log."""
    open_venue.heal()
    open_venue.requests_log.clear()
    yield open_venue
    open_venue.heal()
