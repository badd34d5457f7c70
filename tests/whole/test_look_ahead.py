"""What is decided at a session knows nothing that came after it: proved through the import command and the whole build.

The same bars are built once as they are; then, for each of five random cuts, once with every later bar removed and once
with every later bar replaced by noise. Nothing up to the cut may change.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from quantmill.manifest.compose import resolve
from quantmill.manifest.home import Home
from support import ROOT, SMALL, copy_of_project, dbt_build, ingest

pytestmark = pytest.mark.build

# From 2019 on, so the crash of 2020 lies before the cuts, and 32 windows.
SESSION_COUNT, LOOKBACK = 1000, 911
CUTS = np.random.default_rng(20221228).choice(np.arange(500, SESSION_COUNT - 30), size=5, replace=False)
# Windows that reach beyond the last bar do not exist: these are compared up to the last one that does.
BY_WINDOW = (
    "weights", "targets", "decisions", "probabilities", "scores", "clusters", "vetoes", "warnings", "window regimes",
)  # fmt: skip

# Every profile and selection engine; weights depend neither on the mode of trading nor on costs, and the other
# optimization engine is given the very estimates of this one.
ONE_MODE = {
    "matrix__engines": ["custom"],
    "matrix__rebalance_modes": ["window"],
    "matrix__exclude": [],
    "matrix__cost_models": ["std_6bp"],
}

# Everything up to the paths of the cells, and nothing of what only reads them; nothing is published.
DECIDED = (
    "--select", "+symbol_identity", "+survival_tests", "+peg_sessions", "+base_returns", "+technical_ratings",
    "+expected_sessions", "+portfolio_returns", "+atom_weights", "+target_weights", "+alpha_scores", "+vetoes",
    "+selection_warnings", "+decisions", "+clusters", "+market_regimes", "+factor_history",
    "--exclude-resource-type", "test", "--exclude-resource-type", "unit_test",
)  # fmt: skip

Bars = tuple[list[str], list[str], np.ndarray]


@pytest.fixture(scope="session")
def bars() -> Bars:
    """The newest sessions of the embedded prices: dates, symbols, closes (sessions by symbols)."""
    spec = importlib.util.find_spec("skfolio")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent / "datasets" / "data"
    columns: dict[str, np.ndarray] = {}
    dates: list[str] = []
    for name in ("sp500_dataset", "sp500_index"):
        with gzip.open(folder / f"{name}.csv.gz", "rt", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        rows = rows[-SESSION_COUNT:]
        dates = [row[0] for row in rows]
        for place, column in enumerate(header[1:], start=1):
            columns[column] = np.array([float(row[place]) for row in rows])
    listed = resolve(ROOT / "manifest", "sample", overrides={}, environment={}).settings
    full = {symbol.split(":")[1]: symbol for symbol in listed.universe.symbols} | {"SP500": "SP:SPX"}
    names = sorted(columns)
    return dates, [full[name] for name in names], np.column_stack([columns[name] for name in names])


@pytest.fixture(scope="session")
def build_bars(make_home: Callable[[str], Home]) -> Callable[[str, list[str], list[str], np.ndarray], Home]:
    """A function that imports closes as a user's own file, builds profile sample on them, and returns the home."""

    def build(
        name: str,
        dates: list[str],
        symbols: list[str],
        closes: np.ndarray,
        project: Path = ROOT,
        matrix: Mapping[str, Any] = ONE_MODE,
    ) -> Home:
        home = make_home(name)
        path = home.state / "bars.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["symbol", "date", "adj_close"])
            for row, session in enumerate(dates):
                writer.writerows([symbol, session, repr(float(closes[row, i]))] for i, symbol in enumerate(symbols))
        landed = ingest(
            home, "import", str(path), "--source", "test", "--received-at", "2022-12-29T00:00:00Z",
            "--symbol-column", "symbol", "--date-column", "date", "--map", "close=adj_close",
            "--adjustment", "total_return", "--asset-class", "equity", "--calendar", "XNYS",
            "--timezone", "America/New_York",
        )  # fmt: skip
        assert landed.code == 0, landed.output
        # bars that end long before as_of are stale: that is what is tried here, so only broken contracts may stop it
        settings = {"quality__gate": "raw_pool", "lookback_sessions": LOOKBACK, **matrix}
        built = dbt_build(home, *DECIDED, cwd=project, has_unit_tests=True, **settings)
        assert built.code == 0, built.output
        return home

    return build


@pytest.fixture(scope="session")
def whole(bars: Bars, build_bars: Callable[..., Home]) -> Home:
    """The home built on all bars."""
    return build_bars("whole", *bars)


def ask(home: Home, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Answer a query from the workbench: these homes publish nothing."""
    with duckdb.connect(str(home.workbench), read_only=True) as connection:
        return connection.execute(query, list(parameters)).fetchall()


def decided(home: Home, cut: date) -> Iterator[tuple[str, set[tuple[object, ...]]]]:
    """Yield what the warehouse says about sessions up to the cut, by table, without the ids of the run."""
    queries = {
        "weights": """
            select window_set, window_index, decision_date, config_id, atom_id, weight, cluster_id, status
            from tournaments.atom_weights join selection.windows using (run_id, window_set, window_index)
            where decision_date <= ?
        """,
        "targets": """
            select window_set, window_index, decision_date, config_id, symbol, net_weight
            from tournaments.target_weights join selection.windows using (run_id, window_set, window_index)
            where decision_date <= ?
        """,
        "decisions": """
            select window_set, window_index, decision_date, selection_engine, atom_id, outcome, score, cluster_id,
                lost_to
            from selection.decisions join selection.windows using (run_id, window_set, window_index)
            where decision_date <= ?
        """,
        "probabilities": """
            select window_set, window_index, decision_date, atom_id, factor, raw_value, probability, is_imputed
            from selection.factor_probabilities join selection.windows using (run_id, window_set, window_index)
            where decision_date <= ?
        """,
        "scores": """
            select window_set, window_index, decision_date, selection_engine, atom_id, log_score, rank, fit_multiplier
            from selection.alpha_scores join selection.windows using (run_id, window_set, window_index)
            where decision_date <= ?
        """,
        "clusters": """
            select window_set, window_index, decision_date, clustering_id, symbol, cluster_id, threshold,
                co_member_count
            from selection.clusters join selection.windows using (run_id, window_set, window_index)
            where decision_date <= ?
        """,
        "vetoes": """
            select window_set, window_index, decision_date, selection_engine, atom_id, code, metric_value, is_fired
            from selection.vetoes join selection.windows using (run_id, window_set, window_index)
            where decision_date <= ?
        """,
        "warnings": """
            select window_set, window_index, decision_date, selection_engine, code, subject, detail
            from selection.selection_warnings join selection.windows using (run_id, window_set, window_index)
            where decision_date <= ?
        """,
        "days": """
            select cell_id, session_date, net_return, nav from tournaments.portfolio_returns where session_date <= ?
        """,
        "returns": "select symbol, session_date, simple_return from features.daily_returns where session_date <= ?",
        "health": "select symbol, as_of_date, verdict, reasons from features.symbol_health where as_of_date <= ?",
        "gaps": "select symbol, session_date, run_length, is_excused from features.bar_gaps where session_date <= ?",
        "factors": "select * from features.factor_history where session_date <= ?",
        "regimes": "select * from features.market_regimes where session_date <= ?",
        "window regimes": """
            select window_set, window_index, regime, regime_score, quadrant, regime_date
            from selection.windows where decision_date <= ?
        """,
        "identity": "select * from features.symbol_identity where as_of_date <= ?",
        "survival": "select * from features.survival_tests where is_tested and tested_from_date <= ?",
        "expected sessions": "select * from work.expected_sessions where session_date <= ?",
        "pegs": "select * from work.peg_sessions where session_date <= ?",
        "dollar returns": "select * from features.base_returns where session_date <= ?",
        "ratings": "select * from features.technical_ratings where session_date <= ?",
        "spikes": "select symbol, session_date, code, value from features.bar_spikes where session_date <= ?",
    }
    for name, query in queries.items():
        yield name, set(ask(home, query, cut))


def compare(whole: Home, other: Home, cut: date, *, last_window: int, last_day: date) -> int:
    """Assert that nothing up to the cut differs; return how many weights were compared."""
    compared = 0
    expected = dict(decided(whole, cut))
    for name, rows in decided(other, cut):
        known = expected[name]
        if name in BY_WINDOW:
            known = {row for row in known if row[1] <= last_window}
        if name == "weights":
            compared = len(rows)
        if name == "days":
            # windows that reach beyond the last bar do not exist, and neither do their days
            known = {row for row in known if row[1] <= last_day}
        assert rows == known, f"{name} up to {cut} differ"
    return compared


@pytest.mark.parametrize("cut", [int(cut) for cut in CUTS])
def test_removing_every_bar_after_a_cut_changes_nothing_before_it(
    cut: int, bars: Bars, whole: Home, build_bars: Callable[..., Home]
) -> None:
    dates, symbols, closes = bars
    home = build_bars("removed", dates[: cut + 1], symbols, closes[: cut + 1])
    last_window, last_day = ask(home, "select max(window_index), max(test_end_date) from selection.windows")[0]
    assert compare(whole, home, date.fromisoformat(dates[cut]), last_window=last_window, last_day=last_day) >= 20


@pytest.mark.parametrize("cut", [int(cut) for cut in CUTS])
def test_replacing_every_bar_after_a_cut_by_noise_changes_nothing_before_it(
    cut: int, bars: Bars, whole: Home, build_bars: Callable[..., Home]
) -> None:
    dates, symbols, closes = bars
    noise = np.random.default_rng(cut).normal(0.0, 0.05, size=(len(dates) - cut - 1, len(symbols)))
    noisy = closes.copy()
    noisy[cut + 1 :] = closes[cut] * np.exp(np.cumsum(noise, axis=0))
    home = build_bars("noise", dates, symbols, noisy)
    assert compare(whole, home, date.fromisoformat(dates[cut]), last_window=10_000, last_day=date.max) >= 20
    after = "select sum(weight * weight * window_index) from tournaments.atom_weights"
    assert ask(home, after) != ask(whole, after)


def test_a_planted_leak_is_caught(bars: Bars, build_bars: Callable[..., Home], tmp_path: Path) -> None:
    """Returns that are those of the next session make the same comparison fail."""
    dates, symbols, closes = bars
    project = copy_of_project(tmp_path)
    (project / "models").unlink()
    shutil.copytree(ROOT / "models", project / "models")
    # a unit test of the model would stop the build before the comparison could
    (project / "models" / "features" / "unit_tests.yml").unlink()
    path = project / "models" / "features" / "panel" / "daily_returns.sql"
    honest = "closes_ratio - 1 as simple_return"
    tomorrow = "lead(closes_ratio - 1, 1, 0.0) over (partition by symbol order by session_date) as simple_return"
    assert honest in path.read_text(encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8").replace(honest, tomorrow), encoding="utf-8")
    # the decision of window 20 is row 20 * 20 + 251 of the grid, which ends with the last of the bars
    cut = SESSION_COUNT - LOOKBACK + 20 * 20 + 251
    whole = build_bars("leaky-whole", dates, symbols, closes, project, SMALL)
    noisy = closes.copy()
    noisy[cut + 1 :] = closes[cut] * np.exp(
        np.cumsum(np.random.default_rng(1).normal(0.0, 0.05, size=noisy[cut + 1 :].shape), axis=0)
    )
    other = build_bars("leaky-noise", dates, symbols, noisy, project, SMALL)
    with pytest.raises(AssertionError, match=r"weights up to .* differ"):
        compare(whole, other, date.fromisoformat(dates[cut]), last_window=10_000, last_day=date.max)
