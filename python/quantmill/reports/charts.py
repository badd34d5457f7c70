"""Rows in, figures out. A figure is a plain plotly mapping (`data`, `layout`) with full-precision values.

Colours are not in a figure: each trace names its role in `meta.color`, and the page fills in the colour of
the light or the dark theme. Dates are ISO texts, so that a browser in any time zone shows the session's own
date.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

Figure = dict[str, Any]

SERIES_COLORS = 8
DASHES = ("solid", "dash", "dot", "longdash")
BASELINE_DASHES = ("solid", "dot", "dashdot", "dash")


@dataclass(frozen=True)
class Line:
    """How one configuration is drawn wherever it is drawn."""

    label: str
    color: str
    dash: str
    width: float
    is_headline: bool


def line_styles(labels: Sequence[tuple[str, str, bool]], headline: str | None) -> dict[str, Line]:
    """Return the style of each configuration from (id, label, is_baseline) in reading order.

    The headline comes first and is strongest; baselines are grey and thin. More configurations than colours
    repeat the colours with another dash.
    """
    styles: dict[str, Line] = {}
    ranked = sorted((entry for entry in labels if not entry[2]), key=lambda entry: entry[0] != headline)
    for place, (config_id, label, _) in enumerate(ranked):
        styles[config_id] = Line(
            label=label,
            color=f"series-{place % SERIES_COLORS + 1}",
            dash=DASHES[place // SERIES_COLORS % len(DASHES)],
            width=2.6 if config_id == headline else 1.7,
            is_headline=config_id == headline,
        )
    for place, (config_id, label, _) in enumerate(entry for entry in labels if entry[2]):
        styles[config_id] = Line(
            label=label,
            color=f"baseline-{place % 3 + 1}",
            dash=BASELINE_DASHES[place % len(BASELINE_DASHES)],
            width=1.3,
            is_headline=False,
        )
    return styles


def paths_figure(paths: Mapping[str, Sequence[Mapping[str, Any]]], styles: Mapping[str, Line], column: str) -> Figure:
    """Return one line per configuration of `column` (nav or drawdown) over `session_date`.

    `paths` holds the rows of each configuration in date order. Baselines are drawn first, the headline last,
    so that what matters lies on top; the legend keeps the reading order.
    """
    is_drawdown = column == "drawdown"
    traces = []
    for rank, (config_id, style) in enumerate(styles.items()):
        if config_id not in paths:
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": style.label,
                "x": [row["session_date"].isoformat() for row in paths[config_id]],
                "y": [row[column] for row in paths[config_id]],
                "line": {"width": style.width, "dash": style.dash},
                "meta": {"color": style.color, "config": config_id},
                "legendrank": rank + 1,
                "hovertemplate": "%{y:.1%}" if is_drawdown else "%{y:.3f}",
                **({"fill": "tozeroy"} if is_drawdown and rank == 0 else {}),
            }
        )
    axis: dict[str, Any] = (
        {"tickformat": ".0%", "rangemode": "tozero", "title": {"text": "below the last peak"}}
        if is_drawdown
        else {"tickformat": ".2f", "title": {"text": "net asset value"}}
    )
    return {
        "data": traces[::-1],
        "layout": {
            "hovermode": "x unified",
            "xaxis": {"type": "date", "hoverformat": "%Y-%m-%d"},
            "yaxis": axis,
        },
    }


def weight_order(weights: Sequence[Mapping[str, Any]], first_config: str | None) -> list[str]:
    """Return all symbols, the heaviest of `first_config` first, then by weight anywhere, then by name."""
    inside: dict[str, float] = {}
    anywhere: dict[str, float] = {}
    for row in weights:
        size = abs(row["net_weight"])
        anywhere[row["symbol"]] = anywhere.get(row["symbol"], 0.0) + size
        if row["config_id"] == first_config:
            inside[row["symbol"]] = inside.get(row["symbol"], 0.0) + size
    return sorted(anywhere, key=lambda symbol: (-inside.get(symbol, 0.0), -anywhere[symbol], symbol))


def weights_figure(
    windows: Sequence[Mapping[str, Any]], weights: Sequence[Mapping[str, Any]], order: Sequence[str]
) -> Figure:
    """Return the target book of one configuration: per window one bar by symbol, up to the next decision.

    `windows` holds window_index, decision_date, primary_end_date and cash in order; `weights` window_index,
    symbol and net_weight, zero where a symbol has no row. Shorts and borrowed cash reach below zero. A symbol
    has the same colour in every configuration: its place in `order`.
    """
    starts = [row["decision_date"] for row in windows]
    # the last book is held to the end of its window
    ends = [*starts[1:], windows[-1]["primary_end_date"]] if windows else []
    day = timedelta(days=1)
    widths = [(end - start) / day * 86_400_000.0 for start, end in zip(starts, ends, strict=True)]
    place = {row["window_index"]: position for position, row in enumerate(windows)}
    held: dict[str, list[float]] = {}
    for row in weights:
        held.setdefault(row["symbol"], [0.0] * len(windows))[place[row["window_index"]]] = row["net_weight"]
    traces = [
        _bar(symbol, f"weight-{number + 1}", starts, ends, widths, held[symbol])
        for number, symbol in enumerate(order)
        if symbol in held
    ]
    traces.append(_bar("cash", "cash", starts, ends, widths, [row["cash"] for row in windows]))
    return {
        "data": traces,
        "layout": {
            "barmode": "relative",
            "bargap": 0,
            "hovermode": "closest",
            "xaxis": {"type": "date"},
            "yaxis": {"tickformat": ".0%", "title": {"text": "share of the book"}},
            "legend": {"traceorder": "normal"},
        },
    }


def _bar(
    name: str, color: str, starts: list[date], ends: list[date], widths: list[float], values: list[float]
) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": name,
        "x": [start.isoformat() for start in starts],
        "y": values,
        "width": widths,
        "offset": 0,
        "customdata": [end.isoformat() for end in ends],
        "meta": {"color": color},
        "hovertemplate": "%{fullData.name} %{y:.2%}<br>%{x|%Y-%m-%d} to %{customdata}<extra></extra>",
    }


def windows_figure(windows: Sequence[Mapping[str, Any]], label: str, market_label: str | None) -> Figure:
    """Return the net return of each window as bars, with the market's as marks where there is a market."""
    dates = [row["decision_date"].isoformat() for row in windows]
    traces: list[dict[str, Any]] = [
        {
            "type": "bar",
            "name": label,
            "x": dates,
            "y": [row["period_return"] for row in windows],
            "meta": {"color": "series-1"},
            "hovertemplate": "%{y:.2%}",
        }
    ]
    if market_label is not None:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": market_label,
                "x": dates,
                "y": [row["market_return"] for row in windows],
                "marker": {"size": 7, "symbol": "line-ew", "line": {"width": 2}},
                "meta": {"color": "baseline-1"},
                "hovertemplate": "%{y:.2%}",
            }
        )
    return {
        "data": traces,
        "layout": {
            "hovermode": "x unified",
            "bargap": 0.25,
            "xaxis": {"type": "date", "hoverformat": "%Y-%m-%d"},
            "yaxis": {"tickformat": ".0%", "title": {"text": "net return of the window"}},
        },
    }


def coinciding(paths: Mapping[str, Sequence[Mapping[str, Any]]], tolerance: float = 1e-12) -> list[list[str]]:
    """Return the groups of configurations with the same NAV on every session: one line hides the others."""
    groups: list[list[str]] = []
    for config_id in paths:
        for group in groups:
            if _same(paths[group[0]], paths[config_id], tolerance):
                group.append(config_id)
                break
        else:
            groups.append([config_id])
    return [group for group in groups if len(group) > 1]


def _same(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]], tolerance: float) -> bool:
    return len(one) == len(other) and all(
        a["session_date"] == b["session_date"] and abs(a["nav"] - b["nav"]) <= tolerance
        for a, b in zip(one, other, strict=True)
    )
