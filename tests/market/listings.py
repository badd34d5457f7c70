"""Who is listed on the simulated market, from when to when, and what a listing says about itself.

Names are those of real assets where a name is part of the test (identity traps, static baskets, quote variants); every
price is invented. `level` is the price on `ANCHOR_DAY`; `turnover` a usual day's turnover in the quote currency.
"""

from __future__ import annotations

import csv
import zlib
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path

FIRST_DAY = date(2017, 8, 17)
LAST_DAY = date(2026, 1, 31)
US_FIRST_DAY = date(2019, 1, 2)
ANCHOR_DAY = date(2025, 12, 31)


@dataclass(frozen=True)
class Split:
    """A share split: from `day` on, one old share is `ratio` new ones. Not announced: only the portal knows of it."""

    day: date
    ratio: float
    is_announced: bool = True


@dataclass(frozen=True)
class Listing:
    """One listing. `path` names the price path it follows, `multiple` how many units of it one contract has."""

    symbol: str
    market: str
    type: str
    subtype: str
    typespecs: tuple[str, ...]
    description: str
    path: str
    level: float
    turnover: float
    listed: date
    delisted: date | None = None
    base: str | None = None
    quote: str = "USD"
    multiple: float = 1.0
    anchor_day: date = ANCHOR_DAY
    sector: str | None = None
    industry: str | None = None
    country: str | None = None
    category: int | None = None
    aum: float | None = None
    expense_ratio: float | None = None
    brand: str | None = None
    issuer: str | None = None
    dividend_yield: float = 0.0
    dividends_per_year: int = 0
    splits: tuple[Split, ...] = field(default=())
    has_volume_in_bars: bool = True

    @property
    def exchange(self) -> str:
        return self.symbol.split(":", 1)[0]

    @property
    def name(self) -> str:
        return self.symbol.split(":", 1)[1]

    @property
    def is_perpetual(self) -> bool:
        return self.type == "swap"

    @property
    def is_coin_margined(self) -> bool:
        return self.is_perpetual and self.quote == "USD"

    @property
    def venue_name(self) -> str:
        """The name on the exchange's own interface: BTCUSDT, BTCUSD_PERP."""
        plain = self.name.removesuffix(".P")
        return f"{plain}_PERP" if self.is_coin_margined else plain


@dataclass(frozen=True)
class Coin:
    """A crypto asset: sector, level in USD, usual turnover of its USDT pair, volatility a day, where it is listed."""

    name: str
    sector: str
    level: float
    turnover: float
    volatility: float
    quotes: tuple[str, ...]
    perpetuals: tuple[str, ...]
    listed: date
    delisted: date | None = None


TABLES = Path(__file__).parent / "tables"

# name, of what, times, level, turnover in million
_LEVERAGED = """
BTCUP BTC 2 8.4 14.5
BTCDOWN BTC -2 0.0021 6.1
ETHUP ETH 2 4.6 3.2
ETHDOWN ETH -2 0.0007 2.8
BNBUP BNB 2 11.2 0.9
"""

# Contracts that count a thousand or more coins, by base and contract name.
MULTIPLES = {"PEPE": 1000, "SHIB": 1000, "BONK": 1000}

_SPLITS = {
    "AAPL": (Split(date(2020, 8, 31), 4),),
    "TSLA": (Split(date(2020, 8, 31), 5), Split(date(2022, 8, 25), 3)),
    "NVDA": (Split(date(2021, 7, 20), 4), Split(date(2024, 6, 10), 10)),
    "AMZN": (Split(date(2022, 6, 6), 20),),
    "GOOGL": (Split(date(2022, 7, 18), 20),),
    "AVGO": (Split(date(2024, 7, 15), 10),),
    "WMT": (Split(date(2024, 2, 26), 3),),
    "NFLX": (Split(date(2025, 11, 17), 10),),
    "TQQQ": (Split(date(2021, 1, 21), 2), Split(date(2022, 1, 13), 2), Split(date(2025, 11, 20), 2)),
    "SQQQ": (Split(date(2022, 1, 13), 0.2), Split(date(2024, 11, 7), 0.2), Split(date(2025, 11, 20), 0.2)),
    "SOXS": (Split(date(2021, 4, 1), 1 / 15), Split(date(2024, 4, 15), 0.1)),
    "SPXS": (Split(date(2022, 3, 28), 0.1),),
    "UVXY": (Split(date(2021, 5, 26), 0.1), Split(date(2023, 6, 23), 0.1), Split(date(2024, 4, 11), 0.2)),
    # missed by the bars of TradingView; the fund is below every floor, so no scanner picks it up by itself
    "BRZX": (Split(date(2024, 5, 20), 2, is_announced=False),),
}
SECTORS = {
    "technology": ("Electronic Technology", "Packaged Software"),
    "semis": ("Electronic Technology", "Semiconductors"),
    "finance": ("Finance", "Major Banks"),
    "health": ("Health Technology", "Pharmaceuticals: Major"),
    "consumer": ("Retail Trade", "Internet Retail"),
    "staples": ("Consumer Non-Durables", "Food: Major Diversified"),
    "industrials": ("Producer Manufacturing", "Industrial Conglomerates"),
    "defence": ("Electronic Technology", "Aerospace & Defense"),
    "energy": ("Energy Minerals", "Integrated Oil"),
    "utilities": ("Utilities", "Electric Utilities"),
    "materials": ("Non-Energy Minerals", "Other Metals/Minerals"),
    "property": ("Finance", "Real Estate Investment Trusts"),
    "communication": ("Communications", "Major Telecommunications"),
}
INDICES = {"S": "SP:SPX", "N": "NASDAQ:NDX", "D": "DJ:DJI"}
INDEX_NAMES = {"SP:SPX": "sp500", "NASDAQ:NDX": "nasdaq100", "DJ:DJI": "dw30"}
# Days on which a membership that did not always hold began or ended.
_INDEX_CHANGES = {
    ("TSLA", "S"): (date(2020, 12, 21), None),
    ("PLTR", "S"): (date(2024, 9, 23), None),
    ("PLTR", "N"): (date(2024, 12, 23), None),
    ("MSTR", "N"): (date(2024, 12, 23), None),
    ("COIN", "S"): (date(2025, 5, 19), None),
    ("HOOD", "S"): (date(2025, 9, 22), None),
    ("CVNA", "S"): (date(2025, 12, 22), None),
    ("NVDA", "D"): (date(2024, 11, 8), None),
    ("AMZN", "D"): (date(2024, 2, 26), None),
    ("AMGN", "D"): (date(2020, 8, 31), None),
    ("HON", "D"): (date(2020, 8, 31), None),
    ("WMT", "N"): (date(2026, 1, 20), None),
    ("XOM", "D"): (None, date(2020, 8, 31)),
    ("INTC", "D"): (None, date(2024, 11, 8)),
    ("WBA", "D"): (None, date(2024, 2, 26)),
    ("WBA", "N"): (None, date(2024, 11, 18)),
}

# pair, level, volatility %/day
_PAIRS = """
EURUSD 1.1745 0.45
GBPUSD 1.3471 0.5
AUDUSD 0.6671 0.6
NZDUSD 0.5761 0.6
USDJPY 156.71 0.55
USDCHF 0.7921 0.45
USDCAD 1.3721 0.4
EURGBP 0.8718 0.35
EURJPY 184.05 0.6
GBPJPY 211.11 0.65
"""
_OANDA = ("EURUSD", "USDJPY", "GBPUSD", "USDCHF", "USDCAD", "AUDUSD", "EURJPY", "GBPJPY")


@dataclass(frozen=True)
class Membership:
    """A symbol is in an index from `valid_from` to the day before `valid_to` (None: still)."""

    symbol: str
    index: str
    valid_from: date
    valid_to: date | None


def _spread(name: str, low: float, high: float) -> float:
    """Return a factor between low and high that depends on nothing but the name."""
    return low * (high / low) ** (zlib.crc32(name.encode()) % 10_000 / 10_000)


def _lines(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()]


@cache
def _table(name: str) -> tuple[dict[str, str], ...]:
    """Return the rows of a table of this folder."""
    with (TABLES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


@cache
def coins() -> tuple[Coin, ...]:
    """Return the crypto assets that are neither pegged nor leveraged.

    Letters of `quotes` in the table: C USDC, F FDUSD, E EUR, T TRY, B BTC, D DAI, beside USDT (`none`: no pair at all);
    of `perpetuals`: U USDT, C USDC, D coin-margined.
    """
    quotes = {"C": "USDC", "F": "FDUSD", "E": "EUR", "T": "TRY", "B": "BTC", "D": "DAI"}
    perpetuals = {"U": "USDT", "C": "USDC", "D": "USD"}
    return tuple(
        Coin(
            name=row["name"],
            sector=row["sector"],
            level=float(row["level"]),
            turnover=float(row["turnover_million"]) * 1e6,
            volatility=float(row["volatility_percent"]) / 100,
            quotes=() if row["quotes"] == "none" else ("USDT", *(quotes[letter] for letter in row["quotes"])),
            perpetuals=tuple(perpetuals[letter] for letter in row["perpetuals"]),
            listed=date.fromisoformat(row["listed"]),
            delisted=_day(row["delisted"]),
        )
        for row in _table("coins")
    )


_QUOTE_LISTED = {
    "USDT": FIRST_DAY,
    "USDC": date(2019, 6, 1),
    "FDUSD": date(2023, 8, 4),
    "EUR": date(2020, 1, 3),
    "TRY": date(2020, 6, 1),
    "BTC": FIRST_DAY,
    "DAI": date(2020, 4, 1),
    "USD": date(2020, 8, 11),
}
# the usual level of a quote currency in USD, and its path
QUOTE_PATHS = {
    "USDT": ("one", 1.0),
    "USDC": ("peg:USDC", 1.0),
    "FDUSD": ("peg:FDUSD", 0.9985),
    "EUR": ("forex:EURUSD", 1.1745),
    "TRY": ("fiat:TRY", 0.0233),
    "BTC": ("coin:BTC", 87650.0),
    "DAI": ("peg:DAI", 0.9997),
    "USD": ("one", 1.0),
}
_QUOTE_SHARE = {
    "USDC": (0.04, 0.65),
    "FDUSD": (0.02, 0.5),
    "EUR": (0.01, 0.05),
    "TRY": (0.01, 0.06),
    "BTC": (0.01, 0.05),
    "DAI": (0.001, 0.003),
}


def _later(first: date, second: date) -> date:
    return max(first, second)


def _crypto() -> list[Listing]:
    found: list[Listing] = []
    for coin in coins():
        for quote in coin.quotes:
            if quote == "USDC" and coin.turnover < 1.5e7:
                continue
            symbol = f"BINANCE:{coin.name}{quote}"
            share = 1.0 if quote == "USDT" else _spread(symbol, *_QUOTE_SHARE[quote])
            listed = _later(coin.listed, _QUOTE_LISTED[quote])
            if quote not in ("USDT", "BTC") and listed == coin.listed:
                listed += timedelta(days=int(_spread(symbol, 1, 200)))
            if listed > LAST_DAY or (coin.delisted and listed >= coin.delisted):
                continue
            path, level = QUOTE_PATHS[quote]
            found.append(
                Listing(
                    symbol=symbol,
                    market="crypto",
                    type="spot",
                    subtype="crypto",
                    typespecs=("crypto",),
                    description=f"{coin.name} / {_quote_name(quote)}",
                    path=f"coin:{coin.name}/{path}",
                    level=coin.level / level,
                    turnover=coin.turnover * share / level,
                    listed=listed,
                    delisted=coin.delisted,
                    base=coin.name,
                    quote=quote,
                )
            )
        for quote in coin.perpetuals:
            if coin.turnover < 4.5e6:
                continue
            multiple = float(MULTIPLES.get(coin.name, 1)) if quote != "USD" else 1.0
            prefix = f"{multiple:.0f}" if multiple > 1 else ""
            symbol = f"BINANCE:{prefix}{coin.name}{quote}.P"
            share = _spread(symbol, 2.5, 7.0) * {"USDT": 1.0, "USDC": 0.06, "USD": 0.04}[quote]
            first = {"USDT": date(2019, 9, 8), "USDC": date(2024, 1, 4), "USD": date(2020, 8, 11)}[quote]
            listed = _later(coin.listed + timedelta(days=int(_spread(symbol, 1, 40)) - 1), first)
            if listed > LAST_DAY or (coin.delisted and listed >= coin.delisted):
                continue
            known = coin.name.lstrip("0123456789") if coin.name.startswith("1000000") else coin.name
            found.append(
                Listing(
                    symbol=symbol,
                    market="crypto",
                    type="swap",
                    subtype="perpetual",
                    typespecs=("crypto", "perpetual"),
                    description=f"{known} / {_quote_name(quote)} Perpetual",
                    path=f"coin:{coin.name}/{QUOTE_PATHS[quote][0]}",
                    level=coin.level * multiple,
                    turnover=coin.turnover * share,
                    listed=listed,
                    delisted=coin.delisted,
                    base=f"{prefix}{coin.name}",
                    quote=quote,
                    multiple=multiple,
                )
            )
    for row in _table("pegged"):
        name, kind = row["name"], row["kind"]
        path = {"stable": f"peg:{name}", "euro": f"euro:{name}", "gold": f"gold:{name}"}[kind]
        base = Listing(
            symbol=f"BINANCE:{name}USDT",
            market="crypto",
            type="spot",
            subtype="crypto",
            typespecs=("crypto", "stablecoin") if kind == "stable" else ("crypto",),
            description=f"{name} / TetherUS",
            path=f"{path}/one",
            level=float(row["level"]),
            turnover=float(row["turnover_million"]) * 1e6,
            listed=date.fromisoformat(row["listed"]),
            delisted=_day(row["delisted"]),
            base=name,
            quote="USDT",
        )
        found.append(base)
        if name == "PAXG":
            found.append(
                replace(
                    base,
                    symbol="BINANCE:PAXGUSDT.P",
                    type="swap",
                    subtype="perpetual",
                    typespecs=("crypto", "perpetual"),
                    description="PAXG / TetherUS Perpetual",
                    turnover=2.1e8,
                    listed=date(2025, 3, 27),
                )
            )
    for name, of, multiple, level, turnover in _lines(_LEVERAGED):
        found.append(
            Listing(
                symbol=f"BINANCE:{name}USDT",
                market="crypto",
                type="spot",
                subtype="leveraged",
                typespecs=("crypto", "leveraged"),
                description=f"{name} / TetherUS, leveraged token",
                path=f"token:{name}:{of}:{multiple}/one",
                level=float(level),
                turnover=float(turnover) * 1e6,
                listed=date(2020, 5, 15),
                base=name,
                quote="USDT",
            )
        )
    for base_name, level in (("BTC", 87650.0), ("ETH", 2971.0)):
        found.append(
            Listing(
                symbol=f"BINANCE:{base_name}USDH2026",
                market="crypto",
                type="futures",
                subtype="future",
                typespecs=("crypto",),
                description=f"{base_name} / U.S. Dollar futures, March 2026",
                path=f"coin:{base_name}/one",
                level=level * 1.01,
                turnover=3.2e7,
                listed=date(2025, 9, 26),
                base=base_name,
                quote="USD",
            )
        )
    return found


def _quote_name(quote: str) -> str:
    return {
        "USDT": "TetherUS",
        "USDC": "USD Coin",
        "FDUSD": "First Digital USD",
        "EUR": "Euro",
        "TRY": "Turkish Lira",
        "BTC": "Bitcoin",
        "DAI": "Dai",
        "USD": "U.S. Dollar",
    }[quote]


def _funds() -> list[Listing]:
    return [
        Listing(
            symbol=f"{row['exchange']}:{row['ticker']}",
            market="america",
            type="fund",
            subtype="etf",
            typespecs=("etf",),
            description=row["description"],
            path=f"fund:{row['ticker']}:{row['path']}",
            level=float(row["level"]),
            turnover=float(row["turnover_million"]) * 1e6,
            listed=date.fromisoformat(row["listed"]),
            sector="Miscellaneous",
            industry="Investment Trusts/Mutual Funds",
            country="United States",
            category=int(row["category"]),
            aum=float(row["aum_billion"]) * 1e9,
            expense_ratio=float(row["expense_ratio"]),
            brand=row["issuer"],
            issuer=f"{row['issuer']} Fund Advisors",
            dividend_yield=float(row["yield_percent"]) / 100,
            dividends_per_year=int(row["payments"]),
            splits=_SPLITS.get(row["ticker"], ()),
        )
        for row in _table("funds")
    ]


def _stocks() -> list[Listing]:
    found = []
    for row in _table("stocks"):
        end, rate = _day(row["delisted"]), float(row["yield_percent"])
        sector, industry = SECTORS[row["sector"]]
        found.append(
            Listing(
                symbol=f"{row['exchange']}:{row['ticker']}",
                market="america",
                type="stock",
                subtype="common",
                typespecs=("common",),
                description=row["description"],
                path=f"stock:{row['ticker']}:{row['sector']}:{row['beta']}:{row['volatility_percent']}",
                level=float(row["level"]),
                turnover=float(row["turnover_million"]) * 1e6,
                listed=date.fromisoformat(row["listed"]),
                delisted=end,
                anchor_day=end or ANCHOR_DAY,
                sector=sector,
                industry=industry,
                country="United States",
                dividend_yield=rate / 100,
                dividends_per_year=4 if rate > 0 else 0,
                splits=_SPLITS.get(row["ticker"], ()),
            )
        )
    return found


def _forex() -> list[Listing]:
    found = []
    for pair, level, _ in _lines(_PAIRS):
        for exchange in ("FX_IDC", "OANDA"):
            if exchange == "OANDA" and pair not in _OANDA:
                continue
            found.append(
                Listing(
                    symbol=f"{exchange}:{pair}",
                    market="forex",
                    type="forex",
                    subtype="forex",
                    typespecs=("forex",),
                    description=f"{pair[:3]} / {pair[3:]}",
                    path=f"forex:{pair}",
                    level=float(level),
                    turnover=_spread(pair, 4e7, 6e8),
                    listed=US_FIRST_DAY,
                    base=pair[:3],
                    quote=pair[3:],
                    has_volume_in_bars=exchange == "OANDA",
                )
            )
    # spot gold keeps the hours of currencies, and what is pegged to gold follows it
    found.append(
        Listing(
            symbol="OANDA:XAUUSD",
            market="forex",
            type="cfd",
            subtype="cfd",
            typespecs=("cfd",),
            description="Gold / U.S. Dollar",
            path="metal:gold",
            level=4329.6,
            turnover=3.1e9,
            listed=US_FIRST_DAY,
            base="XAU",
            quote="USD",
            has_volume_in_bars=True,
        )
    )
    return found


PAIR_VOLATILITY = {pair: float(volatility) / 100 for pair, _, volatility in _lines(_PAIRS)}
# A fund that is often written under another exchange: the name is known and leads to the real listing.
ALIASES = {
    **{f"AMEX:{ticker}": f"NASDAQ:{ticker}" for ticker in ("BND", "IEF", "MBB", "QQQ", "SHY", "TLT")},
    "NYSEARCA:SPY": "AMEX:SPY",
}


@cache
def all_listings() -> tuple[Listing, ...]:
    """Return every listing there is or was, by symbol."""
    found = [*_crypto(), *_funds(), *_stocks(), *_forex()]
    return tuple(sorted(found, key=lambda one: one.symbol))


@cache
def memberships() -> tuple[Membership, ...]:
    """Return who was in which index when."""
    found = []
    for row in _table("stocks"):
        ticker, listed, ended = row["ticker"], date.fromisoformat(row["listed"]), _day(row["delisted"])
        changed = {letter for name, letter in _INDEX_CHANGES if name == ticker}
        for letter in sorted({*row["indices"], *changed}):
            begin, end = _INDEX_CHANGES.get((ticker, letter), (None, None))
            gone = end or (ended + timedelta(days=1) if ended else None)
            found.append(Membership(f"{row['exchange']}:{ticker}", INDICES[letter], begin or listed, gone))
    return tuple(sorted(found, key=lambda one: (one.index, one.symbol)))
