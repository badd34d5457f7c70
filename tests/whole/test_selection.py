"""Selection through the import command and the whole build: a small market in which each symbol breaches one veto.

Every series is 252 returns and more before the one decision, each from a seed of its own that was searched for once,
so that the series stays clear of every limit but the one it is built to breach.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import date
from typing import Any

import exchange_calendars
import numpy as np
import pytest
from quantmill.manifest.home import Home
from support import ask, dbt_build, ingest

pytestmark = pytest.mark.build

FIRST, LAST = "2022-01-03", "2023-12-29"
# the decision is 20 sessions before the last, the window it is made on the 252 up to it
DECISION = -21
STRESS = {"2022-05-10", "2022-05-24", "2022-06-14", "2023-03-07", "2023-03-21"}

# Codes that follow from another by arithmetic: a return above 5 alone makes a year's volatility 5 and its kurtosis 246;
# what does not move has no efficiency; the ceiling of ENTROPY_TOXIC lies above that of ENTROPY_HIGH.
IMPLIED = {
    "DATA_TOXIC": {"ASSET_VOL_HIGH", "KURTOSIS_HIGH"},
    "CONSTANT_SERIES": {"EFFICIENCY_LOW"},
    "ENTROPY_TOXIC": {"ENTROPY_HIGH"},
}
# Symbol and seed of the symbols that breach one veto, and of three that breach none.
BREACHES = {
    "DATA_TOXIC": 1, "SHORT_HISTORY": 100, "CONSTANT_SERIES": 200, "METADATA_MISSING": 301, "SURVIVAL_LOW": 403,
    "ENTROPY_TOXIC": 511, "KURTOSIS_HIGH": 601, "ASSET_VOL_HIGH": 700, "ROC_EXTREME": 800, "ADV_MISSING": 900,
    "DOMINATED_LEVERAGED": 1712, "ENTROPY_HIGH": 1100, "EFFICIENCY_LOW": 1200, "TOXIC_PERSISTENCE": 1303,
    "ECI_HIGH": 1402, "SPREAD_WIDE": 1500, "MOMENTUM_GATE": 1600,
}  # fmt: skip
# The leveraged series is the first of these twice over.
CLEAN = {"CLEAN_A": 1712, "CLEAN_B": 1800, "CLEAN_C": 1900}
RANDOM_WALKER = "CLEAN_C"


def symbol(name: str) -> str:
    """The physical symbol of a series."""
    return f"NYSE:{name.replace('_', '')}"


def noise(seed: int, count: int, scale: float = 0.01, memory: float = 0.4) -> np.ndarray:
    """Autocorrelated noise without mean: its entropy lies well below that of independent draws."""
    draws = np.random.default_rng(seed).normal(0.0, scale, count)
    found = np.empty(count)
    previous = 0.0
    for t in range(count):
        previous = memory * previous + draws[t]
        found[t] = previous
    return found - found.mean()


def returns_of(name: str, seed: int, count: int) -> np.ndarray:
    """Returns of the series of that name; all that is peculiar to it is here, the last 20 come after the decision."""
    end = count + DECISION + 1
    base = 0.0012 + noise(seed, count)
    if name == "DATA_TOXIC":
        base[end - 40] = 6.0
        base[end - 39] = 1 / 7.0 - 1.0
    elif name == "CONSTANT_SERIES":
        base[:] = 0.0
    elif name in ("ENTROPY_TOXIC", "ENTROPY_HIGH"):
        base = 0.0012 + noise(seed, count, memory=0.0)
    elif name == "KURTOSIS_HIGH":
        base[end - 100] = 0.35
    elif name == "ASSET_VOL_HIGH":
        up = np.resize([True, False, False, True, True, False, False, True, False, True], count)
        base = np.where(up, 0.22, -0.175)
    elif name == "ROC_EXTREME":
        base = base * 1.5
        base[end - 9 : end] = 0.09
    elif name == "DOMINATED_LEVERAGED":
        base = 2.0 * base
    elif name == "EFFICIENCY_LOW":
        base[end - 120 : end] -= base[end - 120 : end].mean()
    elif name == "TOXIC_PERSISTENCE":
        base = -0.0005 + noise(seed, count, scale=0.004, memory=0.6)
    elif name == "MOMENTUM_GATE":
        base[: end - 60] += 0.004
        base[end - 60 : end] -= base[end - 60 : end].mean() + 0.005
    return base


def bars_of(name: str, seed: int, sessions: list[str]) -> list[list[Any]]:
    """Rows symbol, date, open, high, low, close, volume of a series."""
    closes = 50.0 * np.cumprod(1.0 + returns_of(name, seed, len(sessions)))
    reach = 0.02 if name == "SPREAD_WIDE" else 0.0002
    turnover = 20_000.0 if name == "ECI_HIGH" else 600_000_000.0
    rows = []
    for t, (session, close) in enumerate(zip(sessions, closes, strict=True)):
        if name == "SHORT_HISTORY" and t < len(sessions) + DECISION - 150:
            continue
        if name == "SURVIVAL_LOW" and session in STRESS:
            continue
        volume: Any = repr(turnover / 50.0 * (1.1 if t % 2 else 0.9))
        if name == "ADV_MISSING" and t > len(sessions) + DECISION - 40:
            volume = ""
        price = float(close)
        high, low = price * (1 + reach), price * (1 - reach)
        rows.append([symbol(name), session, repr(price), repr(high), repr(low), repr(price), volume])
    return rows


def toxic_session(sessions: list[str]) -> str:
    """Return the session in which the series of DATA_TOXIC rises by 600 %."""
    returns = returns_of("DATA_TOXIC", BREACHES["DATA_TOXIC"], len(sessions))
    return sessions[int(np.argmax(returns))]


@pytest.fixture(scope="session")
def sessions() -> list[str]:
    """The sessions of the market."""
    calendar = exchange_calendars.get_calendar("XNYS", start="2022-01-01", end="2024-01-31")
    return [day.date().isoformat() for day in calendar.sessions_in_range(FIRST, LAST)]


@pytest.fixture(scope="session")
def land(make_home: Callable[[str], Home], sessions: list[str]) -> Callable[..., Home]:
    """A function that imports the market in a new home, its rows in an order of the caller's choice."""

    def do(name: str, shuffle: int | None = None) -> Home:
        home = make_home(name)
        everything = {**BREACHES, **CLEAN, "MARKET": 20}
        for asset_class in ("equity", "index"):
            rows = [
                row
                for one, seed in everything.items()
                if (one in ("METADATA_MISSING", "MARKET")) == (asset_class == "index")
                for row in bars_of(one, seed, sessions)
            ]
            if shuffle is not None:
                np.random.default_rng(shuffle).shuffle(rows)
            # The landing rejects a series with a move beyond 500 %; only a second source brings such a bar in.
            jump = toxic_session(sessions)
            is_jump = [row[0] == symbol("DATA_TOXIC") and row[1] == jump for row in rows]
            for source in ("test", "second"):
                given = [row for row, jumps in zip(rows, is_jump, strict=True) if jumps == (source == "second")]
                if not given:
                    continue
                path = home.state / f"{asset_class}_{source}.csv"
                with path.open("w", encoding="utf-8", newline="") as file:
                    writer = csv.writer(file)
                    writer.writerow(["symbol", "date", "open", "high", "low", "close", "volume"])
                    writer.writerows(given)
                landed = ingest(
                    home, "import", str(path), "--source", source, "--received-at", "2024-01-10T00:00:00Z",
                    "--symbol-column", "symbol", "--date-column", "date", "--adjustment", "splits",
                    "--asset-class", asset_class, "--calendar", "XNYS", "--timezone", "America/New_York",
                )  # fmt: skip
                assert landed.code == 0, landed.output
        return home

    return do


def build(home: Home, *arguments: str, **overrides: Any) -> str:
    """Build the market with every check active, and return the id of the run."""
    before = set()
    if home.snapshot.exists():
        before = {row[0] for row in ask(home, "select run_id from selection.runs")}
    settings = {
        "as_of": "2024-01-02T00:00:00Z",
        "lookback_sessions": 272,
        "universe.symbols": sorted(symbol(name) for name in (*BREACHES, *CLEAN)),
        "universe.landed_only": [],
        "benchmarks": [symbol("MARKET")],
        "bars.kind": "ohlcv",
        "bars.volume": "present",
        "regime.basis": "declared",
        # what the checks are to find, the gate of quality would stop
        "quality.gate": "report",
        "selection.inert_vetoes": [],
        "selection.entropy_max": 0.995,
        "matrix.rebalance_modes": ["window"],
        "matrix.engines": ["custom"],
        "matrix.risk_profiles": ["min_variance"],
        "matrix.exclude": [],
        "headline.risk_profile": "min_variance",
        "allocation.cap_policy": "cash",
        **{key.replace("__", "."): value for key, value in overrides.items()},
    }
    built = dbt_build(home, *arguments, **settings)
    assert built.code == 0, built.output
    return next(row[0] for row in ask(home, "select run_id from selection.runs") if row[0] not in before)


@pytest.fixture(scope="session")
def market(land: Callable[..., Home]) -> tuple[Home, str]:
    """The home in which the market was built, and the id of its run."""
    home = land("market")
    return home, build(home)


def fired(home: Home, run_id: str) -> dict[str, set[str]]:
    """The codes that fired, by symbol."""
    found: dict[str, set[str]] = {}
    for name, code in ask(
        home,
        """
        select c.symbol, v.code from selection.vetoes as v
        join selection.candidates as c using (run_id, window_set, window_index, atom_id)
        where v.run_id = ? and v.is_fired
        """,
        run_id,
    ):
        found.setdefault(name, set()).add(code)
    return found


@pytest.mark.parametrize("code", BREACHES)
def test_a_series_built_to_breach_one_veto_fires_it_and_no_other(code: str, market: tuple[Home, str]) -> None:
    home, run_id = market
    assert fired(home, run_id).get(symbol(code)) == {code, *IMPLIED.get(code, ())}
    outcome, reason, cluster_id = ask(
        home,
        """
        select outcome, reason, cluster_id from selection.decisions
        where run_id = ? and selection_engine = 'v3.2' and symbol = ?
        """,
        run_id,
        symbol(code),
    )[0]
    assert outcome == "VETOED"
    assert code in reason.split(",")
    severity = ask(home, "select distinct severity from selection.vetoes where run_id = ? and code = ?", run_id, code)
    assert (cluster_id == -1) == (severity == [("hard",)] and code != "DOMINATED_LEVERAGED")


def test_what_is_not_known_of_a_vital_factor_counts_against_the_atom(market: tuple[Home, str]) -> None:
    home, run_id = market
    found = ask(
        home,
        """
        select raw_value, probability, is_imputed from selection.factor_probabilities
        where run_id = ? and symbol = ? and factor = 'liquidity'
        """,
        run_id,
        symbol("ADV_MISSING"),
    )
    assert found == [(None, 0.01, True)]


def test_series_that_breach_nothing_win(market: tuple[Home, str]) -> None:
    home, run_id = market
    winners = ask(
        home,
        "select symbol from selection.winners where run_id = ? and selection_engine = 'v3.2' order by symbol",
        run_id,
    )
    assert winners == [(symbol(name),) for name in sorted(CLEAN)]


def test_every_check_is_a_row_or_a_warning_that_says_why_it_is_none(market: tuple[Home, str]) -> None:
    home, run_id = market
    checked = {row[0] for row in ask(home, "select distinct code from selection.vetoes where run_id = ?", run_id)}
    warned = dict(
        ask(
            home,
            """
            select subject, any_value(code) from selection.selection_warnings
            where run_id = ? and code in ('VETO_INERT', 'METRIC_MISSING') and atom_id is null group by subject
            """,
            run_id,
        )
    )
    unsourced = ("VOL_D_EXTREME", "TRACKING_POOR", "SHORT_UNBORROWABLE")
    assert not checked & set(unsourced)
    assert ask(
        home,
        """
        select count(*), count(*) filter (where starts_with(detail, 'no source of this metric yet: '))
        from selection.selection_warnings where run_id = ? and subject in (?, ?, ?)
        """,
        run_id,
        *unsourced,
    ) == [(3, 3)]
    assert set(BREACHES) <= checked
    assert warned == {
        "RANDOM_WALK": "VETO_INERT",
        "WHITE_NOISE": "VETO_INERT",
        "VOL_D_EXTREME": "VETO_INERT",
        "TRACKING_POOR": "VETO_INERT",
        "SHORT_UNBORROWABLE": "VETO_INERT",
    }
    atoms = {
        row[0]
        for row in ask(
            home,
            """
            select subject from selection.selection_warnings
            where run_id = ? and code = 'METRIC_MISSING' and atom_id is not null
            """,
            run_id,
        )
    }
    assert f"ECI_HIGH {symbol('ADV_MISSING')}_buy_hold_LONG" in atoms


def test_neither_the_order_of_imported_rows_nor_the_number_of_threads_changes_anything(
    market: tuple[Home, str], land: Callable[..., Home]
) -> None:
    home, run_id = market
    other = land("shuffled", shuffle=7)
    other_id = build(other, "--threads", "1")
    for table in (
        "selection.factor_probabilities", "selection.score_contributions", "selection.alpha_scores",
        "selection.clusters", "selection.cluster_statistics", "selection.vetoes", "selection.selection_warnings",
        "selection.decisions", "selection.winners", "selection.funnel", "tournaments.atom_weights",
        "tournaments.target_weights", "tournaments.portfolio_returns", "tournaments.trades",
        "tournaments.cell_metrics", "tournaments.scoreboard",
    ):  # fmt: skip
        query = f"select * exclude (run_id) from {table} where run_id = ? order by all"
        assert ask(home, query, run_id) == ask(other, query, other_id), table


@pytest.fixture(scope="session")
def late(market: tuple[Home, str]) -> tuple[Home, str]:
    """The same market with directions bound late, a narrow band of random walks and a finer cut."""
    home, run_id = market
    walk = ask(
        home,
        """
        select arg_max(hurst, session_date) from features.factor_history
        where symbol = ? and session_date <= (select max(decision_date) from selection.windows where run_id = ?)
        """,
        symbol(RANDOM_WALKER),
        run_id,
    )[0][0]
    return home, build(
        home,
        selection__hurst_min=walk - 1e-9,
        selection__hurst_max=walk + 1e-9,
        universe__direction="LATE",
        selection__cluster_threshold=0.4,
    )


def test_a_random_walk_is_vetoed_where_a_profile_sets_the_band(late: tuple[Home, str]) -> None:
    home, run_id = late
    found = {name for name, codes in fired(home, run_id).items() if "RANDOM_WALK" in codes}
    assert found == {symbol(RANDOM_WALKER)}


def test_a_missing_direction_is_the_sign_of_the_momentum(late: tuple[Home, str]) -> None:
    home, run_id = late
    found = dict(
        ask(home, "select symbol, any_value(direction) from selection.candidates where run_id = ? group by all", run_id)
    )
    assert found[symbol("MOMENTUM_GATE")] == "SHORT"
    assert found[symbol("CLEAN_A")] == found[symbol("CONSTANT_SERIES")] == "LONG"


def test_no_short_wins_where_shorts_are_not_allowed(late: tuple[Home, str]) -> None:
    home, run_id = late
    found = dict(
        ask(
            home,
            """
            select outcome, count(*) from selection.decisions
            where run_id = ? and selection_engine = 'v3.2' and direction = 'SHORT' group by all
            """,
            run_id,
        )
    )
    assert found.get("DIRECTION_OFF", 0) >= 1
    assert "WINNER" not in found


def test_the_threshold_of_the_profile_is_the_one_that_cuts(market: tuple[Home, str], late: tuple[Home, str]) -> None:
    used = [
        ask(home, "select distinct threshold_used from selection.funnel where run_id = ?", run_id)
        for home, run_id in (market, late)
    ]
    assert used == [[(0.4,)], [(pytest.approx(0.4 * 0.4 / 0.5),)]]


def test_a_leveraged_copy_wins_only_where_the_plain_one_cannot(market: tuple[Home, str]) -> None:
    home, run_id = market
    metric, limit = ask(
        home,
        """
        select metric_value, limit_value from selection.vetoes
        where run_id = ? and code = 'DOMINATED_LEVERAGED' and is_fired
        """,
        run_id,
    )[0]
    assert metric == pytest.approx(2.0)
    assert limit == 1.5


def test_the_decision_is_made_on_the_day_the_market_is_built_for(market: tuple[Home, str], sessions: list[str]) -> None:
    home, run_id = market
    assert ask(home, "select decision_date from selection.windows where run_id = ?", run_id) == [
        (date.fromisoformat(sessions[DECISION]),)
    ]


@pytest.mark.parametrize(
    ("overrides", "code", "not_hard"),
    [
        ({"selection__min_momentum": 50.0}, "ALL_VETOED", True),
        ({"selection__limits__volatility_annual_max": 1e-6}, "ALL_HARD_VETOED", False),
    ],
)
def test_a_window_in_which_everything_is_vetoed_is_kept_in_cash_and_says_so(
    overrides: dict[str, float], code: str, not_hard: bool, market: tuple[Home, str]
) -> None:
    home, _ = market
    # what does not move has no volatility to be vetoed for, but it is constant
    run_id = build(home, **overrides)
    funnel = ask(
        home,
        """
        select winner_count, is_scarce, not_hard_count > 0, stage_reached from selection.funnel
        where run_id = ? and selection_engine = 'v3.2'
        """,
        run_id,
    )
    assert funnel == [(0, True, not_hard, "scored")]
    warned = ask(
        home,
        """
        select code from selection.selection_warnings
        where run_id = ? and selection_engine = 'v3.2' and subject = 'window'
        """,
        run_id,
    )
    assert warned == [(code,)]
    cash = ask(
        home,
        """
        select distinct a.cash from tournaments.window_allocations as a
        join tournaments.configs as c using (run_id, config_id)
        where a.run_id = ? and c.selection_engine = 'v3.2' and not c.is_baseline
        """,
        run_id,
    )
    assert cash == [(1.0,)]
