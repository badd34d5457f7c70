"""The sections that compare all cells: engine by profile, risk against return, gross against net, dates."""

from __future__ import annotations

from typing import Any

from quantmill.reports import charts
from quantmill.reports.formats import metric_kind, metric_label, readable
from quantmill.reports.page import FAIL, NA, OK, WARN, Chart, Section
from quantmill.reports.reader import VARYING, Reader, view_sentence
from quantmill.reports.tables import count, table, words

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "pentagon")
DOTS = ("circle", "circle-open", "line-ns", "diamond-open")


def engine_rows(reader: Reader) -> tuple[list[str], list[str], dict[tuple[str, str], str]]:
    """Return the rows and columns of engine by profile maps, and the config_id of each place.

    A row is an engine with what else differs between configurations; a column is a risk profile.
    """
    configs = [row for row in reader.configs() if not row["is_baseline"]]
    varying = [name for name in VARYING if len({row[name] for row in configs}) > 1]
    places: dict[tuple[str, str], str] = {}
    for row in configs:
        label = " · ".join([*(row[name] for name in varying), row["engine"]])
        places[label, row["risk_profile"]] = row["config_id"]
    lines = sorted({label for label, _ in places})
    asked = reader.setting("matrix.risk_profiles")
    there = {profile for _, profile in places}
    profiles = [name for name in asked if name in there] + sorted(there - set(asked))
    return lines, profiles, places


def metric_map(reader: Reader, metric: str, scale: str) -> charts.Figure:
    """Return the heat map of one metric of the drawn cells, engine by profile."""
    lines, profiles, places = engine_rows(reader)
    values: list[list[float | None]] = []
    texts: list[list[str]] = []
    for line in lines:
        own = [
            reader.value(places[line, profile], metric) if (line, profile) in places else None for profile in profiles
        ]
        values.append(own)
        texts.append(["" if value is None else readable(value, metric_kind(metric)) for value in own])
    there = [value for line in values for value in line if value is not None]
    if scale == "diverging" and there and min(there) > 0:
        # where all are above zero, colours tell them from each other and not from zero
        scale = "weight"
    return charts.map_figure(profiles, lines, values, texts, scale=scale)


def sharpe_map_section(reader: Reader, section: Section) -> None:
    """Fill the section with the net Sharpe by engine and risk profile."""
    lines, profiles, places = engine_rows(reader)
    there = sum(reader.value(config_id, "sharpe") is not None for config_id in places.values())
    section.find(
        OK if there else FAIL,
        f"Configurations with a net Sharpe: {there} of {len(places)}, on {len(lines)} rows by"
        f" {len(profiles)} profiles.",
    )
    absent = len(lines) * len(profiles) - len(places)
    if absent:
        section.find(OK, f"Places that the tournament leaves out: {absent}; they are empty.")
    figures = {
        metric: metric_map(reader, metric, scale)
        for metric, scale in (
            ("sharpe", "diverging"),
            ("cagr", "diverging"),
            ("sortino", "diverging"),
            ("ir", "diverging"),
        )
    }
    section.blocks.append(
        Chart(
            id="sharpe-map",
            label="Engine by risk profile, net of costs",
            figures=figures,
            first="sharpe",
            labels={name: metric_label(name) for name in figures},
            choice="Metric",
            height=90 + 42 * len(lines),
            caption=f"Rows are engines with what else differs; {view_sentence(reader)}. Red is below"
            " zero and blue above; where all are above, darker is more.",
        )
    )


def risk_return_section(reader: Reader, section: Section) -> None:
    """Fill the section with volatility against CAGR of every drawn cell."""
    labels = reader.labels()
    headline = reader.headline()["config_id"]
    engines = sorted({row["engine"] for row in reader.configs() if not row["is_baseline"]})
    groups: dict[str, list[tuple[str, float, float, str]]] = {}
    missing = 0
    for row in reader.configs():
        x, y = reader.value(row["config_id"], "annualized_vol"), reader.value(row["config_id"], "cagr")
        if x is None or y is None:
            missing += row["config_id"] in reader.drawn_cells()
            continue
        if row["is_baseline"]:
            name, symbol = "baselines", "diamond-open"
        elif row["config_id"] == headline:
            name, symbol = "headline", "star"
        else:
            name, symbol = row["risk_profile"], SYMBOLS[engines.index(row["engine"]) % len(SYMBOLS)]
        groups.setdefault(name, []).append((labels[row["config_id"]], x, y, symbol))
    drawn = sum(len(marks) for marks in groups.values())
    section.find(OK if drawn else FAIL, f"Cells drawn: {drawn}.")
    if missing:
        section.find(WARN, f"Cells without a volatility or a CAGR: {missing}.")
    order = [
        name for name in ("headline", *sorted(set(groups) - {"headline", "baselines"}), "baselines") if name in groups
    ]
    colors = {name: f"series-{place % charts.SERIES_COLORS + 1}" for place, name in enumerate(order)}
    shapes = ", ".join(
        f"{engine} {SYMBOLS[place % len(SYMBOLS)].replace('-up', '')}" for place, engine in enumerate(engines)
    )
    section.blocks.append(
        Chart(
            id="risk-return",
            label="Volatility against growth, net of costs",
            figures={
                "all": charts.points_figure(
                    [(name, "baseline-2" if name == "baselines" else colors[name], groups[name]) for name in order],
                    x_title="Volatility",
                    y_title="CAGR",
                    x_format=".1%",
                    y_format=".1%",
                )
            },
            first="all",
            height=440,
            caption=f"Colours are risk profiles, shapes are engines: {shapes}; the headline is a star. Hovering names"
            " the configuration.",
        )
    )


def costs_section(reader: Reader, section: Section) -> None:
    """Fill the section with the growth of each configuration under each cost model."""
    labels, metrics, view = reader.labels(), reader.metrics(), reader.view()
    models: list[str] = []
    values: dict[tuple[str, str], Any] = {}
    sharpes: dict[tuple[str, str], Any] = {}
    for cell in reader.ask("cells"):
        if any(cell[name] != view[name] for name in ("simulator", "execution", "mode")):
            continue
        if cell["cost_model"] not in models:
            models.append(cell["cost_model"])
        for found, metric in ((values, "cagr"), (sharpes, "sharpe")):
            row = metrics.get((cell["cell_id"], metric))
            found[cell["config_id"], cell["cost_model"]] = row["value"] if row else None
    if len(models) < 2:
        section.find(NA, f"There is one cost model, {models[0]}, so there is nothing to compare it with.")
        return
    configs = [config_id for config_id in reader.styles() if (config_id, models[0]) in values]
    drags = [
        values[config_id, "gross"] - values[config_id, view["cost_model"]]
        for config_id in configs
        if values.get((config_id, "gross")) is not None and values.get((config_id, view["cost_model"])) is not None
    ]
    if drags:
        section.find(
            OK,
            f"What {view['cost_model']} takes from the growth of a year: between {readable(min(drags), 'fine')} and"
            f" {readable(max(drags), 'fine')}.",
        )
    else:
        section.find(OK, f"Cost models: {', '.join(models)}.")
    names = [labels[config_id] for config_id in configs]

    def figure_of(found: dict[tuple[str, str], Any], title: str, tick_format: str) -> charts.Figure:
        marks = []
        for place, model in enumerate(models):
            column = [found.get((config_id, model)) for config_id in configs]
            marks.append((model, f"series-{place % charts.SERIES_COLORS + 1}", DOTS[place % len(DOTS)], column))
        return charts.spans_figure(names, marks, title=title, tick_format=tick_format)

    section.blocks.append(
        Chart(
            id="costs",
            label="Each configuration under each cost model",
            figures={"cagr": figure_of(values, "CAGR", ".1%"), "sharpe": figure_of(sharpes, "Sharpe", ".2f")},
            first="cagr",
            labels={"cagr": "CAGR", "sharpe": "Sharpe"},
            choice="Metric",
            height=110 + 24 * len(names),
            caption="The cost model gross is a cell of its own: the same weights traded without costs.",
        )
    )


def dates_section(reader: Reader, section: Section) -> None:
    """Fill the section on the sessions that the cells share."""
    labels = reader.labels()
    config_of = {cell["cell_id"]: cell["config_id"] for cell in reader.ask("cells")}
    spans = reader.ask("spans")
    groups: dict[tuple[Any, Any, int], list[str]] = {}
    for row in spans:
        groups.setdefault((row["first_date"], row["last_date"], row["session_count"]), []).append(
            labels.get(config_of.get(row["cell_id"], ""), row["cell_id"])
        )
    first, last = max(row["first_date"] for row in spans), min(row["last_date"] for row in spans)
    if len(groups) == 1:
        section.find(
            OK,
            f"All {len(spans)} cells are measured on the same {spans[0]['session_count']:,} sessions, {first} to"
            f" {last}; every figure of these pages compares on them.",
            guard="Common dates",
        )
    else:
        section.find(
            WARN,
            f"Cells are measured on {len(groups)} different spans; {first} to {last} is common to all. Figures of"
            " different spans do not compare.",
            guard="Common dates",
        )
    rows = [
        {
            "first_date": span[0],
            "last_date": span[1],
            "session_count": span[2],
            "cell_count": len(names),
            "example": ", ".join(sorted(set(names))[:3]),
        }
        for span, names in sorted(groups.items())
    ]
    section.blocks.append(
        table(
            "dates",
            rows,
            [
                words("First session", "first_date"),
                words("Last session", "last_date"),
                count("Sessions", "session_count"),
                count("Cells", "cell_count"),
                words("For example", "example"),
            ],
        )
    )
