"""The simulator against worked numbers, the identities it promises, and a second one written the slow way."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from quantmill.errors import BadValue, DataContractError
from quantmill.manifest.settings import CostModel, SimulationSettings
from quantmill.simulation import SimulatedPath, prepare_bars, simulate

Array = NDArray[np.float64]

A_RETURNS = np.array([[0, 0], [0.02, -0.01], [-0.01, 0.02], [0.03, -0.02], [0.00, 0.01], [0.01, 0.00], [-0.02, 0.01]])
A_TARGETS = np.array([[0.6, 0.4], [0.3, 0.7]])


def rules(**changes: Any) -> SimulationSettings:
    base: dict[str, Any] = {
        "short_isolation": False,
        "delist_after": 5,
        "delist_haircut": 0.0,
        "starting_nav": 1.0,
        "bankrupt_below": 0.01,
    }
    return SimulationSettings(**(base | changes))


def costs(bps: float = 6.0, borrow: float = 0.0) -> CostModel:
    return CostModel(slippage_bps=bps, commission_bps=0.0, borrow_annual=borrow)


def run(
    returns: Any,
    targets: Any,
    decision_rows: Any = (0,),
    *,
    mode: Any = "window",
    bps: float = 6.0,
    borrow: float = 0.0,
    periods: int = 252,
    **changes: Any,
) -> SimulatedPath:
    returns = np.asarray(returns, dtype=np.float64)
    names = [f"X:{i}" for i in range(returns.shape[1])]
    bars = prepare_bars(returns, symbols=names, settings=rules(**changes))
    return simulate(
        bars,
        np.asarray(targets, dtype=np.float64),
        np.asarray(decision_rows),
        len(returns) - 1,
        mode=mode,
        cost_model=costs(bps, borrow),
        settings=rules(**changes),
        periods_per_year=periods,
    )


# --- worked numbers


def test_two_assets_over_six_days_give_the_worked_numbers() -> None:
    path = run(A_RETURNS, A_TARGETS, (0, 3))
    nav = [1.0073955627, 1.0091944833, 1.0192864281, 1.0260373795, 1.0290940946, 1.0301231887]
    net = [0.0073955627, 0.0017857143, 0.0100000000, 0.0066232132, 0.0029791460, 0.0010000000]
    np.testing.assert_allclose(path.nav, nav, atol=5.1e-11)
    np.testing.assert_allclose(path.net_return, net, atol=5.1e-11)
    assert path.cost[0] == pytest.approx(5.9964021587e-4, abs=1e-14)
    assert path.cost[3] * path.nav[2] == pytest.approx(3.8138398254e-4, abs=1e-14)
    np.testing.assert_allclose(path.decision_turnover, [0.99940036, 0.31199344], atol=5e-9)
    moved = path.trades.traded_weight[2:] * path.nav[2]
    np.testing.assert_allclose(moved, [-0.3180106774, 0.3176292935], atol=5.1e-11)
    assert np.abs(path.trades.traded_weight[2:]).sum() == pytest.approx(0.62361271, abs=5e-9)
    assert path.nav[2] * (1 - path.cost[3]) == pytest.approx(1.0189050442, abs=5.1e-11)
    assert path.nav[-1] - 1 == pytest.approx(0.030123188697, abs=5e-13)
    drifted = path.weights_held[0] * (1 + A_RETURNS[1]) / path.nav[0]
    np.testing.assert_allclose(drifted, [0.6071428571, 0.3928571429], atol=5.1e-11)
    assert list(path.trades.row) == [0, 0, 3, 3]
    assert list(path.window_index) == [0, 0, 0, 1, 1, 1]


def test_the_same_book_brought_back_to_target_every_day_gives_the_numbers_of_exact_arithmetic() -> None:
    # From the same example in decimal arithmetic of 50 digits, the fixed point by bisection.
    path = run(A_RETURNS, A_TARGETS, (0, 3), mode="daily")
    nav = [1.007395562662, 1.009401700661, 1.019486927861, 1.026239207140, 1.029315348293, 1.030342075560]
    turnover = [0.9994003598, 0.0071480006, 0.0071890774, 0.3119934384, 0.0020871543, 0.0020944724]
    np.testing.assert_allclose(path.nav, nav, atol=5.1e-13)
    np.testing.assert_allclose(path.turnover, turnover, atol=5.1e-11)
    assert list(path.trades.row) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    # The close of the second decision belongs to it; the last close trades nothing.
    assert list(path.trades.reason) == ["window"] * 2 + ["daily"] * 4 + ["window"] * 2 + ["daily"] * 4
    np.testing.assert_allclose(path.weights_held[:3] / path.gross_exposure[:3, None], [[0.6, 0.4]] * 3, atol=1e-15)
    assert path.is_rebalance.all()
    gross = run(A_RETURNS, A_TARGETS, (0, 3), mode="daily", bps=0.0)
    assert gross.nav[-1] == pytest.approx(1.031369082783, abs=5.1e-13)


@pytest.mark.parametrize(("bps", "total"), [(0.0, 0.031127076980), (11.0, 0.029287675595)])
def test_the_gross_twin_and_the_study_cost_give_the_worked_totals(bps: float, total: float) -> None:
    path = run(A_RETURNS, A_TARGETS, (0, 3), bps=bps)
    assert path.nav[-1] - 1 == pytest.approx(total, abs=5e-13)


def test_the_gross_twin_beats_the_headline_by_the_worked_drag() -> None:
    gross, net = run(A_RETURNS, A_TARGETS, (0, 3), bps=0.0), run(A_RETURNS, A_TARGETS, (0, 3))
    assert (gross.nav[-1] - net.nav[-1]) * 1e4 == pytest.approx(10.0389, abs=5e-5)


def test_a_long_short_book_with_borrow_gives_the_worked_numbers() -> None:
    path = run(A_RETURNS[:4], [[0.7, -0.3]], borrow=0.02, periods=365)
    np.testing.assert_allclose(path.nav, [1.0163737374, 1.0032853165, 1.0305169780], atol=5.1e-11)
    np.testing.assert_allclose(path.net_return, [0.0163737374, -0.0128775670, 0.0271424899], atol=5.1e-11)
    assert 1 - path.cost[0] == pytest.approx(0.9994003598, abs=5.1e-11)
    assert path.decision_turnover[0] == pytest.approx(0.69958025, abs=5e-9)
    cash_share = 1 - (path.weights_held[0] * (1 + A_RETURNS[1])).sum() / path.nav[0]
    assert cash_share == pytest.approx(0.58996387, abs=5e-9)


C_RETURNS = [[0, 0], [0, 0.1], [0, 1.5], [0.1, 0]]


def test_a_short_that_eats_the_book_ends_it_at_minus_one() -> None:
    path = run(C_RETURNS, [[0.5, -0.8]], bps=0)
    np.testing.assert_allclose(path.net_return, [-0.08, -1.0, 0.0], atol=1e-15)
    assert path.net_return[1] == -1.0
    assert list(path.nav[1:]) == [0.0, 0.0]
    np.testing.assert_allclose(path.gross_return - path.cost - path.borrow_cost, path.net_return)
    assert path.status == "liquidated"
    assert "row 2" in path.reason
    assert path.events.count("liquidated") == 1


def test_a_loss_of_exactly_everything_does_not_live_on_as_a_rounding() -> None:
    almost_all = np.nextafter(-1.0, 0.0)
    path = run([[0], [0.0], [1.3], [0.2]], [[almost_all]], bps=0, short_isolation=True)
    assert path.status == "liquidated"
    assert path.nav[1:].tolist() == [0.0, 0.0]


def test_short_isolation_caps_the_loss_and_closes_the_position() -> None:
    path = run(C_RETURNS, [[0.5, -0.8]], bps=0, short_isolation=True)
    np.testing.assert_allclose(path.nav, [0.92, 0.04, 0.09], atol=1e-15)
    np.testing.assert_allclose(path.net_return, [-0.08, -0.9565217391, 1.25], atol=5.1e-11)
    assert path.status == "ok"
    assert path.events.count("short_isolated") == 1
    assert path.events.value[path.events.code == "short_isolated"] == [1.5]
    last = (path.trades.row[-1], path.trades.column[-1], path.trades.reason[-1])
    assert last == (2, 1, "isolation")
    assert path.held_count[-1] == 1


# --- missing bars and ends


def test_a_holding_without_a_bar_is_marked_at_its_last_price_and_earns_the_gap_afterwards() -> None:
    path = run([[0], [np.nan], [0.21], [0.0]], [[1.0]], bps=0)
    np.testing.assert_allclose(path.net_return, [0.0, 0.21, 0.0], atol=1e-15)
    assert path.events.count("stale_mark") == 1
    assert path.events.count("missing_in_test") == 0


def test_two_missing_sessions_in_a_row_flag_the_window() -> None:
    returns = np.zeros((9, 2))
    returns[5:7, 1] = np.nan
    path = run(returns, [[0.5, 0.5], [0.5, 0.5]], (0, 4))
    assert list(path.events.counts_by_window("missing_in_test", 2)) == [0, 1]
    assert list(path.events.counts_by_window("stale_mark", 2)) == [0, 2]


def test_a_long_gap_closes_the_position_at_the_last_price_less_the_haircut() -> None:
    returns = np.zeros((12, 2))
    returns[2:9, 0] = np.nan
    returns[9, 0] = 3.0
    path = run(returns, [[0.5, 0.5]], bps=10, delist_haircut=0.3)
    assert path.status == "ok"
    held = path.weights_held[:, 0] != 0
    assert list(path.row[held]) == [1, 2, 3, 4, 5, 6, 7]
    half = 0.5 * (1 - path.cost[0])
    assert path.gross_return[6] * path.nav[5] == pytest.approx(-0.3 * half, abs=1e-15)
    assert path.cost[7] * path.nav[6] == pytest.approx(0.001 * 0.7 * half, abs=1e-15)
    assert list(path.trades.reason) == ["window", "window", "delist"]
    assert path.trades.row[-1] == 7
    assert path.net_return[8:].tolist() == [0, 0, 0]
    assert path.events.count("delisted") == 1


def test_a_gap_of_exactly_the_limit_is_not_a_delisting() -> None:
    returns = np.zeros((9, 1))
    returns[2:7, 0] = np.nan
    path = run(returns, [[1.0]], delist_haircut=0.3)
    assert path.events.count("delisted") == 0
    assert path.events.count("stale_mark") == 5


def test_a_target_without_a_bar_at_the_decision_goes_to_cash_and_the_others_keep_their_weights() -> None:
    path = run([[np.nan, 0], [0.1, 0.1], [0.1, 0.0]], [[0.4, 0.6]], bps=0)
    np.testing.assert_allclose(path.weights_held[0], [0.0, 0.6])
    assert path.net_return[0] == pytest.approx(0.06)
    dropped = path.events.code == "target_dropped"
    assert path.events.column[dropped] == [0]
    assert path.events.value[dropped] == [0.4]
    assert path.events.row[dropped] == [0]


def test_a_holding_without_a_bar_at_a_decision_cannot_be_sold() -> None:
    returns = np.zeros((6, 2))
    returns[2, 0] = np.nan
    path = run(returns, [[0.5, 0.5], [0.0, 1.0], [0.0, 1.0]], (0, 2, 4), bps=0)
    np.testing.assert_allclose(path.weights_held[:, 0], [0.5, 0.5, 0.5, 0.5, 0.0])
    np.testing.assert_allclose(path.weights_held[:, 1], [0.5, 0.5, 1.0, 1.0, 1.0])
    stranded = path.events.code == "holding_stranded"
    assert path.events.window_index[stranded] == [1]
    assert path.events.value[stranded] == [0.5]


def test_a_toxic_return_aborts_the_cell_only_while_the_asset_is_held() -> None:
    returns = np.zeros((5, 2))
    returns[3, 1] = 5.5
    held = run(returns, [[0.5, 0.5]])
    assert held.status == "error"
    assert "X:1" in held.reason
    assert "row 3" in held.reason
    assert held.nav.size == held.trades.row.size == 0
    assert run(returns, [[1.0, 0.0]]).status == "ok"


def test_isolation_closes_a_short_until_the_next_window_even_when_trading_daily() -> None:
    returns = np.zeros((8, 2))
    returns[2, 1] = 1.2
    path = run(returns, [[0.5, -0.1], [0.5, -0.1]], (0, 5), mode="daily", short_isolation=True)
    assert (path.weights_held[:, 1] != 0).tolist() == [True, True, False, False, False, True, True]
    at_two = path.trades.row == 2
    assert path.trades.reason[at_two].tolist() == ["daily", "isolation"]


def test_dust_goes_to_cash_for_good() -> None:
    returns = [[0.0], [-0.995], [0.5], [0.5], [0.5]]
    path = run(returns, [[1.0], [1.0]], (0, 3), bps=10)
    assert path.status == "bankrupt"
    assert "row 1" in path.reason
    assert path.trades.reason.tolist() == ["window", "liquidation"]
    assert path.net_return[1] == pytest.approx(-0.001)
    assert path.net_return[2:].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("loss", "status"), [(-0.985, "ok"), (-0.992, "bankrupt")])
def test_dust_begins_below_the_stated_share_of_the_start(loss: float, status: str) -> None:
    assert run([[0.0], [loss], [0.0]], [[1.0]], bps=0, starting_nav=1e6).status == status


def test_a_held_short_isolated_at_a_decision_close_is_opened_again_by_the_new_window() -> None:
    returns = np.zeros((6, 2))
    returns[3, 1] = 1.2
    path = run(returns, [[0.5, -0.1], [0.5, -0.1]], (0, 3), mode="hold", short_isolation=True)
    assert (path.weights_held[:, 1] < 0).all()
    assert path.trades.reason.tolist() == ["window"] * 4


def test_a_total_loss_of_a_long_leaves_nothing_to_hold() -> None:
    path = run([[0, 0], [-1.0, 0.0], [0.5, 0.1]], [[0.5, 0.5]], bps=0)
    np.testing.assert_allclose(path.net_return, [-0.5, 0.1])
    assert path.held_count.tolist() == [2, 1]


def test_a_book_whose_costs_eat_it_whole_is_liquidated() -> None:
    returns = [[0, 0], [0.0, 0.485], [0, 0], [0, 0]]
    path = run(returns, [[0.0, -2.0], [0.0, 0.0]], (0, 1), bps=300, bankrupt_below=0.0)
    assert path.status == "liquidated"
    assert path.net_return[1] == -1.0
    assert path.cost[1] == 1.0


def test_an_empty_window_pays_its_way_to_cash_and_counts() -> None:
    returns = np.full((7, 1), 0.01)
    path = run(returns, [[1.0], [0.0], [1.0]], (0, 2, 4))
    assert path.status == "ok"
    assert path.cost[2] == pytest.approx(0.0006)
    assert path.gross_return[2:4].tolist() == [0.0, 0.0]
    assert path.events.window_index[path.events.code == "empty_window"] == [1]


def test_a_cell_without_any_position_is_empty_and_flat() -> None:
    path = run(np.full((5, 2), 0.02), np.zeros((2, 2)), (0, 2), borrow=0.02)
    assert path.status == "empty"
    assert path.reason
    assert not path.net_return.any()
    assert path.trades.row.size == 0
    assert path.events.count("empty_window") == 2


def test_a_thin_margin_is_reported_and_changes_nothing() -> None:
    path = run([[0], [0.2], [0.0]], [[-1.5]], bps=0)
    breach = path.events.code == "margin_breach"
    assert path.events.value[breach][0] == pytest.approx(0.7 / 1.8)
    assert path.status == "ok"


# --- identities


def sample_case(seed: int, rows: int = 40, n: int = 5, short: bool = False) -> tuple[Array, Array, Any]:
    rng = np.random.default_rng(seed)
    returns = rng.normal(0, 0.02, (rows, n))
    decisions = np.arange(2, rows - 3, 7)
    targets = rng.dirichlet(np.ones(n), decisions.size)
    if short:
        targets = targets * rng.choice([-0.6, 0.8], targets.shape)
    return returns, targets, decisions


@pytest.mark.parametrize("mode", ["window", "daily", "hold"])
def test_compounded_net_returns_equal_the_growth_of_the_nav(mode: str) -> None:
    path = run(*sample_case(1, short=True), mode=mode, borrow=0.02, starting_nav=1e6)
    np.testing.assert_allclose(np.cumprod(1 + path.net_return), path.nav / 1e6, rtol=1e-14)


def test_the_path_without_costs_ends_above_the_path_with_costs_and_more_cost_means_less() -> None:
    ends = [run(*sample_case(2), mode="daily", bps=bps).nav for bps in (0, 1, 6, 11, 14)]
    for cheap, dear in pairwise(ends):
        assert np.all(cheap > dear)


@pytest.mark.parametrize("mode", ["window", "daily", "hold"])
def test_contributions_less_costs_and_borrow_sum_to_the_net_return(mode: str) -> None:
    returns, targets, decisions = sample_case(3, short=True)
    path = run(returns, targets, decisions, mode=mode, borrow=0.05)
    contributions = (path.weights_held * returns[path.row]).sum(axis=1)
    expected = contributions - path.cost - path.borrow_cost
    np.testing.assert_allclose(path.net_return, expected, atol=1e-15)
    np.testing.assert_allclose(path.net_return, path.gross_return - path.cost - path.borrow_cost, atol=1e-17)
    short = -np.minimum(path.weights_held, 0).sum(axis=1)
    np.testing.assert_allclose(path.borrow_cost, 0.05 / 252 * short, rtol=1e-12)
    by_row = np.bincount(path.trades.row - decisions[0], path.trades.cost, path.row.size)
    np.testing.assert_allclose(by_row, path.cost, atol=2e-15)


def test_one_long_asset_without_costs_earns_the_asset() -> None:
    returns = sample_case(4, n=1)[0]
    path = run(returns, [[1.0]], bps=0)
    np.testing.assert_allclose(path.net_return, returns[1:, 0], atol=1e-15)


def test_a_short_earns_the_negative_return_on_its_first_day() -> None:
    path = run([[0.0], [0.03], [0.03]], [[-1.0]], bps=0)
    assert path.net_return[0] == pytest.approx(-0.03, abs=1e-16)
    assert path.net_return[1] != pytest.approx(-0.03, abs=1e-6)


def test_the_starting_nav_scales_the_nav_and_nothing_else() -> None:
    case = sample_case(5, short=True)
    small, large = run(*case, borrow=0.02), run(*case, borrow=0.02, starting_nav=1e8)
    np.testing.assert_array_equal(small.net_return, large.net_return)
    np.testing.assert_array_equal(small.trades.traded_weight, large.trades.traded_weight)
    np.testing.assert_allclose(small.nav * 1e8, large.nav, rtol=1e-15)


def test_the_order_of_the_symbols_changes_nothing() -> None:
    returns, targets, decisions = sample_case(6, short=True)
    order = np.random.default_rng(0).permutation(returns.shape[1])
    straight = run(returns, targets, decisions, borrow=0.02)
    shuffled = run(returns[:, order], targets[:, order], decisions, borrow=0.02)
    np.testing.assert_allclose(straight.net_return, shuffled.net_return, atol=1e-15)


@pytest.mark.parametrize("seed", range(5))
def test_windows_of_one_day_equal_daily_trading_even_with_missing_bars(seed: int) -> None:
    returns, targets, decisions = sample_case(seed, short=True)
    returns[np.random.default_rng(seed).random(returns.shape) < 0.1] = np.nan
    daily = run(returns, targets, decisions, mode="daily", borrow=0.02)
    rows = np.arange(decisions[0], len(returns) - 1)
    in_force = np.searchsorted(decisions, rows, side="right") - 1
    windows = run(returns, targets[in_force], rows, borrow=0.02)
    np.testing.assert_array_equal(daily.net_return, windows.net_return)
    np.testing.assert_array_equal(daily.trades.traded_weight, windows.trades.traded_weight)


def test_buying_in_turns_the_book_over_once_and_standing_still_not_at_all() -> None:
    path = run(np.zeros((9, 3)), [[0.2, 0.3, 0.5]] * 2, (0, 4))
    assert 0.999 <= path.decision_turnover[0] <= 1
    assert path.decision_turnover[1] == pytest.approx(0, abs=1e-15)


def test_replacing_the_whole_book_counts_once_one_way() -> None:
    path = run(np.zeros((9, 2)), [[1.0, 0.0], [0.0, 1.0]], (0, 4), bps=0)
    assert path.decision_turnover.tolist() == [1.0, 1.0]


def test_rows_after_the_last_one_change_nothing() -> None:
    returns, targets, decisions = sample_case(7)
    longer = np.vstack([returns, np.full((5, returns.shape[1]), 0.5)])
    bars = prepare_bars(longer, symbols=list("abcde"), settings=rules())
    path = simulate(
        bars,
        targets,
        decisions,
        len(returns) - 1,
        mode="window",
        cost_model=costs(),
        settings=rules(),
        periods_per_year=252,
    )
    np.testing.assert_array_equal(path.nav, run(returns, targets, decisions).nav)


def test_holding_trades_only_when_the_symbols_change() -> None:
    returns = sample_case(8, rows=30, n=3)[0]
    targets = [[0.5, 0.5, 0], [0.4, 0.6, 0], [0.4, 0.3, 0.3], [-0.4, 0.3, 0.3], [0, 0, 0]]
    path = run(returns, targets, (0, 5, 10, 15, 20), mode="hold")
    assert sorted(set(path.trades.row.tolist())) == [0, 10, 15, 20]
    assert path.row[path.is_rebalance].tolist() == [1, 11, 16, 21]


def test_nothing_of_a_path_can_be_overwritten() -> None:
    path = run(*sample_case(9))
    for name in ("nav", "net_return", "weights_held", "is_rebalance"):
        assert not getattr(path, name).flags.writeable
    assert not path.trades.cost.flags.writeable
    assert not path.events.row.flags.writeable


# --- a second implementation


def value_after_trading(nav: float, book: dict[int, float], wish: dict[int, float], rate: float) -> float:
    low, high = 0.0, nav
    for _ in range(200):
        middle = (low + high) / 2
        paid = rate * sum(abs(w * middle - book[a]) for a, w in wish.items())
        low, high = (low, middle) if middle + paid > nav else (middle, high)
    return high


def slow_simulation(
    returns: Array,
    targets: Array,
    decisions: list[int],
    mode: str,
    cost_rate: float,
    borrow_rate: float,
    rule: SimulationSettings,
) -> dict[str, list[float]]:
    """Cash and positions in a dictionary, one close after the other; trades solved by bisection."""
    cash, book = rule.starting_nav, dict.fromkeys(range(returns.shape[1]), 0.0)
    last_seen = dict.fromkeys(book, -1)
    out: dict[str, list[float]] = {"nav": [], "net": [], "cost": [], "borrow": [], "turnover": []}
    to_close: set[int] = set()
    barred: set[int] = set()
    broke = dead = False
    pending = (0.0, 0.0, 0.0, 0.0)
    for row in range(len(returns)):
        for a in book:
            if not np.isnan(returns[row, a]):
                last_seen[a] = row
        if row < decisions[0]:
            continue
        nav = cash + sum(book.values())
        if row > decisions[0]:
            before, borrowed, paid, turned = pending
            for a in book:
                if book[a] == 0:
                    continue
                gone = row - last_seen[a]
                move = 0.0 if gone else returns[row, a]
                if gone == rule.delist_after + 1:
                    move, to_close = -rule.delist_haircut, to_close | {a}
                if rule.short_isolation and book[a] < 0 and move >= 1:
                    move, to_close, barred = 1.0, to_close | {a}, barred | {a}
                book[a] *= 1 + move
            cash -= borrowed
            nav = cash + sum(book.values())
            if nav <= 1e-12 * before and not dead:
                dead, cash, book = True, 0.0, dict.fromkeys(book, 0.0)
                nav = 0.0
            if nav < rule.bankrupt_below * rule.starting_nav:
                broke = True
            out["nav"].append(nav)
            out["net"].append(nav / before - 1 if before > 0 else 0.0)
            out["cost"].append(paid / before if before > 0 else 0.0)
            out["borrow"].append(borrowed / before if before > 0 else 0.0)
            out["turnover"].append(turned)
        if row == len(returns) - 1:
            break

        wish: dict[int, float] = {}
        if row in decisions:
            barred = set()
        if broke or dead:
            wish = {a: 0.0 for a in book if book[a] != 0}
        else:
            if mode == "daily" or row in decisions:
                weights = targets[max(i for i, d in enumerate(decisions) if d <= row)]
                wish = {a: 0.0 if a in barred else weights[a] for a in book if last_seen[a] == row}
            wish |= {a: 0.0 for a in to_close if a not in wish}
        to_close = set()

        after = value_after_trading(nav, book, wish, cost_rate) if wish else nav
        moved = {a: w * after - book[a] for a, w in wish.items()}
        for a, u in moved.items():
            book[a] = wish[a] * after
            cash -= u
        cash -= nav - after
        turned = (sum(map(abs, moved.values())) + abs(sum(moved.values()))) / 2
        shorted = -sum(min(h, 0.0) for h in book.values())
        pending = (nav, borrow_rate * shorted, nav - after, turned / nav if nav > 0 else 0.0)
    return out


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 4),
    rows=st.integers(6, 45),
    spacing=st.integers(1, 9),
    start=st.integers(0, 3),
    mode=st.sampled_from(["window", "daily"]),
    bps=st.sampled_from([0.0, 6.0, 14.0, 100.0]),
    borrow=st.sampled_from([0.0, 0.02, 0.5]),
    missing=st.sampled_from([0.0, 0.1, 0.6]),
    volatility=st.sampled_from([0.01, 0.1, 0.6]),
    isolate=st.booleans(),
    haircut=st.sampled_from([0.0, 0.3]),
    leverage=st.sampled_from([0.5, 1.0, 1.8]),
)
def test_two_simulators_written_apart_agree(
    seed: int,
    n: int,
    rows: int,
    spacing: int,
    start: int,
    mode: str,
    bps: float,
    borrow: float,
    missing: float,
    volatility: float,
    isolate: bool,
    haircut: float,
    leverage: float,
) -> None:
    rng = np.random.default_rng(seed)
    returns = np.clip(rng.normal(0, volatility, (rows, n)), -1.0, 4.9)
    returns[rng.random((rows, n)) < missing] = np.nan
    decisions = np.arange(start, rows - 1, spacing)
    targets = rng.normal(0, 1, (decisions.size, n))
    targets *= leverage / np.abs(targets).sum(axis=1, keepdims=True)
    targets[rng.random(targets.shape) < 0.2] = 0.0
    targets[rng.random(decisions.size) < 0.1] = 0.0
    changes = {"short_isolation": isolate, "delist_haircut": haircut, "delist_after": 3}

    fast = run(returns, targets, decisions, mode=mode, bps=bps, borrow=borrow, periods=365, **changes)
    slow = slow_simulation(returns, targets, decisions.tolist(), mode, bps / 1e4, borrow / 365, rules(**changes))
    np.testing.assert_allclose(fast.nav, slow["nav"], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(fast.turnover, slow["turnover"], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(fast.cost, slow["cost"], rtol=1e-10, atol=1e-12)
    alive = fast.nav > 0.01
    np.testing.assert_allclose(fast.net_return[alive], np.array(slow["net"])[alive], rtol=1e-10, atol=1e-12)


# --- the border


def test_bad_input_is_named() -> None:
    with pytest.raises(DataContractError, match="2 symbols"):
        prepare_bars(np.zeros((3, 1)), symbols=["a", "b"], settings=rules())
    with pytest.raises(DataContractError, match="symbols repeat: a"):
        prepare_bars(np.zeros((3, 2)), symbols=["a", "a"], settings=rules())
    with pytest.raises(DataContractError, match="the return of b on row 1 is inf"):
        prepare_bars(np.array([[0, 0], [0, np.inf]]), symbols=["a", "b"], settings=rules())
    with pytest.raises(DataContractError, match="targets have shape"):
        run(np.zeros((5, 2)), [[1.0]])
    with pytest.raises(DataContractError, match="do not ascend"):
        run(np.zeros((5, 1)), [[1.0], [1.0]], (2, 2))
    with pytest.raises(DataContractError, match="do not ascend"):
        run(np.zeros((5, 1)), [[1.0]], (4,))
    with pytest.raises(DataContractError, match="target weights holds nan"):
        run(np.zeros((5, 1)), [[np.nan]])
    with pytest.raises(BadValue, match="rebalance mode 'weekly'"):
        run(np.zeros((5, 1)), [[1.0]], mode="weekly")
    with pytest.raises(BadValue, match="half the book"):
        run(np.zeros((5, 1)), [[1.0]], bps=6000)
