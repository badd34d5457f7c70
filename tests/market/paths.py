"""Price paths: the log level of every asset on every calendar day, from factors with regimes, sectors and fat tails.

A path is a function of the seed and its name alone. Day 0 is `FIRST_DAY`; assets that trade on sessions have a return
of zero on the other days. Two windows are flash crashes.
"""

from __future__ import annotations

from datetime import date
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from .listings import FIRST_DAY, LAST_DAY, PAIR_VOLATILITY, US_FIRST_DAY, coins
from .noise import generator

Array = NDArray[np.float64]

DAYS = (LAST_DAY - FIRST_DAY).days + 1
# first day and the market's log return on it and on the days after it
FLASH_CRASHES = (
    (date(2021, 5, 19), (-0.21, -0.03, 0.06, -0.05, 0.09)),
    (date(2025, 10, 10), (-0.13, 0.04, -0.03, 0.05)),
)
# drift and volatility a day of the crypto market in its four regimes, and how long one lasts on average
_REGIMES = ((0.0012, 0.010, 80), (0.0030, 0.018, 50), (-0.0026, 0.020, 50), (-0.0050, 0.036, 14))
_NEXT = np.array([[0, 0.55, 0.4, 0.05], [0.5, 0, 0.4, 0.1], [0.45, 0.35, 0, 0.2], [0.2, 0.3, 0.5, 0]])
# what happened to one asset alone: first day, last day, log return a day
_SCRIPTED = {
    "metal:gold": (
        (date(2025, 1, 6), date(2025, 4, 18), 0.0028),
        (date(2025, 8, 25), date(2025, 10, 17), 0.0042),
        (date(2025, 12, 15), date(2026, 1, 28), 0.0042),
    ),
    "commodity:oil": ((date(2025, 5, 5), date(2025, 6, 20), 0.008), (date(2026, 1, 5), date(2026, 1, 30), 0.006)),
    "commodity:base": ((date(2025, 6, 23), date(2025, 8, 1), 0.005), (date(2025, 11, 10), date(2026, 1, 23), 0.0035)),
    "coin:FHE": ((date(2026, 1, 17), date(2026, 1, 29), 0.085),),
    "coin:BULLA": ((date(2026, 1, 12), date(2026, 1, 30), -0.06),),
    "coin:ZEC": ((date(2025, 9, 20), date(2025, 11, 8), 0.035),),
    "coin:BREV": ((date(2026, 1, 6), date(2026, 1, 12), 0.05),),
    "stock:ASTS": ((date(2025, 12, 29), date(2026, 1, 30), 0.030),),
    "stock:RKLB": ((date(2025, 12, 29), date(2026, 1, 30), 0.021),),
    "fund:SHLD": ((date(2025, 12, 26), date(2026, 1, 30), 0.0062),),
    "stock:MVIS": ((date(2025, 12, 1), date(2026, 1, 30), -0.012),),
}
_FACTORS = {
    "index:market": 0.0,
    "factor:small": 0.006,
    "factor:abroad": 0.006,
    "factor:emerging": 0.008,
    "bond:rates": 0.0006,
    "bond:credit": 0.0022,
    "bond:emerging": 0.0025,
    "metal:gold": 0.009,
    "metal:silver": 0.012,
    "metal:platinum": 0.015,
    "commodity:broad": 0.009,
    "commodity:oil": 0.02,
    "commodity:gas": 0.033,
    "commodity:base": 0.012,
    "commodity:grains": 0.011,
    "commodity:uranium": 0.018,
    "commodity:lithium": 0.017,
    "vol:short": 0.045,
    "sector:technology": 0.006,
    "sector:semis": 0.011,
    "sector:finance": 0.006,
    "sector:health": 0.005,
    "sector:consumer": 0.006,
    "sector:staples": 0.005,
    "sector:industrials": 0.004,
    "sector:defence": 0.008,
    "sector:energy": 0.010,
    "sector:utilities": 0.007,
    "sector:materials": 0.007,
    "sector:property": 0.006,
    "sector:communication": 0.006,
}


def day_number(day: date) -> int:
    """Return the day's place on the market's time line."""
    return (day - FIRST_DAY).days


@cache
def us_sessions() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return day number, opening and closing time (epoch seconds) of every session of the US exchanges."""
    import exchange_calendars

    calendar = exchange_calendars.get_calendar("XNYS", start=US_FIRST_DAY, end=LAST_DAY)
    schedule = calendar.schedule
    first = np.datetime64(FIRST_DAY, "D")
    days = (schedule.index.to_numpy().astype("datetime64[D]") - first).astype(np.int64)
    seconds = [schedule[name].dt.tz_localize(None).to_numpy().astype("datetime64[s]") for name in ("open", "close")]
    return days, seconds[0].astype(np.int64), seconds[1].astype(np.int64)


def _smooth(draws: Array, keep: float) -> Array:
    """Return a first-order autoregression of variance 1 driven by the draws."""
    return lfilter([np.sqrt(1 - keep * keep)], [1, -keep], draws)


class Paths:
    """The paths of one seed, made when they are asked for."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._levels: dict[str, Array] = {}
        self._volatility: dict[str, float] = {"one": 1e-5}

    def level(self, name: str) -> Array:
        """Return the log level of a path on every day, shape (days,), up to a constant."""
        if name not in self._levels:
            self._levels[name] = self._make(name)
        return self._levels[name]

    def volatility(self, name: str) -> float:
        """Return the usual volatility a day of a path, as a fraction."""
        self.level(name)
        return self._volatility[name]

    def _make(self, name: str) -> Array:
        if "/" in name:
            base, quote = name.split("/")
            level = self.level(base) - self.level(quote)
            self._volatility[name] = max(self._volatility[base], self._volatility[quote])
            return level
        kind, *rest = name.split(":")
        if name == "one":
            return np.zeros(DAYS)
        if name == "crypto:market":
            return self._crypto_market()
        if name in _FACTORS:
            return self._factor(name)
        make = {
            "coin": self._coin,
            "sector-crypto": self._crypto_sector,
            "peg": self._peg,
            "euro": self._euro,
            "gold": self._gold,
            "fiat": self._fiat,
            "token": self._token,
            "fund": self._fund,
            "stock": self._stock,
            "forex": self._pair,
        }[kind]
        return make(name, *rest)

    def _noise(self, name: str, volatility: float, *, trend: float = 0.13, tails: bool = True) -> Array:
        """Return the daily log returns of an asset alone: changing volatility, slow drifts, fat tails."""
        self._volatility[name] = volatility
        random = generator(self.seed, name)
        draws = random.standard_normal((3, DAYS))
        shocks = random.standard_t(4, DAYS) / np.sqrt(2) if tails else draws[0]
        state = np.exp(0.3 * _smooth(draws[1], 0.95))
        drift = trend * _smooth(draws[2], 0.96)
        return volatility * (0.85 * state * np.clip(shocks, -6, 6) + drift)

    def _scripted(self, name: str, returns: Array) -> Array:
        for first, last, drift in _SCRIPTED.get(name, ()):
            inside = slice(day_number(first), day_number(last) + 1)
            returns[inside] = 0.35 * returns[inside] + drift
        return returns

    def _crypto_market(self) -> Array:
        name = "crypto:market"
        random = generator(self.seed, name)
        draws = random.standard_t(5, DAYS) / np.sqrt(5 / 3)
        steps = random.random((DAYS, 2))
        returns, state = np.empty(DAYS), 0
        for day in range(DAYS):
            drift, volatility, length = _REGIMES[state]
            returns[day] = drift + volatility * min(4.0, max(-4.0, draws[day]))
            if steps[day, 0] < 1 / length:
                state = int(np.searchsorted(np.cumsum(_NEXT[state]), steps[day, 1]))
        for first, moves in FLASH_CRASHES:
            start = day_number(first)
            returns[start : start + len(moves)] = moves
        self._volatility[name] = 0.018
        return lfilter([1], [1, -0.9988], returns)

    def _crypto_sector(self, name: str, _: str) -> Array:
        return np.cumsum(self._noise(name, 0.012))

    def _coin(self, name: str, coin_name: str) -> Array:
        coin = next(one for one in coins() if one.name == coin_name)
        beta = {"BTC": 0.95, "ETH": 1.15, "BNB": 0.95, "TRX": 0.6}.get(coin_name, 1.05)
        own = np.sqrt(max(coin.volatility**2 - (0.018 * beta) ** 2 - 0.012**2, (0.25 * coin.volatility) ** 2))
        noise = self._scripted(name, self._noise(name, own))
        alone = np.diff(lfilter([1], [1, -0.9965], noise), prepend=0.0)
        market = np.diff(self.level("crypto:market"), prepend=0.0)
        returns = beta * market + alone
        if coin_name not in ("BTC", "ETH"):
            returns += np.diff(self.level(f"sector-crypto:{coin.sector}"), prepend=0.0)
        self._volatility[name] = coin.volatility
        return np.cumsum(np.clip(returns, -0.5, 0.5))

    def _peg(self, name: str, _: str) -> Array:
        self._volatility[name] = 0.0004
        return 0.0004 * _smooth(generator(self.seed, name).standard_normal(DAYS), 0.6)

    def _euro(self, name: str, _: str) -> Array:
        own = 0.0008 * _smooth(generator(self.seed, name).standard_normal(DAYS), 0.5)
        level = self.level("forex:EURUSD") + own
        self._volatility[name] = 0.0045
        return level

    def _gold(self, name: str, _: str) -> Array:
        own = 0.001 * _smooth(generator(self.seed, name).standard_normal(DAYS), 0.5)
        level = self.level("metal:gold") + own
        self._volatility[name] = 0.008
        return level

    def _fiat(self, name: str, _: str) -> Array:
        return np.cumsum(self._noise(name, 0.004) - 0.0007)

    def _token(self, name: str, _: str, of: str, multiple: str) -> Array:
        returns = np.expm1(np.diff(self.level(f"coin:{of}"), prepend=0.0))
        self._volatility[name] = abs(float(multiple)) * self.volatility(f"coin:{of}")
        return np.cumsum(np.log1p(np.clip(float(multiple) * returns, -0.7, 0.85)))

    def _sessions_only(self, returns: Array) -> Array:
        kept = np.zeros(DAYS)
        sessions = us_sessions()[0]
        kept[sessions] = returns[sessions]
        return kept

    def _factor(self, name: str) -> Array:
        if name == "index:market":
            crypto = np.diff(self.level("crypto:market"), prepend=0.0)
            returns = 0.0004 + 0.12 * crypto + self._noise(name, 0.0085, trend=0.06)
            self._volatility[name] = 0.01
        else:
            trend = 0.24 if name.startswith(("metal:", "commodity:")) else 0.13
            returns = self._scripted(name, self._noise(name, _FACTORS[name], trend=trend))
        if name == "vol:short":
            returns = returns - 0.0015 - 3.2 * np.diff(self.level("index:market"), prepend=0.0)
        if name == "bond:credit":
            returns = returns + 0.09 * np.diff(self.level("index:market"), prepend=0.0)
        returns = np.clip(self._sessions_only(returns), -0.3, 0.3)
        return np.cumsum(returns) if name in ("index:market", "vol:short") else lfilter([1], [1, -0.9985], returns)

    def _fund(self, name: str, ticker: str, *spec: str) -> Array:
        text = ":".join(spec)
        if text.startswith("lever:"):
            of, multiple = text.removeprefix("lever:").split("*")
            base = self._named(of)
            returns = np.expm1(np.diff(self.level(base), prepend=0.0))
            self._volatility[name] = abs(float(multiple)) * self.volatility(base)
            return np.cumsum(np.log1p(np.clip(float(multiple) * returns, -0.7, 0.85)))
        short = f"fund:{ticker}"
        total, variance = np.zeros(DAYS), 0.0
        for part in text.split(","):
            factor, weight = part.split("*")
            total += float(weight) * np.diff(self.level(factor), prepend=0.0)
            variance += (float(weight) * self.volatility(factor)) ** 2
        own = max(0.1 * np.sqrt(variance), 0.0012)
        returns = self._sessions_only(total) + self._sessions_only(self._scripted(short, self._noise(short, own)))
        self._volatility[name] = np.sqrt(variance + own * own)
        return np.cumsum(np.clip(returns, -0.35, 0.35))

    def _stock(self, name: str, ticker: str, sector: str, beta: str, volatility: str) -> Array:
        short = f"stock:{ticker}"
        own = float(volatility) / 100
        returns = float(beta) * np.diff(self.level("index:market"), prepend=0.0)
        returns = returns + np.diff(self.level(f"sector:{sector}"), prepend=0.0)
        alone = np.diff(lfilter([1], [1, -0.998], self._noise(short, own)), prepend=0.0)
        returns = returns + self._sessions_only(self._scripted(short, alone))
        self._volatility[name] = np.hypot(own, 0.011)
        return np.cumsum(np.clip(returns, -0.3, 0.3))

    def _named(self, ticker: str) -> str:
        from .listings import all_listings

        return next(one.path for one in all_listings() if one.market == "america" and one.name == ticker)

    def _pair(self, name: str, pair: str) -> Array:
        crosses = {
            "EURGBP": ("EURUSD", "GBPUSD", -1),
            "EURJPY": ("EURUSD", "USDJPY", 1),
            "GBPJPY": ("GBPUSD", "USDJPY", 1),
        }
        if pair in crosses:
            first, second, sign = crosses[pair]
            self._volatility[name] = PAIR_VOLATILITY[pair]
            return self.level(f"forex:{first}") + sign * self.level(f"forex:{second}")
        returns = self._noise(name, PAIR_VOLATILITY[pair])
        weekday = (np.arange(DAYS) + FIRST_DAY.weekday()) % 7
        returns[weekday >= 5] = 0.0
        return lfilter([1], [1, -0.9985], returns)
