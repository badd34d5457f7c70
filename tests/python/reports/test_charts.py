"""Rows become figures: what is drawn, in which order, with which values."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

import pytest
from quantmill.reports import charts

STYLES = [("a", "custom · hrp", False), ("b", "custom · barbell", False), ("m", "market", True)]
DAYS = [date(2020, 1, 2), date(2020, 1, 3), date(2020, 1, 6)]


def path(*nav: float) -> list[dict[str, Any]]:
    peak, rows = 0.0, []
    for day, value in zip(DAYS, nav, strict=False):
        peak = max(peak, value)
        rows.append({"session_date": day, "nav": value, "drawdown": value / peak - 1})
    return rows


def windows(*cash: float) -> list[dict[str, Any]]:
    return [
        {
            "window_index": index,
            "decision_date": date(2020, index + 1, 1),
            "primary_end_date": date(2020, index + 2, 1),
            "cash": value,
        }
        for index, value in enumerate(cash)
    ]


def test_the_headline_comes_first_and_is_drawn_widest() -> None:
    styles = charts.line_styles(STYLES, "b")
    assert list(styles) == ["b", "a", "m"]
    assert styles["b"].is_headline
    assert styles["b"].color == "series-1"
    assert styles["b"].width > styles["a"].width > styles["m"].width


def test_without_a_headline_every_configuration_still_has_a_style() -> None:
    styles = charts.line_styles(STYLES, None)
    assert list(styles) == ["a", "b", "m"]
    assert not any(style.is_headline for style in styles.values())


def test_more_configurations_than_colours_differ_by_their_dash() -> None:
    many = [(str(number), f"config {number}", False) for number in range(3 * charts.SERIES_COLORS)]
    styles = charts.line_styles(many, None)
    assert len({(style.color, style.dash) for style in styles.values()}) == len(many)


def test_a_path_keeps_every_value_and_every_date() -> None:
    nav = (1.0, 1.1000000000000003, 0.9)
    figure = charts.paths_figure({"a": path(*nav)}, charts.line_styles(STYLES, "a"), "nav")
    (trace,) = figure["data"]
    assert trace["x"] == ["2020-01-02", "2020-01-03", "2020-01-06"]
    assert tuple(trace["y"]) == nav


def test_the_headline_is_drawn_on_top_and_named_first() -> None:
    paths = {name: path(1.0, 1.1) for name in ("a", "b", "m")}
    figure = charts.paths_figure(paths, charts.line_styles(STYLES, "a"), "nav")
    assert [trace["name"] for trace in figure["data"]] == ["market", "custom · barbell", "custom · hrp"]
    assert [trace["legendrank"] for trace in figure["data"]] == [3, 2, 1]


def test_a_configuration_without_a_path_has_no_line() -> None:
    figure = charts.paths_figure({"m": path(1.0)}, charts.line_styles(STYLES, "a"), "nav")
    assert [trace["name"] for trace in figure["data"]] == ["market"]


def test_only_the_first_drawdown_is_filled() -> None:
    paths = {name: path(1.0, 0.9) for name in ("a", "b")}
    figure = charts.paths_figure(paths, charts.line_styles(STYLES, "a"), "drawdown")
    assert {trace["name"]: "fill" in trace for trace in figure["data"]} == {
        "custom · hrp": True,
        "custom · barbell": False,
    }
    assert figure["data"][-1]["y"] == [0.0, pytest.approx(-0.1)]


def test_weights_and_cash_of_a_book_stack_to_one() -> None:
    weights = [
        {"config_id": "a", "window_index": 0, "symbol": "X", "net_weight": 0.6},
        {"config_id": "a", "window_index": 0, "symbol": "Y", "net_weight": 0.3},
        {"config_id": "a", "window_index": 1, "symbol": "Y", "net_weight": 0.8},
    ]
    figure = charts.weights_figure(windows(0.1, 0.2), weights, ["X", "Y"])
    assert [trace["name"] for trace in figure["data"]] == ["X", "Y", "cash"]
    assert figure["data"][0]["y"] == [0.6, 0.0]
    totals = [sum(trace["y"][index] for trace in figure["data"]) for index in range(2)]
    assert totals == [pytest.approx(1.0), pytest.approx(1.0)]


def test_a_bar_reaches_from_its_decision_to_the_next_and_the_last_to_its_end() -> None:
    figure = charts.weights_figure(windows(1.0, 1.0), [], [])
    (cash,) = figure["data"]
    assert cash["x"] == ["2020-01-01", "2020-02-01"]
    assert cash["customdata"] == ["2020-02-01", "2020-03-01"]
    assert cash["width"] == [31 * 86_400_000, 29 * 86_400_000]
    assert cash["offset"] == 0


def test_a_short_reaches_below_zero_and_its_proceeds_are_cash() -> None:
    weights = [{"config_id": "a", "window_index": 0, "symbol": "X", "net_weight": -0.5}]
    figure = charts.weights_figure(windows(1.5), weights, ["X"])
    assert figure["layout"]["barmode"] == "relative"
    assert [trace["y"] for trace in figure["data"]] == [[-0.5], [1.5]]


def test_a_symbol_has_the_same_colour_in_every_configuration() -> None:
    weights = [
        {"config_id": "a", "window_index": 0, "symbol": "X", "net_weight": 0.2},
        {"config_id": "a", "window_index": 0, "symbol": "Y", "net_weight": 0.8},
        {"config_id": "b", "window_index": 0, "symbol": "Z", "net_weight": 1.0},
    ]
    order = charts.weight_order(weights, "a")
    assert order == ["Y", "X", "Z"]
    other = charts.weights_figure(windows(0.0), weights[2:], order)
    assert other["data"][0]["meta"] == {"color": "weight-3"}


def test_windows_without_a_market_show_their_returns_alone() -> None:
    rows = [{"decision_date": DAYS[0], "period_return": 0.01, "market_return": None}]
    figure = charts.windows_figure(rows, "custom · hrp", None)
    assert [trace["name"] for trace in figure["data"]] == ["custom · hrp"]


def test_equal_paths_are_found_and_nearly_equal_ones_are_not() -> None:
    paths = {"a": path(1.0, 1.1), "b": path(1.0, 1.1 + 1e-9), "m": path(1.0, 1.1), "n": path(1.0)}
    assert charts.coinciding(paths) == [["a", "m"]]


def series(*values: float | None) -> list[dict[str, Any]]:
    return [{"place": place, "value": value} for place, value in enumerate(values)]


def test_a_short_series_is_not_thinned() -> None:
    rows = series(1.0, None, 3.0)
    assert charts.thinned(rows, "value", 4) == rows


@pytest.mark.parametrize("most", [4, 10, 101, 998])
def test_thinning_keeps_the_ends_and_the_extremes(most: int) -> None:
    values = [math.sin(place * 1.7) * (place % 37) for place in range(1000)]
    kept = charts.thinned(series(*values), "value", most)
    assert len(kept) <= most
    assert [kept[0]["place"], kept[-1]["place"]] == [0, 999]
    assert min(row["value"] for row in kept) == min(values)
    assert max(row["value"] for row in kept) == max(values)
    places = [row["place"] for row in kept]
    assert places == sorted(set(places))


def test_thinning_steps_over_missing_values() -> None:
    values = [None if place % 3 else float(place) for place in range(300)]
    kept = charts.thinned(series(*values), "value", 20)
    assert kept[-1]["place"] == 299
    assert max(row["value"] for row in kept if row["value"] is not None) == 297.0


def test_a_diverging_map_has_zero_in_its_middle() -> None:
    figure = charts.map_figure(["a", "b"], ["r"], [[-0.5, 2.0]], [["", ""]], scale="diverging")
    assert (figure["data"][0]["zmin"], figure["data"][0]["zmax"]) == (-2.0, 2.0)


def test_a_map_of_one_value_can_still_be_drawn() -> None:
    figure = charts.map_figure(["a"], ["r"], [[0.3]], [["0.3"]], scale="weight")
    assert figure["data"][0]["zmax"] > figure["data"][0]["zmin"]


def test_a_ranked_bar_has_one_side_only() -> None:
    added, taken = charts.ranked_bars_figure(["X", "Y"], [0.2, -0.1], title="t", tick_format=".1%")["data"]
    assert (added["x"], taken["x"]) == ([0.2, None], [None, -0.1])


@pytest.mark.parametrize("name", ["nav", "drawdown"])
def test_plotly_knows_every_property_of_the_figures(name: str) -> None:
    from plotly import graph_objects

    paths = {config: path(1.0, 0.9, 1.2) for config in ("a", "b", "m")}
    weights = [{"config_id": "a", "window_index": 0, "symbol": "X", "net_weight": 0.9}]
    rows = [{"decision_date": DAYS[0], "period_return": 0.01, "market_return": 0.02}]
    for figure in (
        charts.paths_figure(paths, charts.line_styles(STYLES, "a"), name),
        charts.weights_figure(windows(0.1), weights, ["X"]),
        charts.windows_figure(rows, "a", "market"),
        charts.lines_figure(path(1.0, 2.0), "session_date", [("nav", "n", "series-1")], title="t", tick_format=".2f"),
        charts.bars_figure(DAYS, [("a", "series-1", [1, 2, 3])], title="t", tick_format=",d", is_date=True),
        charts.map_figure(["a"], ["r"], [[0.3]], [["0.3"]], scale="good"),
        charts.points_figure(
            [("a", "series-1", [("x", 0.1, 0.2, "circle")])], x_title="x", y_title="y", x_format=".1%", y_format=".1%"
        ),
        charts.spans_figure(["a"], [("m", "series-1", "circle", [0.1])], title="t", tick_format=".1%"),
        charts.ranked_bars_figure(["X"], [0.2], title="t", tick_format=".1%"),
    ):
        assert len(graph_objects.Figure(figure).data) == len(figure["data"])
