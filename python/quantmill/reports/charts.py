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
# A screen shows no more points than this of a line; longer ones are thinned.
MOST_POINTS = 2400
# From this many columns on the names over a map are slanted.
WIDE_MAP = 12
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
    so that what matters lies on top; the legend keeps the reading order. Long paths are thinned.
    """
    is_drawdown = column == "drawdown"
    traces = []
    for rank, (config_id, style) in enumerate(styles.items()):
        if config_id not in paths:
            continue
        kept = thinned(paths[config_id], column)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": style.label,
                "x": [row["session_date"].isoformat() for row in kept],
                "y": [row[column] for row in kept],
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


def thinned(rows: Sequence[Mapping[str, Any]], column: str, most: int = MOST_POINTS) -> list[Mapping[str, Any]]:
    """Return at most `most` rows in their order, from which a line of `column` looks the same.

    The rows are cut into equal stretches; of each the lowest and the highest row are kept, and of all the
    first and the last, so that neither ends nor extremes change. Rows without a value are kept as they are
    only where nothing is thinned. `most` is at least 4.
    """
    if len(rows) <= most:
        return list(rows)
    stretches = (most - 2) // 2
    kept = {0, len(rows) - 1}
    for number in range(stretches):
        places = range(number * len(rows) // stretches, (number + 1) * len(rows) // stretches)
        valued = [place for place in places if rows[place][column] is not None]
        if valued:
            kept.add(min(valued, key=lambda place: rows[place][column]))
            kept.add(max(valued, key=lambda place: rows[place][column]))
    return [rows[place] for place in sorted(kept)]


def lines_figure(
    rows: Sequence[Mapping[str, Any]],
    date_column: str,
    lines: Sequence[tuple[str, str, str]],
    *,
    title: str,
    tick_format: str,
    shape: str = "linear",
    is_zero_based: bool = False,
) -> Figure:
    """Return one line for each (column, label, colour role) of `rows`, which are in date order.

    A missing value is a gap in its line. `shape` is linear, or hv where a value holds until the next one.
    """
    traces = []
    for column, label, color in lines:
        kept = thinned(rows, column)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": label,
                "x": [row[date_column].isoformat() for row in kept],
                "y": [row[column] for row in kept],
                "line": {"width": 1.8, "shape": shape},
                "connectgaps": False,
                "meta": {"color": color},
                "hovertemplate": f"%{{y:{tick_format}}}",
            }
        )
    return {
        "data": traces,
        "layout": {
            "hovermode": "x unified",
            "showlegend": len(traces) > 1,
            "xaxis": {"type": "date", "hoverformat": "%Y-%m-%d"},
            "yaxis": {
                "tickformat": tick_format,
                "title": {"text": title},
                **({"rangemode": "tozero"} if is_zero_based else {}),
            },
        },
    }


def bars_figure(
    places: Sequence[Any],
    bars: Sequence[tuple[str, str, Sequence[float | None]]],
    *,
    title: str,
    tick_format: str,
    is_date: bool = False,
    is_stacked: bool = False,
) -> Figure:
    """Return bars at `places`, one group for each (label, colour role, values)."""
    x = [place.isoformat() for place in places] if is_date else list(places)
    return {
        "data": [
            {
                "type": "bar",
                "name": label,
                "x": x,
                "y": list(values),
                "meta": {"color": color},
                "hovertemplate": f"%{{y:{tick_format}}}",
            }
            for label, color, values in bars
        ],
        "layout": {
            "barmode": "relative" if is_stacked else "group",
            "hovermode": "x unified",
            "showlegend": len(bars) > 1,
            "bargap": 0.15,
            "xaxis": {"type": "date", "hoverformat": "%Y-%m-%d"} if is_date else {"type": "category"},
            "yaxis": {"tickformat": tick_format, "title": {"text": title}},
        },
    }


def ranked_bars_figure(names: Sequence[str], values: Sequence[float], *, title: str, tick_format: str) -> Figure:
    """Return one horizontal bar per name, the first on top, those below zero in another colour."""
    sides = (
        ("added", "series-1", [value if value >= 0 else None for value in values]),
        ("taken", "series-2", [value if value < 0 else None for value in values]),
    )
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "name": label,
                "x": own,
                "y": list(names),
                "meta": {"color": color},
                "hovertemplate": f"%{{y}} %{{x:{tick_format}}}<extra></extra>",
            }
            for label, color, own in sides
        ],
        "layout": {
            "barmode": "relative",
            "bargap": 0.25,
            "hovermode": "closest",
            "showlegend": False,
            "xaxis": {"tickformat": tick_format, "title": {"text": title}, "showgrid": True},
            "yaxis": {"type": "category", "autorange": "reversed", "ticksuffix": " ", "showgrid": False},
        },
    }


def map_figure(
    columns: Sequence[str],
    rows: Sequence[str],
    values: Sequence[Sequence[float | None]],
    texts: Sequence[Sequence[str]],
    *,
    scale: str,
    bounds: tuple[float, float] | None = None,
    has_text: bool = True,
) -> Figure:
    """Return a heat map: `values` by row and column, None where there is nothing to show.

    `scale` is the role of its colours: diverging (bad, neutral at zero, good), good (more is better) or weight
    (more is darker, neither good nor bad). `bounds` fixes the ends of the scale; without them it ends at the
    extremes, for diverging at the same distance from zero on both sides.
    """
    there = [value for line in values for value in line if value is not None]
    low, high = bounds or (min(there, default=0.0), max(there, default=0.0))
    if scale == "diverging" and bounds is None:
        high = max(abs(low), abs(high))
        low = -high
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": list(columns),
        "y": list(rows),
        "z": [list(line) for line in values],
        "text": [list(line) for line in texts],
        "zmin": low,
        # a scale without extent draws nothing
        "zmax": high if high > low else low + 1e-9,
        "xgap": 2,
        "ygap": 2,
        "showscale": False,
        "hoverongaps": False,
        "meta": {"scale": scale},
        "hovertemplate": "%{y}<br>%{x}: %{text}<extra></extra>",
    }
    if has_text:
        trace["texttemplate"] = "%{text}"
    return {
        "data": [trace],
        "layout": {
            "showlegend": False,
            "hovermode": "closest",
            "xaxis": {"type": "category", "side": "top", "tickangle": 0 if len(columns) <= WIDE_MAP else -40},
            "yaxis": {"type": "category", "autorange": "reversed", "showgrid": False},
        },
    }


def points_figure(
    groups: Sequence[tuple[str, str, Sequence[tuple[str, float, float, str]]]],
    *,
    x_title: str,
    y_title: str,
    x_format: str,
    y_format: str,
) -> Figure:
    """Return marks: per group (label, colour role, marks), each mark (what it is, x, y, symbol)."""
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "markers",
                "name": label,
                "x": [mark[1] for mark in marks],
                "y": [mark[2] for mark in marks],
                "text": [mark[0] for mark in marks],
                "marker": {"size": 11, "symbol": [mark[3] for mark in marks], "opacity": 0.9, "line": {"width": 1}},
                "meta": {"color": color},
                "hovertemplate": f"%{{text}}<br>{x_title} %{{x:{x_format}}}<br>{y_title} %{{y:{y_format}}}"
                "<extra></extra>",
            }
            for label, color, marks in groups
        ],
        "layout": {
            "hovermode": "closest",
            "xaxis": {"tickformat": x_format, "title": {"text": x_title}, "showgrid": True, "rangemode": "normal"},
            "yaxis": {"tickformat": y_format, "title": {"text": y_title}},
        },
    }


def spans_figure(
    rows: Sequence[str],
    marks: Sequence[tuple[str, str, str, Sequence[float | None]]],
    *,
    title: str,
    tick_format: str,
) -> Figure:
    """Return a dot plot: one line of marks per row, for each (label, colour role, symbol, values)."""
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "markers",
                "name": label,
                "x": list(values),
                "y": list(rows),
                "marker": {"size": 9, "symbol": symbol, "line": {"width": 1.5}},
                "meta": {"color": color},
                "hovertemplate": f"%{{y}}<br>%{{fullData.name}} %{{x:{tick_format}}}<extra></extra>",
            }
            for label, color, symbol, values in marks
        ],
        "layout": {
            "hovermode": "closest",
            # below a chart of many rows the legend would stand far from it
            "legend": {"y": 1, "yanchor": "bottom"},
            "xaxis": {"tickformat": tick_format, "title": {"text": title}, "showgrid": True},
            "yaxis": {"type": "category", "autorange": "reversed", "ticksuffix": " "},
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
