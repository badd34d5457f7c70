"""The market itself: deterministic, consistent from minutes to months, and without a view of the future."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pytest

from market import Market
from market.faults import NAMED_MOVES
from market.fields import Histories, Snapshot
from market.indicators import Frame, Moment, nodes
from market.listings import FIRST_DAY, all_listings, memberships
from market.market import DAY, Panel, epoch
from market.paths import FLASH_CRASHES, day_number

NOW = epoch(datetime(2026, 1, 29, 15, 17, tzinfo=UTC))
INPUTS = ("open", "high", "low", "close", "volume")


def test_the_same_seed_gives_the_same_bars_and_another_seed_other_ones() -> None:
    symbols = ("BINANCE:BTCUSDT", "AMEX:SPY")
    one, two, other = Market(symbols=symbols), Market(symbols=symbols), Market(symbols=symbols, seed=4)
    for symbol in symbols:
        first, second = (market.bars(symbol, "1D", NOW) for market in (one, two))
        assert np.array_equal(first.close, second.close) and np.array_equal(first.volume, second.volume)
        assert not np.array_equal(first.close, other.bars(symbol, "1D", NOW).close)


def test_a_symbol_has_the_same_bars_whoever_is_listed_beside_it(small_market: Market) -> None:
    alone = Market(symbols=["BINANCE:POLUSDT"])
    for timeframe in ("1D", "60", "1"):
        one, two = (market.bars("BINANCE:POLUSDT", timeframe, NOW) for market in (alone, small_market))
        assert len(one) > 400 and np.array_equal(one.close, two.close) and np.array_equal(one.volume, two.volume)


def test_an_unknown_symbol_is_named() -> None:
    with pytest.raises(ValueError, match="BINANCE:NOPE"):
        Market(symbols=["BINANCE:NOPE"])


@pytest.mark.parametrize("symbol", ["BINANCE:BTCUSDT", "AMEX:SPY", "OANDA:EURUSD", "NASDAQ:NVDA"])
def test_bars_of_every_resolution_add_up_to_the_day(small_market: Market, symbol: str) -> None:
    days = small_market.bars(symbol, "1D", NOW)
    for timeframe in ("1", "45", "60", "240"):
        inside = small_market.bars(symbol, timeframe, NOW)
        # the last whole session and the running one
        for at in (-2, -1):
            part = inside[(inside.opened >= days.opened[at]) & (inside.opened < days.opened[at] + DAY)]
            assert part.open[0] == days.open[at] and part.close[-1] == days.close[at]
            assert part.high.max() == days.high[at] and part.low.min() == days.low[at]
            assert part.volume.sum() == pytest.approx(days.volume[at])
        assert (inside.high >= np.maximum(inside.open, inside.close)).all()
        assert (inside.low <= np.minimum(inside.open, inside.close)).all()
    weeks = small_market.bars(symbol, "1W", NOW)
    assert weeks.close[-1] == days.close[-1] and weeks.volume.sum() == pytest.approx(days.volume.sum())
    assert not weeks.is_complete[-1] and weeks.is_complete[:-1].all()


@pytest.mark.parametrize("symbol", ["BINANCE:ETHUSDT", "BINANCE:BTCUSDT", "BINANCE:LTCUSDT", "BINANCE:XRPUSDT"])
def test_a_running_bar_is_a_prefix_of_the_whole_one(small_market: Market, symbol: str) -> None:
    start = epoch(datetime(2026, 1, 28, tzinfo=UTC))
    seen = [small_market.bars(symbol, "1D", start + minute * 60)[-1:] for minute in (1, 10, 61, 700, 1440)]
    opened, highs, lows, volumes = zip(
        *((b.opened[-1], b.high[-1], b.low[-1], b.volume[-1]) for b in seen), strict=True
    )
    assert set(opened) == {start}
    assert (
        list(highs) == sorted(highs) and list(lows) == sorted(lows, reverse=True) and list(volumes) == sorted(volumes)
    )
    assert [bool(bar.is_complete[-1]) for bar in seen] == [False, False, False, False, True]
    assert volumes[0] < 0.01 * volumes[-1]
    # what the minutes say when the day is over is what was seen while it ran
    minutes = small_market.bars(symbol, "1", start + DAY)
    for bar, count in zip(seen[1:], (10, 61, 700, 1440), strict=True):
        part = minutes[minutes.opened >= start][:count]
        assert (bar.high[-1], bar.low[-1], bar.close[-1]) == (part.high.max(), part.low.min(), part.close[-1])
        assert bar.volume[-1] == pytest.approx(part.volume.sum())


def _blinded(market: Market, moment: int) -> Market:
    """Return the market with everything after the session of the moment replaced by nonsense."""
    blind = Market(symbols=market.listings, seed=market.seed)
    for panel in blind.panels.values():
        row = panel.row_at(moment)
        for name in INPUTS:
            values = np.array(getattr(panel, name))
            values[row + 1 :] = 1e9
            setattr(panel, name, values)
    return blind


def test_what_is_said_at_a_moment_depends_on_nothing_that_came_later(small_market: Market) -> None:
    moment = epoch(datetime(2025, 3, 5, 13, 33, tzinfo=UTC))
    blind = _blinded(small_market, moment)
    for symbol in ("BINANCE:ADAUSDT", "NASDAQ:NVDA", "OANDA:USDJPY", "NASDAQ:TLT"):
        for timeframe in ("1D", "1W", "240", "5"):
            one, two = (m.bars(symbol, timeframe, moment, adjust="dividends") for m in (small_market, blind))
            assert np.array_equal(one.close, two.close), (symbol, timeframe)
    columns = (
        "close",
        "Recommend.All",
        "ADX|1W",
        "RSI|240",
        "Perf.3M",
        "EMA200|1M",
        "beta_1_year",
        "Value.Traded",
        "ATR[1]",
    )
    for name in ("crypto", "america", "forex"):
        seen = [Snapshot(m, m.panels[name], Histories(m.panels[name]), moment, 0) for m in (small_market, blind)]
        assert seen[0].symbols == seen[1].symbols
        for column in columns:
            assert seen[0].column(column) == seen[1].column(column), (name, column)


def test_listings_come_and_go(small_market: Market) -> None:
    def listed(symbol: str, day: date) -> bool:
        return small_market.is_listed(symbol, epoch(datetime(day.year, day.month, day.day, 12, tzinfo=UTC)))

    assert not listed("BINANCE:FOGOUSDT", date(2026, 1, 14)) and listed("BINANCE:FOGOUSDT", date(2026, 1, 15))
    assert listed("BINANCE:FLMUSDT", date(2026, 1, 14)) and not listed("BINANCE:FLMUSDT", date(2026, 1, 15))
    # a migration: the old ticker ends, the new one goes on three days later at about the same price
    old = small_market.bars("BINANCE:MATICUSDT", "1D", NOW)
    new = small_market.bars("BINANCE:POLUSDT", "1D", NOW)
    assert new.opened[0] - old.opened[-1] == 3 * DAY


def test_a_coin_has_3050_bars_and_more_since_its_genesis(small_market: Market) -> None:
    moment = epoch(datetime(2025, 12, 20, 12, tzinfo=UTC))
    bars = small_market.bars("BINANCE:BTCUSDT", "1D", moment)
    assert len(bars) == 3048 and datetime.fromtimestamp(int(bars.opened[0]), UTC).date() == date(2017, 8, 17)


def test_sessions_are_those_of_the_exchanges(small_market: Market) -> None:
    spy = small_market.bars("AMEX:SPY", "1D", NOW)
    opened = {datetime.fromtimestamp(int(second), UTC) for second in spy.opened}
    days = {moment.date() for moment in opened}
    assert date(2025, 7, 4) not in days and date(2025, 7, 3) in days and not any(day.weekday() > 4 for day in days)
    # half past nine in New York, in winter and in summer
    assert datetime(2025, 1, 15, 14, 30, tzinfo=UTC) in opened and datetime(2025, 7, 15, 13, 30, tzinfo=UTC) in opened
    pair = small_market.bars("FX_IDC:EURUSD", "1D", NOW)
    moments = [datetime.fromtimestamp(int(second), UTC) for second in pair.opened]
    assert {moment.hour for moment in moments} == {21, 22} and {moment.weekday() for moment in moments} == {
        6,
        0,
        1,
        2,
        3,
    }


def test_splits_are_seen_from_their_day_on(small_market: Market) -> None:
    before, after = (epoch(datetime(2024, 6, day, 21, tzinfo=UTC)) for day in (7, 10))
    plain, known = small_market.bars("NASDAQ:NVDA", "1D", before), small_market.bars("NASDAQ:NVDA", "1D", after)
    assert plain.close[-1] == pytest.approx(10 * known.close[-2])
    assert known.close[-2] * known.volume[-2] == pytest.approx(plain.close[-1] * plain.volume[-1], rel=1e-3)
    raw = small_market.bars("NASDAQ:NVDA", "1D", after, adjust="none")
    assert 8 < raw.close[-2] / raw.close[-1] < 12
    # what nobody announced is a jump, but for the source that knows of it
    jump = small_market.bars("AMEX:BRZX", "1D", NOW)
    told = small_market.bars("AMEX:BRZX", "1D", NOW, knows_all=True)
    at = int(np.searchsorted(jump.opened, epoch(datetime(2024, 5, 20, tzinfo=UTC))))
    assert jump.close[at] / jump.close[at - 1] == pytest.approx(told.close[at] / told.close[at - 1] / 2)
    assert abs(told.close[at] / told.close[at - 1] - 1) < 0.15


def test_dividends_lower_the_past_and_not_the_present(small_market: Market) -> None:
    price = small_market.bars("NASDAQ:TLT", "1D", NOW)
    total = small_market.bars("NASDAQ:TLT", "1D", NOW, adjust="dividends")
    assert total.close[-1] == price.close[-1] and total.close[0] < 0.85 * price.close[0]
    paid = [day for day, _, _ in small_market.dividends("NASDAQ:TLT")]
    assert 80 <= len(paid) <= 86 and len(set(paid)) == len(paid)


def test_funding_is_paid_every_eight_hours(small_market: Market) -> None:
    times, rates = small_market.funding("BINANCE:BTCUSDT.P", NOW)
    assert set(np.diff(times)) == {8 * 3600} and times[-1] <= NOW
    assert (np.abs(rates) <= 0.0075).all() and (rates > 0).any() and (rates < 0).any()


def test_membership_of_an_index_is_that_of_the_day(small_market: Market) -> None:
    def members(year: int, month: int) -> frozenset[str]:
        return small_market.members("SP:SPX", epoch(datetime(year, month, 15, tzinfo=UTC)))

    assert "NASDAQ:PLTR" not in members(2024, 8) and "NASDAQ:PLTR" in members(2024, 10)
    assert all(one.valid_to is None or one.valid_from < one.valid_to for one in memberships())


def test_the_levels_of_the_incident_are_there(small_market: Market) -> None:
    moment = epoch(datetime(2026, 1, 2, tzinfo=UTC))
    ada, bch = (small_market.bars(f"BINANCE:{name}USDT", "1D", moment).close for name in ("ADA", "BCH"))
    assert ada[-2] == 0.3335 and bch[-1] == 526.06
    assert round(100 * (526.06 / 0.3335 - 1)) == 157_639
    assert [round(100 * move) for move in NAMED_MOVES.values() if move] == [107_277, 6_280, 235_194_585, 1_059]


@pytest.fixture(scope="module")
def whole_market() -> Market:
    return Market()


def test_the_whole_market_is_clean_and_wide(whole_market: Market) -> None:
    assert len(whole_market.listings) == len(all_listings()) > 400
    for panel in whole_market.panels.values():
        close = panel.close
        with np.errstate(invalid="ignore"):
            returns = close[1:] / close[:-1] - 1
            # nothing that a check of contamination would stop
            assert np.nanmax(returns) < 1.0 and np.nanmin(returns) > -0.6
            assert (np.nan_to_num(panel.low, nan=1.0) > 0).all()
            inside = (panel.high >= np.maximum(panel.open, close)) & (panel.low <= np.minimum(panel.open, close))
        assert (inside | np.isnan(close)).all()
        around = np.lib.stride_tricks.sliding_window_view(close[:-1], 20, axis=0)
        medians = np.median(around, axis=-1)
        assert np.nanmax(np.abs(np.log(close[20:] / medians))) < np.log(6)


def test_no_two_symbols_share_a_row(whole_market: Market) -> None:
    panel = whole_market.panels["crypto"]
    for row in (2500, 3000, 3089):
        seen = np.stack([getattr(panel, name)[row] for name in INPUTS], axis=1)
        seen = seen[~np.isnan(seen).any(axis=1)]
        assert len(np.unique(seen, axis=0)) == len(seen)


def test_every_floor_cuts_and_every_kind_is_there(whole_market: Market) -> None:
    panel = whole_market.panels["crypto"]
    turnover = panel.close[-2] * panel.volume[-2]
    spot = np.array([one.type == "spot" and one.quote == "USDT" for one in panel.listings])
    counts = [int((turnover[spot] > floor).sum()) for floor in (0, 1e6, 2e6, 5e6, 1e7, 5e7)]
    assert counts == sorted(counts, reverse=True) and len(set(counts)) == len(counts) and counts[-1] > 10
    names = {one.name for one in panel.listings}
    traps = {
        "TUSDUSDT",
        "TUSDT",
        "1INCHUSDT",
        "0GUSDT",
        "C98USDT",
        "SIGNUSDT",
        "PLUMEUSDT",
        "PAXGUSDT",
        "1000PEPEUSDT.P",
    }
    assert traps | {"BTCUPUSDT", "BTCDOWNUSDT", "JUPUSDT", "RLUSDUSDT", "AEURUSDT", "BTCUSD.P", "XUSDUSDT"} <= names


def test_the_flash_crashes_are_there(small_market: Market) -> None:
    panel = small_market.panels["crypto"]
    at = panel.column["BINANCE:BTCUSDT"]
    for day, _ in FLASH_CRASHES:
        row = day_number(day)
        assert panel.close[row, at] / panel.close[row - 1, at] < 0.92


def _frame(panel: Panel) -> Frame:
    return Frame({name: getattr(panel, name) for name in INPUTS})


def test_a_live_value_is_that_of_the_whole_history(small_market: Market) -> None:
    for name in ("crypto", "america"):
        panel = small_market.panels[name]
        frame, row = _frame(panel), len(panel.days) - 5
        moment = Moment(frame, row, {one: getattr(panel, one)[row] for one in INPUTS})
        for field, node in nodes().items():
            full, live = node.full(frame)[row], node.live(moment)
            assert np.allclose(full, live, rtol=1e-8, atol=1e-9, equal_nan=True), field


def test_indicators_agree_with_a_second_library(small_market: Market) -> None:
    import talib

    panel = small_market.panels["crypto"]
    at = panel.column["BINANCE:BTCUSDT"]
    frame = _frame(panel)
    h, low, c = (getattr(panel, name)[:, at].copy() for name in ("high", "low", "close"))
    slow_k, slow_d = talib.STOCH(h, low, c, 14, 3, 0, 3, 0)
    macd, signal, _ = talib.MACD(c, 12, 26, 9)
    upper, _, lower = talib.BBANDS(c, 20, 2, 2)
    second = {
        "RSI": talib.RSI(c, 14), "ATR": talib.ATR(h, low, c, 14), "ADX": talib.ADX(h, low, c, 14),
        "ADX+DI": talib.PLUS_DI(h, low, c, 14), "ADX-DI": talib.MINUS_DI(h, low, c, 14),
        "CCI20": talib.CCI(h, low, c, 20),
        "W.R": talib.WILLR(h, low, c, 14), "UO": talib.ULTOSC(h, low, c, 7, 14, 28), "Mom": talib.MOM(c, 10),
        "ROC": talib.ROC(c, 9), "EMA20": talib.EMA(c, 20), "EMA200": talib.EMA(c, 200), "SMA100": talib.SMA(c, 100),
        "Stoch.K": slow_k, "Stoch.D": slow_d, "MACD.macd": macd, "MACD.signal": signal,
        "BB.upper": upper, "BB.lower": lower,
    }  # fmt: skip
    for name, values in second.items():
        mine = nodes()[name].full(frame)[:, at]
        # the starts differ by a bar; a hundred half-lives later nothing is left of it
        assert np.allclose(mine[1500:], values[1500:], rtol=1e-6, atol=1e-6), name


def _ratings(close: np.ndarray, spread: float = 0.5) -> dict[str, float]:
    """Return the last ratings of one symbol with bars of equal spread around the closes."""
    c = close[:, None].astype(float)
    frame = Frame({"open": c, "high": c + spread, "low": c - spread, "close": c, "volume": np.ones_like(c)})
    return {name: float(nodes()[name].full(frame)[-1, 0]) for name in nodes() if name.startswith(("Rec", "UO", "RSI"))}


def test_a_straight_rise_has_the_ratings_worked_out_by_hand() -> None:
    """All averages and the cloud vote +1 but the Hull average, which lies on a straight line: 14/15.

    No oscillator crosses, turns or moves, and the range of the RSI is flat, so its stochastic has no value: 0 of 10.
    UO: 1 / 1.5 in each window, 66.7, which is not above 70.
    """
    found = _ratings(np.arange(100.0, 500.0))
    assert found["Recommend.MA"] == pytest.approx(14 / 15)
    assert found["Recommend.Other"] == 0 and found["RSI"] == 100
    assert np.isnan(found["Rec.Stoch.RSI"]) and found["Rec.HullMA9"] == 0
    assert found["Recommend.All"] == pytest.approx(7 / 15) and found["UO"] == pytest.approx(200 / 3)


def test_a_straight_fall_is_the_mirror_of_the_rise() -> None:
    found = _ratings(np.arange(1000.0, 600.0, -1.0))
    assert found["Recommend.MA"] == pytest.approx(-14 / 15) and found["Recommend.All"] == pytest.approx(-7 / 15)


def test_a_young_symbol_is_rated_by_what_it_has() -> None:
    """After 25 bars of a rise: SMA and EMA 10 and 20, VWMA and Hull: five up, one tie, the rest missing."""
    found = _ratings(np.arange(100.0, 125.0))
    assert found["Recommend.MA"] == pytest.approx(5 / 6)


def test_rating_is_the_mean_of_its_halves(small_market: Market) -> None:
    """2026-01-17 of the vendor: 4/15 and 2/11 make 0.2242."""
    assert round((4 / 15 + 2 / 11) / 2, 4) == 0.2242
    frame = _frame(small_market.panels["crypto"])
    parts = [nodes()[f"Recommend.{name}"].full(frame)[-300:] for name in ("All", "MA", "Other")]
    both = ~np.isnan(parts[1]) & ~np.isnan(parts[2])
    assert both.any() and np.allclose(parts[0][both], (parts[1][both] + parts[2][both]) / 2)
    assert np.nanmax(np.abs(parts[0])) <= 1


def test_days_are_counted_from_the_first() -> None:
    assert day_number(FIRST_DAY) == 0 and day_number(date(2025, 12, 20)) == 3047
