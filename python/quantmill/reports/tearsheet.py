"""The sections of a tearsheet: one cell in full, beside the baselines of its windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quantmill.reports import charts
from quantmill.reports.formats import MAIN_METRICS, METRICS, metric_cell, metric_label, readable, text
from quantmill.reports.page import FAIL, NA, OK, WARN, Cell, Chart, Column, Note, Section, Table
from quantmill.reports.queries import MissingData
from quantmill.reports.reader import BASELINE_MEANING, HEALTHY_STATUSES, Reader, view_sentence
from quantmill.reports.results import find_breadth
from quantmill.reports.tables import Field, Row, count, figure, table, words

TOLERANCE = 1e-9
# The parts of a year that rolling figures look back over.
LOOK_BACKS = {"half": ("half a year", 2), "quarter": ("a quarter", 4), "year": ("a year", 1)}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Subject:
    """The cell that a tearsheet is about; `note` says how it was picked."""

    config: Mapping[str, Any]
    cell: Mapping[str, Any]
    label: str
    note: str
    market_cell: Mapping[str, Any] | None

    @property
    def parameters(self) -> dict[str, Any]:
        """What the queries of a tearsheet are asked with."""
        return {
            "cell_id": self.cell["cell_id"],
            "config_id": self.config["config_id"],
            "market_cell_id": self.market_cell["cell_id"] if self.market_cell else None,
            "window_set": self.config["window_set"],
            "selection_engine": self.config["selection_engine"],
            "rebalance_mode": self.config["rebalance_mode"],
        }


def headline_subject(reader: Reader) -> Subject:
    """Return the headline; raises `MissingData` when it was not run or has no drawn cell."""
    return _subject(reader, reader.headline(), "The headline of the profile; ranking does not affect it.")


def best_subject(reader: Reader) -> Subject:
    """Return the configuration with the highest net Sharpe; raises `MissingData` when none has one."""
    ranked = reader.ranked()
    if not ranked:
        raise MissingData(f"no configuration has a Sharpe: {view_sentence(reader)}")
    note = (
        f"Picked after the fact: of {len(ranked)} distinct configurations it has the highest net Sharpe. The highest of"
        " many is high by luck too, so this is no forecast."
    )
    try:
        is_headline = reader.headline()["config_id"] == ranked[0]
    except MissingData:
        is_headline = False  # its own pages say so
    if is_headline:
        note = f"The best of {len(ranked)} distinct configurations by net Sharpe is the headline itself. {note}"
    return _subject(reader, reader.config(ranked[0]), note)


def _subject(reader: Reader, config: Row, note: str) -> Subject:
    drawn, labels = reader.drawn_cells(), reader.labels()
    if config["config_id"] not in drawn:
        raise MissingData(f"{labels[config['config_id']]} has no cell: {view_sentence(reader)}")
    market = next((row for row in reader.baselines_of(config) if row["risk_profile"] == "market"), None)
    return Subject(
        config=config,
        cell=drawn[config["config_id"]],
        label=labels[config["config_id"]],
        note=note,
        market_cell=drawn.get(market["config_id"]) if market else None,
    )


def figures_section(reader: Reader, section: Section, subject: Subject) -> None:
    """Fill the section with all metrics of the cell beside those of its baselines."""
    metrics, drawn = reader.metrics(), reader.drawn_cells()
    section.blocks.append(Note(f"{subject.note} Net of costs: {view_sentence(reader)}.", lead=f"{subject.label}."))
    if subject.cell["status"] != "ok":
        section.find(WARN, f"The cell is {subject.cell['status']}: {subject.cell['reason']}.")
    baselines = [row for row in reader.baselines_of(subject.config) if row["config_id"] in drawn]
    cells = [subject.cell["cell_id"], *(drawn[row["config_id"]]["cell_id"] for row in baselines)]
    names = [name for name in MAIN_METRICS if (cells[0], name) in metrics]
    names += [name for name in METRICS if (cells[0], name) in metrics and name not in names]
    names += sorted({name for cell_id, name in metrics if cell_id == cells[0]} - set(names))
    if not names:
        section.find(FAIL, "The cell has no metrics.")
        return
    undefined = sum(metrics[cells[0], name]["value"] is None for name in names)
    section.find(OK, f"{len(names)} metrics of {subject.label}, of which {undefined} do not exist; hovering tells why.")
    columns = [Column("Metric"), Column(subject.label, is_number=True, is_strong=True)]
    columns += [
        Column(row["risk_profile"], is_number=True, title=BASELINE_MEANING.get(row["risk_profile"], ""))
        for row in baselines
    ]
    columns.append(Column("What it is"))
    rows = [
        [
            Cell(metric_label(name), title=name),
            *(metric_cell(metrics.get((cell_id, name)), name) for cell_id in cells),
            Cell(METRICS[name][2] if name in METRICS else name, tone="wide"),
        ]
        for name in names
    ]
    section.blocks.append(Table("all-metrics", columns, rows))


def equity_section(reader: Reader, section: Section, subject: Subject) -> None:
    """Fill the section with the growth of the book and its distance from the last peak."""
    paths = reader.paths()
    config_id = subject.config["config_id"]
    if config_id not in paths:
        raise MissingData(f"{subject.label} has no returns: {subject.cell['status']}, {subject.cell['reason']}")
    shown = [config_id, *(row["config_id"] for row in reader.baselines_of(subject.config) if row["config_id"] in paths)]
    own = {one: paths[one] for one in shown}
    labels = reader.labels()
    styles = charts.line_styles([(one, labels[one], one != config_id) for one in shown], config_id)
    first, last = own[config_id][0], own[config_id][-1]
    section.find(
        OK,
        f"From {readable(first['nav'], 'ratio')} on {first['session_date']} to {readable(last['nav'], 'ratio')} on"
        f" {last['session_date']}, net of costs.",
    )
    section.blocks.append(
        Chart(
            id="equity",
            label="Growth of one, net of costs",
            figures={"all": charts.paths_figure(own, styles, "nav")},
            first="all",
            has_log_axis=True,
            is_log_first=True,
            height=400,
        )
    )
    section.blocks.append(
        Chart(
            id="underwater",
            label="Fall from the last peak",
            figures={"all": charts.paths_figure(own, styles, "drawdown")},
            first="all",
            height=280,
        )
    )


def months_section(reader: Reader, section: Section, subject: Subject) -> None:
    """Fill the section with the return of every month and year."""
    rows = reader.ask("months", subject.parameters)
    years = sorted({row["year"] for row in rows})
    found = {(row["year"], row["month"]): row for row in rows}
    full = [row for row in rows if row["month"]]
    up = sum(row["net_return"] > 0 for row in full)
    best, worst = (pick(full, key=lambda row: row["net_return"]) for pick in (max, min))
    section.find(
        OK,
        f"Months up: {up} of {len(full)}; the best {MONTHS[best['month'] - 1]} {best['year']}"
        f" {readable(best['net_return'], 'percent')}, the worst {MONTHS[worst['month'] - 1]} {worst['year']}"
        f" {readable(worst['net_return'], 'percent')}. The first and last months may be parts of months.",
    )
    values: list[list[float | None]] = []
    texts: list[list[str]] = []
    for year in years:
        line = [found[year, month]["net_return"] if (year, month) in found else None for month in range(1, 13)]
        values.append(line)
        texts.append(["" if value is None else readable(value, "percent") for value in line])
    section.blocks.append(
        Chart(
            id="months",
            label="Net return of each month",
            figures={"all": charts.map_figure(MONTHS, [str(year) for year in years], values, texts, scale="diverging")},
            first="all",
            height=70 + 34 * len(years),
        )
    )
    beside = subject.market_cell is not None
    yearly = [
        {
            "year": str(year),
            "net_return": found[year, 0]["net_return"],
            "market_return": found[year, 0]["market_return"],
            "session_count": found[year, 0]["session_count"],
            "gap": found[year, 0]["net_return"] - found[year, 0]["market_return"]
            if found[year, 0]["market_return"] is not None
            else None,
        }
        for year in years
    ]
    fields = [
        words("Year", "year"),
        figure("Net return", "net_return", "percent"),
        figure("Market", "market_return", "percent", reason="no market on the same sessions"),
        figure("Gap", "gap", "percent", reason="no market on the same sessions"),
        count("Sessions", "session_count"),
    ]
    section.blocks.append(table("years", yearly, fields if beside else [*fields[:2], fields[4]]))


def falls_section(reader: Reader, section: Section, subject: Subject) -> None:
    """Fill the section with the five deepest drawdowns; the deepest must be the published metric."""
    rows = reader.ask("drawdowns", subject.parameters, required=False)
    published = reader.value(subject.config["config_id"], "max_drawdown")
    deepest = rows[0]["depth"] if rows else 0.0
    if published is None:
        section.find(WARN, "The cell has no metric max_drawdown to compare with.")
    else:
        difference = abs(published - deepest)
        section.find(
            OK if difference <= TOLERANCE else FAIL,
            f"The deepest fall is the published max drawdown; the difference is {difference:.1e}.",
            guard="Metrics",
        )
    section.blocks.append(
        table(
            "falls",
            rows,
            [
                words("Peak", "peak_date"),
                words("Valley", "valley_date"),
                Field(
                    Column("Made good"),
                    lambda row: text(row["recovery_date"]) if row["recovery_date"] else Cell("not yet", tone="warn"),
                ),
                figure("Depth", "depth", "percent"),
                count("Sessions under water", "under_water_count"),
            ],
            caption="A fall begins at a peak and ends where its worth is reached again; the start counts as a peak.",
        )
    )


def rolling_section(reader: Reader, section: Section, subject: Subject) -> None:
    """Fill the section with Sharpe, volatility and beta over a quarter, half a year and a year."""
    periods = reader.setting("periods_per_year")
    measures = (
        ("sharpe", "Rolling Sharpe", ".2f"),
        ("annualized_vol", "Rolling volatility", ".1%"),
        ("beta", "Rolling beta to the market", ".2f"),
    )
    figures: dict[str, dict[str, charts.Figure]] = {name: {} for name, _, _ in measures}
    labels = {}
    for key, (label, part) in LOOK_BACKS.items():
        length = round(periods / part)
        rows = reader.ask("rolling", {**subject.parameters, "preceding": length - 1}, required=False)
        if not rows:
            section.find(WARN, f"The run has fewer than the {length} sessions that {label} needs.")
            continue
        labels[key] = f"{label}, {length} sessions"
        for name, title, tick_format in measures:
            if any(row[name] is not None for row in rows):
                figures[name][key] = charts.lines_figure(
                    rows, "session_date", [(name, title, "series-1")], title=title, tick_format=tick_format
                )
    if not labels:
        section.find(NA, "The run is too short for rolling figures.")
        return
    section.find(OK, f"Over {'; '.join(labels.values())}. A figure stands at the last session it looks back from.")
    for name, title, _ in measures:
        if not figures[name]:
            section.find(NA, f"{title} does not exist: there is no market on the same sessions.")
            continue
        section.blocks.append(
            Chart(
                id=f"rolling-{name.replace('_', '-')}",
                label=title,
                figures=figures[name],
                first=next(iter(figures[name])),
                labels={key: labels[key] for key in figures[name]},
                choice="Look-back",
                height=250,
            )
        )


def histogram_section(reader: Reader, section: Section, subject: Subject) -> None:
    """Fill the section with how often each size of daily return occurred."""
    rows = reader.ask("histogram", subject.parameters)
    width = rows[0]["width"]
    sessions = sum(row["session_count"] for row in rows)
    section.find(OK, f"{sessions:,} daily net returns in bars of {readable(width, 'fine')}.")
    counts = {round(row["lower_edge"] / width): row["session_count"] for row in rows}
    numbers = range(min(counts), max(counts) + 1)
    down = [counts.get(place, 0) if place < 0 else None for place in numbers]
    up = [counts.get(place, 0) if place >= 0 else None for place in numbers]
    chart = charts.bars_figure(
        [(place + 0.5) * width for place in numbers],
        [("below zero", "series-2", down), ("zero and above", "series-1", up)],
        title="sessions",
        tick_format=",d",
        is_stacked=True,
    )
    chart["layout"]["xaxis"] = {"tickformat": ".1%", "hoverformat": ".2%", "title": {"text": "daily net return"}}
    chart["layout"]["bargap"] = 0.05
    section.blocks.append(
        Chart(id="returns", label="Daily net returns", figures={"all": chart}, first="all", height=320)
    )


def weights_section(reader: Reader, section: Section, subject: Subject) -> None:
    """Fill the section with the target book of each decision; sizes and cash of every book make one.

    A short position takes its size of the book as a long one does, so gross weights are added.
    """
    config_id = subject.config["config_id"]
    windows = [row for row in reader.ask("allocations") if row["config_id"] == config_id]
    every = reader.ask("weights")
    weights = [row for row in every if row["config_id"] == config_id]
    if not windows:
        raise MissingData(f"{subject.label} has no allocations")
    totals: dict[tuple[str, int], float] = {}
    for row in every:
        key = row["config_id"], row["window_index"]
        totals[key] = totals.get(key, 0.0) + row["gross_weight"]
    books = reader.ask("allocations")
    apart = [abs(totals.get((row["config_id"], row["window_index"]), 0.0) + row["cash"] - 1) for row in books]
    section.find(
        OK if max(apart) <= TOLERANCE else FAIL,
        f"Weights, long and short alike, and cash add up to one in {sum(one <= TOLERANCE for one in apart):,} of"
        f" {len(books):,} books of the run; the largest difference is {max(apart):.1e}.",
        guard="Weights",
    )
    section.blocks.append(
        Chart(
            id="weights",
            label="Target weights by decision",
            figures={"all": charts.weights_figure(windows, weights, charts.weight_order(weights, config_id))},
            first="all",
            height=480,
            caption="The book each decision asks for, from its close to the next decision, the heaviest symbol at the"
            " bottom."
            + (
                " It is brought back to these weights at every close."
                if subject.config["rebalance_mode"] == "daily"
                else " Between decisions the weights drift with prices."
            ),
        )
    )


def holdings_section(reader: Reader, section: Section, subject: Subject) -> None:
    """Fill the section with the last book and what each symbol added over the run."""
    rows = reader.ask("contributions", subject.parameters)
    total = sum(row["contribution"] for row in rows)
    published = reader.value(subject.config["config_id"], "total_return")
    if published is None:
        section.find(WARN, "The cell has no total return to compare with.")
    else:
        rest = published - total
        section.find(
            OK if abs(rest) <= 1e-6 else WARN,
            f"What the symbols added, less costs, is the total return; {readable(rest, 'fine')} of"
            f" {readable(published, 'percent')} is left over.",
            guard="Contributions",
        )
        if abs(rest) > 1e-6:
            rows = [
                *rows,
                {"symbol": "left over", "net_weight": None, "contribution": rest, "window_count": None, "kind": 3},
            ]
    held = [row for row in rows if row["net_weight"] is not None]
    section.find(OK, f"Symbols in the last book: {len(held)}; ever held: {sum(row['kind'] == 0 for row in rows)}.")
    ranked = sorted((row for row in rows if row["kind"] == 0), key=lambda row: -row["contribution"])
    section.blocks.append(
        Chart(
            id="contributions",
            label="What each symbol added to the total return",
            figures={
                "all": charts.ranked_bars_figure(
                    [row["symbol"] for row in ranked],
                    [row["contribution"] for row in ranked],
                    title="as a share of the starting worth",
                    tick_format=".1%",
                )
            },
            first="all",
            height=80 + 19 * len(ranked),
        )
    )
    section.blocks.append(
        table(
            "holdings",
            rows,
            [
                words("Symbol", "symbol", tone=lambda row: "quiet" if row["kind"] else ""),
                figure("Weight now", "net_weight", "fine", reason="not in the last book"),
                figure("Added", "contribution", "fine", title="share of the starting worth"),
                count("Windows held", "window_count"),
            ],
            is_sortable=True,
            is_tall=len(rows) > 16,
            caption="Weight now is that of the last decision. Symbols earn on their holdings after trading; costs and"
            " borrow stand below them.",
        )
    )


def charges_section(reader: Reader, section: Section, subject: Subject) -> None:
    """Fill the section with what trading and borrowing cost by year and in all."""
    rows = reader.ask("cost_years", subject.parameters)
    path = reader.ask("cost_path", subject.parameters)
    cost, borrow = path[-1]["cost"], path[-1]["borrow_cost"]
    section.find(OK, f"In all: trading {readable(cost, 'fine')}, borrow {readable(borrow, 'fine')} of the book.")
    section.blocks.append(
        Chart(
            id="charges",
            label="Costs so far, as a share of the book on the day",
            figures={
                "all": charts.lines_figure(
                    path,
                    "session_date",
                    [("cost", "trading", "series-2"), ("borrow_cost", "borrow", "series-5")],
                    title="sum of daily costs",
                    tick_format=".2%",
                    shape="hv",
                    is_zero_based=True,
                )
            },
            first="all",
            height=260,
        )
    )
    section.blocks.append(
        table(
            "charges",
            [{**row, "year": str(row["year"]), "taken": row["gross_return"] - row["net_return"]} for row in rows],
            [
                words("Year", "year"),
                count("Sessions", "session_count"),
                count("Rebalances", "rebalance_count"),
                figure("Turnover", "turnover", "percent", title="one-way, as a share of the book"),
                figure("Trading costs", "cost", "fine"),
                figure("Borrow", "borrow_cost", "fine"),
                figure("Gross return", "gross_return", "fine"),
                figure("Net return", "net_return", "fine"),
                figure("Taken", "taken", "fine", title="gross less net return of the year"),
            ],
        )
    )


def windows_section(reader: Reader, section: Section, subject: Subject) -> None:
    """Fill the section with each window of the configuration."""
    label, market_cell = subject.label, subject.market_cell
    windows = reader.ask("windows", subject.parameters)
    unmeasured = [row["window_index"] for row in windows if row["period_return"] is None]
    unhealthy = [row for row in windows if row["status"] not in HEALTHY_STATUSES]
    if unmeasured:
        section.find(
            WARN,
            f"Without a return: {len(unmeasured)} of {len(windows)} windows, the first is {unmeasured[0]}.",
        )
    if unhealthy:
        example = unhealthy[0]
        section.find(
            WARN,
            f"Not solved as asked: {len(unhealthy)} of {len(windows)} windows; window"
            f" {example['window_index']} is {example['status'] or 'without an allocation'}:"
            f" {example['fallback_reason'] or 'no reason given'}.",
        )
    find_breadth(reader, section, subject.config["config_id"], subject.cell["cell_id"])
    section.find(
        OK,
        f"{len(windows)} windows of {label}. Averages over windows are no headline; each row stands alone.",
    )
    section.blocks.append(
        Chart(
            id="windows",
            label=f"Net return of each window, {label}",
            figures={"all": charts.windows_figure(windows, label, "market" if market_cell else None)},
            first="all",
            height=320,
            caption="Placed at the decision date. Not annualised.",
        )
    )
    section.blocks.append(
        table(
            "windows",
            windows,
            [
                count("Window", "window_index"),
                words("Decision", "decision_date"),
                Field(Column("Tested"), _tested),
                figure("Return", "period_return", "fine"),
                figure("Market", "market_return", "fine", reason="the run has no market baseline here"),
                figure("Max drawdown", "max_drawdown", "fine"),
                figure("Turnover", "turnover", "percent"),
                words(
                    "Solver",
                    "status",
                    tone=lambda row: "" if row["status"] in HEALTHY_STATUSES else "warn",
                    hint="fallback_reason",
                ),
                count("Winners", "winner_count"),
                figure("Cash", "cash", "percent"),
                words("Regime (declared)" if reader.setting("regime.basis") == "declared" else "Regime", "regime"),
            ],
            is_sortable=True,
            is_tall=True,
        )
    )


def _tested(row: Row) -> Cell:
    return Cell(f"{row['test_start_date']} to {row['test_end_date']}", sort=str(row["test_start_date"]))
