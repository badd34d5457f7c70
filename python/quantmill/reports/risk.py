"""The sections on risk: the matrix, volatility bands, and how close books come to their caps."""

from __future__ import annotations

from typing import Any

from quantmill.reports import charts
from quantmill.reports.comparison import engine_rows, metric_map
from quantmill.reports.formats import metric_cell, metric_column, metric_label, number, readable, text
from quantmill.reports.page import FAIL, NA, OK, WARN, Cell, Chart, Column, Section, Table
from quantmill.reports.reader import Reader, view_sentence
from quantmill.reports.tables import Field, count, figure, table, words

# The figures of the matrix and whether more of each is better, worse or neither.
RISK_METRICS = {
    "annualized_vol": "weight",
    "max_drawdown": "good",
    "cvar_95": "good",
    "beta": "weight",
    "hhi": "weight",
    "n_eff": "weight",
    "max_weight": "weight",
    "max_cluster": "weight",
}
BANDS = "allocation.volatility_bands."


def matrix_section(reader: Reader, section: Section) -> None:
    """Fill the section with the risk figures of every drawn cell, as a map and as a table."""
    labels, metrics, drawn, styles = reader.labels(), reader.metrics(), reader.drawn_cells(), reader.styles()
    lines, _, places = engine_rows(reader)
    there = {name for _, name in metrics}
    names = [name for name in RISK_METRICS if name in there]
    absent = [name for name in RISK_METRICS if name not in there]
    section.find(
        FAIL if absent else OK, f"Figures: {len(names)} of {len(RISK_METRICS)} for {len(places)} configurations."
    )
    if absent:
        section.find(FAIL, f"No cell has the metric {', '.join(absent)}.")
    if names:
        section.blocks.append(
            Chart(
                id="risk-map",
                label="Engine by risk profile",
                figures={name: metric_map(reader, name, RISK_METRICS[name]) for name in names},
                first=names[0],
                labels={name: metric_label(name) for name in names},
                choice="Figure",
                height=90 + 42 * len(lines),
                caption=f"{view_sentence(reader)[:1].upper()}{view_sentence(reader)[1:]}. Concentration is that of the"
                " decided books, as a mean over windows.",
            )
        )
    columns = [Column("Configuration"), *(metric_column(name, is_extra=False) for name in names)]
    rows = []
    for config_id, style in styles.items():
        if config_id in drawn:
            tone = "strong" if style.is_headline else "quiet" if reader.config(config_id)["is_baseline"] else ""
            cell_id = drawn[config_id]["cell_id"]
            rows.append(
                [
                    text(labels[config_id], tone=tone),
                    *(metric_cell(metrics.get((cell_id, name)), name) for name in names),
                ]
            )
    section.blocks.append(Table("risk-matrix", columns, rows, is_sortable=True, is_tall=len(rows) > 24))


def bands_section(reader: Reader, section: Section) -> None:
    """Fill the section that holds each volatility against the band of its risk profile."""
    settings = reader.settings()
    bands = {key.removeprefix(BANDS): value for key, value in settings.items() if key.startswith(BANDS)}
    if not bands:
        section.find(NA, f"The run has no settings {BANDS}*, so no profile has a band.")
        return
    labels, drawn = reader.labels(), reader.drawn_cells()
    rows: list[dict[str, Any]] = []
    for config in reader.configs():
        if config["is_baseline"] or config["config_id"] not in drawn:
            continue
        volatility, band = reader.value(config["config_id"], "annualized_vol"), bands.get(config["risk_profile"])
        use = volatility / band if volatility is not None and band else None
        rows.append({"label": labels[config["config_id"]], "volatility": volatility, "band": band, "use": use})
    above = [row for row in rows if row["use"] is not None and row["use"] > 1]
    section.find_each((WARN, "volatility above its band", row["label"]) for row in above)
    judged = sum(row["use"] is not None for row in rows)
    section.find(
        OK if judged else NA, f"Within their bands: {judged - len(above)} of {judged}; bands are alarms, not targets."
    )
    section.blocks.append(
        table(
            "bands",
            rows,
            [
                words("Configuration", "label"),
                figure("Volatility", "volatility", "percent", reason="not defined for this cell"),
                figure("Band", "band", "percent", reason="its profile has none"),
                Field(
                    Column("Of the band", is_number=True),
                    lambda row: _use(row["use"]),
                ),
            ],
            is_sortable=True,
            is_tall=len(rows) > 16,
        )
    )


def _use(value: float | None) -> Cell:
    cell = number(value, "percent", reason="no band or no volatility")
    return Cell(cell.text, cell.sort, cell.title, "warn") if value is not None and value > 1 else cell


def caps_section(reader: Reader, section: Section) -> None:
    """Fill the section on how much of each cap the books use, over all windows and through time."""
    labels = reader.labels()
    rows = reader.ask("cap_use")
    names = sorted({row["constraint_name"] for row in rows})
    configs = [row["config_id"] for row in reader.configs() if row["config_id"] in {line["config_id"] for line in rows}]
    use = {(row["config_id"], row["constraint_name"]): row for row in rows}
    values = [
        [use[key]["largest_use"] if (key := (config_id, name)) in use else None for name in names]
        for config_id in configs
    ]
    texts = [["" if value is None else readable(value, "percent") for value in line] for line in values]
    above = [
        (labels[row["config_id"]], row["constraint_name"])
        for row in rows
        if row["largest_use"] is not None and row["largest_use"] > 1 + 1e-6 and not row["relaxed_count"]
    ]
    section.find_each((FAIL, f"above {name} without a relaxation", label) for label, name in above)
    binding = sum(row["binding_share"] * row["window_count"] for row in rows)
    relaxed = sum(row["relaxed_count"] for row in rows)
    section.find(
        OK,
        f"Constraints that bind: {binding:,.0f} of {sum(row['window_count'] for row in rows):,}; relaxed: {relaxed:,}.",
    )
    section.blocks.append(
        Chart(
            id="caps",
            label="Largest use of each constraint, over all windows",
            figures={
                "all": charts.map_figure(
                    names,
                    [labels[config_id] for config_id in configs],
                    values,
                    texts,
                    scale="weight",
                    bounds=(0.0, 1.0),
                )
            },
            first="all",
            height=80 + 30 * len(configs),
            caption="The value over its bound: 100% is at the cap. Above it only where the cap was relaxed.",
        )
    )
    headline = reader.headline()["config_id"]
    if headline not in configs:
        section.find(WARN, f"The headline {labels[headline]} has no constraint rows.")
        return
    path = reader.ask("cap_path", {"config_id": headline})
    shown = [name for name in names if name.endswith("_cap")] or names
    figures = {}
    for name in shown:
        own = [row for row in path if row["constraint_name"] == name]
        if own:
            figures[name] = charts.lines_figure(
                own,
                "decision_date",
                [("value", "largest in the book", "series-1"), ("bound", "bound", "baseline-1")],
                title="share of the book",
                tick_format=".1%",
                shape="hv",
                is_zero_based=True,
            )
    section.blocks.append(
        Chart(
            id="cap-path",
            label=f"Value and bound by decision, {labels[headline]}",
            figures=figures,
            first=next(iter(figures)),
            labels={name: name.replace("_", " ") for name in figures},
            choice="Constraint",
            height=300,
        )
    )
    parts = reader.ask("bound_parts", {"config_id": headline}, required=False)
    if parts:
        section.blocks.append(
            table(
                "bound-parts",
                parts,
                [
                    words("Constraint", "constraint_name"),
                    words("Binds for", "part"),
                    count("Windows", "binding_count"),
                    count("Relaxed", "relaxed_count", tone=lambda row: "warn" if row["relaxed_count"] else ""),
                    figure("Largest bound", "largest_bound", "percent"),
                ],
                caption=f"What the caps of {labels[headline]} held back, and in how many windows. Clusters are"
                " numbered anew in each window, the largest first.",
                is_sortable=True,
                is_tall=len(parts) > 12,
            )
        )
    named = Field(Column("Configuration"), lambda row: text(labels.get(row["config_id"], row["config_id"])))
    section.blocks.append(
        table(
            "caps",
            rows,
            [
                named,
                words("Constraint", "constraint_name"),
                figure("Largest use", "largest_use", "percent", reason="its bound is zero"),
                figure("Mean use", "mean_use", "percent", reason="its bound is zero"),
                figure("Binding", "binding_share", "percent", title="share of windows"),
                count("Relaxed", "relaxed_count", tone=lambda row: "warn" if row["relaxed_count"] else ""),
            ],
            is_sortable=True,
            is_tall=len(rows) > 16,
        )
    )
