"""The sections that show what a run came to: the run itself, its key figures, paths and metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from quantmill.reports import charts
from quantmill.reports.formats import (
    KEY_FIGURES,
    MAIN_METRICS,
    METRICS,
    TILE_METRICS,
    metric_cell,
    metric_column,
    metric_label,
    number,
    readable,
    short_hash,
    text,
)
from quantmill.reports.page import (
    FAIL,
    NA,
    OK,
    WARN,
    Cell,
    Chart,
    Column,
    Facts,
    Note,
    Section,
    Table,
    Tile,
    Tiles,
)
from quantmill.reports.queries import MissingData
from quantmill.reports.reader import (
    ABSENT_STATUSES,
    BASELINE_MEANING,
    HEALTHY_STATUSES,
    VARYING,
    Reader,
    view_sentence,
)
from quantmill.reports.tables import Row, figure, table, words

TOLERANCE = 1e-9
# The configurations beside the headline that one chart can hold and a reader can tell apart.
MOST_LINES = 5
# A single window that makes more of the growth (of logarithms) than this is told as a warning.
LARGEST_SHARE = 0.25
# Books of fewer names than this are told by name.
FEW_NAMES = 5

BASIS_MEANING = {
    "static": "today's list of symbols is applied to all of history. Names that failed, were delisted or"
    " shrank are not in it, which flatters every absolute figure on this page. Read relative statements only,"
    " between configurations and baselines that choose from the same list. No run on this basis can be"
    " promoted.",
    "pit": "the candidates of each decision are those that were listed at that decision.",
}
TIER_MEANING = {
    "smoke": "gates are shown and not enforced; no configuration is a candidate",
    "strict": "every strict gate is enforced",
    "promotable": "strict gates and the gates of promotion are enforced",
}


def run_section(reader: Reader, section: Section) -> None:
    """Fill the section on what was run and how its numbers may be read."""
    run = reader.run()
    settings = reader.settings()
    if run["status"] == "sealed":
        section.find(OK, "The run is sealed: its ledger is closed and its tables are hashed.", guard="Sealed run")
    else:
        section.find(WARN, f"The run is {run['status']}, not sealed: its numbers may still change.", guard="Sealed run")
    basis = run["universe_basis"]
    section.find(
        OK if basis == "pit" else WARN,
        "The universe is point-in-time."
        if basis == "pit"
        else f"The universe is {basis}, so absolute figures cannot be taken as they stand.",
        guard="Universe",
    )
    _find_foresight(reader, section)
    changed = [
        f"{row['key']} = {row['value']}"
        for row in reader.ask("settings")
        if row["source_layer"] in ("command_line", "environment")
    ]
    if changed:
        section.find(WARN, "The run is not the profile as it is written.")
        section.blocks.append(
            Note(f"differs from profile {run['profile']}: {'; '.join(changed)}", tone="warn", lead="This run")
        )
    if settings.get("benchmark_note"):
        section.blocks.append(Note(settings["benchmark_note"], tone="warn", lead="The benchmark."))
    section.blocks.append(
        Note(
            BASIS_MEANING.get(basis, "not one that this page knows."),
            tone="warn" if basis != "pit" else "plain",
            lead=f"Universe basis {basis}:",
        )
    )
    headline = reader.headline()
    chosen = " · ".join(headline[name] for name in ("engine", "risk_profile", *VARYING))
    tier = str(reader.setting("tier"))
    sessions = reader.setting("lookback_sessions")
    section.blocks.append(
        Facts(
            [
                ("Profile", text(run["profile"])),
                ("As of", text(reader.setting("as_of"))),
                ("Status", text(run["status"], tone="good" if run["status"] == "sealed" else "warn")),
                ("Universe", text(_universe_sentence(reader))),
                ("Benchmark", text(", ".join(reader.setting("benchmarks")))),
                ("Tier", text(f"{tier}: {TIER_MEANING.get(tier, 'not one that this page knows')}")),
                ("Headline", text(f"{chosen}. Named by the profile; ranking is not affected.")),
                ("Shown net", text(view_sentence(reader))),
                ("Grid", text(f"{sessions:,} sessions, {reader.setting('periods_per_year')} a year")),
                ("Data snapshot", text(run["snapshot_id"])),
                ("Code", Cell(f"{run['code_version']} · {run['code_hash'][:12]}…", title=run["code_hash"])),
                ("Ledger head", short_hash(run["chain_head"])),
            ]
        )
    )
    if run["label"]:
        section.blocks.append(Note(run["label"], lead="Label:"))


def _universe_sentence(reader: Reader) -> str:
    """Return whom the run could choose from: the symbols of a list, or what how many scanners found."""
    scanners = reader.settings().get("universe.scanners")
    if not scanners:
        return f"{reader.setting('universe.id')}, {len(reader.setting('universe.symbols'))} symbols"
    found = reader.ask("discovery")[0]
    span = f", {found['first_decision']} to {found['last_decision']}" if found["symbol_count"] else ""
    return (
        f"{len(scanners)} scanner{'s' * (len(scanners) > 1)}: {found['symbol_count']:,} symbols over"
        f" {found['window_count']:,} decisions{span}"
    )


def _find_foresight(reader: Reader, section: Section) -> None:
    found = reader.ask("foresight")[0]
    wrong = found["trained_later_count"] + found["tested_earlier_count"] + found["other_close_count"]
    section.find(
        FAIL if wrong else OK,
        f"Windows: {found['window_count']}; trained on sessions after their decision:"
        f" {found['trained_later_count']}; tested on sessions up to it: {found['tested_earlier_count']}; decided"
        f" at another time than the close of the calendar: {found['other_close_count']}.",
        guard="No foresight",
    )


def key_figures_section(reader: Reader, section: Section) -> None:
    """Fill the section with the figures of the headline configuration beside its baselines."""
    section.find(OK, f"Net of costs: {view_sentence(reader)}.")
    headline = reader.headline()
    labels = reader.labels()
    drawn = reader.drawn_cells()
    metrics = reader.metrics()
    cell = drawn.get(headline["config_id"])
    if cell is None:
        raise MissingData(f"the headline {labels[headline['config_id']]} has no cell: {view_sentence(reader)}")
    if headline["status"] not in HEALTHY_STATUSES:
        section.find(WARN, f"The headline configuration is {headline['status']}: {headline['reason']}.")
    if cell["status"] != "ok":
        section.find(WARN, f"The headline cell is {cell['status']}: {cell['reason']}.")
    baselines = [row for row in reader.baselines_of(headline) if row["config_id"] in drawn]
    shown = [headline, *baselines]
    missing = [name for name in TILE_METRICS if (cell["cell_id"], name) not in metrics]
    if missing:
        section.find(FAIL, f"The headline cell has no metric {', '.join(missing)}.")

    def value(config: Row, name: str) -> Cell:
        return metric_cell(metrics.get((drawn[config["config_id"]]["cell_id"], name)), name)

    section.blocks.append(
        Tiles(
            [
                Tile(
                    label=metric_label(name),
                    value=value(headline, name),
                    beside=[f"{row['risk_profile']} {value(row, name).text}" for row in baselines[:2]],
                )
                for name in TILE_METRICS
            ]
        )
    )
    columns = [Column("Figure"), Column(labels[headline["config_id"]], is_number=True, is_strong=True)]
    columns += [
        Column(row["risk_profile"], is_number=True, title=BASELINE_MEANING.get(row["risk_profile"], ""))
        for row in baselines
    ]
    rows = [
        [Cell(metric_label(name), title=f"{name}: {METRICS[name][2]}"), *(value(row, name) for row in shown)]
        for name in KEY_FIGURES
    ]
    find_breadth(reader, section, headline["config_id"], cell["cell_id"], guard="Many windows")
    note = reader.settings().get("benchmark_note", "")
    meanings = "; ".join(
        f"{row['risk_profile']}: {BASELINE_MEANING[row['risk_profile']]}"
        for row in baselines
        if row["risk_profile"] in BASELINE_MEANING
    )
    section.blocks.append(Table("key-figures", columns, rows, caption=f"{meanings[:1].upper()}{meanings[1:]}. {note}"))


def find_breadth(reader: Reader, section: Section, config_id: str, cell_id: str, *, guard: str = "") -> None:
    """Say what the best window of a drawn cell made of its growth, and what is left without it."""
    windows = reader.ask("window_growth", {"cell_id": cell_id}, required=False)
    total = reader.value(config_id, "total_return")
    if not windows or total is None:
        section.find(NA, "There is no window to tell what each of them made.", guard=guard)
        return
    best = windows[0]
    without = (1 + total) / (1 + best["period_return"]) - 1
    count = best["symbol_count"]
    held = f"{count} names" + (f" ({best['symbols']})" if count < FEW_NAMES else "")
    largest = (
        "" if best["largest_weight"] is None else f", the largest at {readable(best['largest_weight'], 'percent')}"
    )
    is_broad = total <= 0 or math.log1p(best["period_return"]) <= LARGEST_SHARE * math.log1p(total)
    section.find(
        OK if is_broad else WARN,
        f"The best of {len(windows)} windows, {best['test_start_date']} to {best['test_end_date']}, made"
        f" {readable(best['period_return'], 'percent')} with {held}{largest}. The total return of"
        f" {readable(total, 'percent')} is {readable(without, 'percent')} without it.",
        guard=guard,
    )


def nav_section(reader: Reader, section: Section) -> None:
    """Fill the section with the paths of the headline, the best configurations and the baselines, net of costs."""
    all_paths = reader.paths()
    _find_undrawn(reader, section, all_paths)
    paths, styles = _shown(reader, all_paths)
    growth = reader.ask("growth")
    worst = max(abs(row["compounded_growth"] / row["nav_growth"] - 1) if row["nav_growth"] else 0.0 for row in growth)
    section.find(
        OK if worst <= TOLERANCE else FAIL,
        f"Compounding the net returns gives the growth of the NAV in all {len(growth)} cells; the largest"
        f" difference is {_size(worst)}.",
        guard="NAV",
    )
    identity = reader.ask("net_identity")[0]
    section.find(
        OK if identity["largest_difference"] <= TOLERANCE else FAIL,
        f"Gross return less costs and borrow is the net return on all {identity['session_count']:,} sessions of"
        f" all cells; the largest difference is {_size(identity['largest_difference'])}.",
        guard="Costs",
    )
    for overlap in _overlaps(paths, styles):
        section.find(OK, overlap)
    section.blocks.append(
        Chart(
            id="nav",
            label="Net asset value, net of costs",
            figures={"all": charts.paths_figure(paths, styles, "nav")},
            first="all",
            has_log_axis=True,
            height=460,
            caption=f"{_span(paths)} Drawn: {_shown_sentence(all_paths, paths)}, {view_sentence(reader)}.",
        )
    )


def drawdown_section(reader: Reader, section: Section) -> None:
    """Fill the section with the distance of each path from its last peak."""
    all_paths = reader.paths()
    _find_undrawn(reader, section, all_paths)
    paths, styles = _shown(reader, all_paths)
    section.blocks.append(
        Chart(
            id="drawdown",
            label="Fall from the last peak, net of costs",
            figures={"all": charts.paths_figure(paths, styles, "drawdown")},
            first="all",
            height=340,
            caption=f"The NAV at the start counts as a peak. {_span(paths)} Drawn:"
            f" {_shown_sentence(all_paths, paths)}.",
        )
    )
    deepest = [
        {
            "label": style.label,
            **min(all_paths[config_id], key=lambda row: (row["drawdown"], row["session_date"])),
        }
        for config_id, style in reader.styles().items()
        if config_id in all_paths
    ]
    fall = number(deepest[0]["drawdown"], "percent").text
    section.find(OK, f"{deepest[0]['label']} fell deepest on {deepest[0]['session_date']}: {fall}.")
    section.blocks.append(
        table(
            "deepest",
            deepest,
            [
                words("Configuration", "label"),
                figure("Deepest", "drawdown", "percent"),
                words("On", "session_date"),
            ],
            is_sortable=True,
            is_tall=len(deepest) > 16,
        )
    )


def _shown(
    reader: Reader, paths: Mapping[str, list[dict[str, Any]]]
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, charts.Line]]:
    """Return the paths that a chart can hold and their styles: the headline, the best ones, the baselines."""
    styles = reader.styles()
    kept = [config_id for config_id, style in styles.items() if style.is_headline]
    kept += [config_id for config_id in reader.ranked()[:MOST_LINES] if config_id not in kept]
    try:
        kept += [row["config_id"] for row in reader.baselines_of(reader.headline())]
    except MissingData:
        kept += [row["config_id"] for row in reader.configs() if row["is_baseline"]]
    shown = {config_id: paths[config_id] for config_id in styles if config_id in kept and config_id in paths}
    return shown, reader.styles(only=list(shown))


def _shown_sentence(paths: Mapping[str, Any], shown: Mapping[str, Any]) -> str:
    if len(shown) == len(paths):
        return "all configurations"
    return f"the headline, the {MOST_LINES} configurations with the highest net Sharpe and the headline's baselines"


def _find_undrawn(reader: Reader, section: Section, paths: Mapping[str, Any]) -> None:
    labels, drawn = reader.labels(), reader.drawn_cells()
    found = []
    for row in reader.configs():
        label, cell = labels[row["config_id"]], drawn.get(row["config_id"])
        if cell is None and row["status"] in ABSENT_STATUSES:
            found.append((OK, f"{row['status']}, {row['reason']}", label))
        elif cell is None:
            found.append((WARN, f"no cell with {view_sentence(reader)}", label))
        elif row["config_id"] not in paths:
            found.append((WARN, f"no returns, {cell['status']}, {cell['reason'] or 'no reason given'}", label))
        elif cell["status"] != "ok":
            found.append((WARN, f"ended {cell['status']}, {cell['reason']}", label))
    section.find_each(found)


def _overlaps(paths: Mapping[str, list[dict[str, Any]]], styles: Mapping[str, charts.Line]) -> list[str]:
    ordered = {config_id: paths[config_id] for config_id in styles if config_id in paths}
    return [
        f"{' and '.join(styles[config_id].label for config_id in group)} have the same NAV on every session,"
        " so their lines lie on each other."
        for group in charts.coinciding(ordered)
    ]


def _size(difference: float) -> str:
    return f"{difference:.1e}" if difference else "0"


def _span(paths: Mapping[str, list[dict[str, Any]]]) -> str:
    first = min(rows[0]["session_date"] for rows in paths.values())
    last = max(rows[-1]["session_date"] for rows in paths.values())
    return f"From the close of the first decision, {first}, to {last}."


def metrics_section(reader: Reader, section: Section) -> None:
    """Fill the section with all metrics of all cells, the headline first and the baselines last."""
    labels, metrics, styles = reader.labels(), reader.metrics(), reader.styles()
    place = {config_id: rank for rank, config_id in enumerate(styles)}
    cells = sorted(reader.ask("cells"), key=lambda row: place[row["config_id"]])
    there = {name for _, name in metrics}
    names = [name for name in MAIN_METRICS if name in there]
    names += [name for name in METRICS if name in there and name not in names]
    names += sorted(there - set(names))
    found = []
    for row in cells:
        label = f"{labels[row['config_id']]} under {row['cost_model']}"
        if row["status"] != "ok":
            status = OK if row["status"] in ABSENT_STATUSES else WARN
            found.append((status, f"{row['status']}, {row['reason']}", label))
        elif not any((row["cell_id"], name) in metrics for name in names):
            found.append((FAIL, "no metrics", label))
    section.find_each(found)
    undefined = sum(row["value"] is None for row in metrics.values())
    section.find(
        OK,
        f"{len(cells)} cells, {len(metrics):,} metrics, of which {undefined} do not exist; hovering over n/a"
        " tells why.",
    )
    _compare_with_paths(reader, section, metrics)
    same = reader.ask("converged")[0]
    if same["window_count"]:
        section.find(
            WARN,
            f"In {same['window_count']} windows, the first decided on {same['first_date']}, profiles of one engine hold"
            f" the same weights (CONVERGED_PAIR, {same['config_count']} configurations): there they do not differ.",
        )
    many_simulators = len({(row["simulator"], row["execution"], row["mode"]) for row in cells}) > 1
    columns = [Column("Configuration"), Column("Costs")]
    if many_simulators:
        columns += [Column("Simulator"), Column("Execution"), Column("Mode")]
    columns.append(Column("Status", is_extra=True))
    columns += [metric_column(name, is_extra=name not in MAIN_METRICS) for name in names]
    rows = []
    for row in cells:
        tone = "quiet" if row["is_baseline"] else "strong" if styles[row["config_id"]].is_headline else ""
        line = [text(labels[row["config_id"]], tone=tone), text(row["cost_model"])]
        if many_simulators:
            line += [text(row["simulator"]), text(row["execution"]), text(row["mode"])]
        line.append(text(row["status"], title=row["reason"] or ""))
        line += [metric_cell(metrics.get((row["cell_id"], name)), name) for name in names]
        rows.append(line)
    section.blocks.append(
        Table(
            "metrics",
            columns,
            rows,
            is_sortable=True,
            is_tall=len(rows) > 24,
            caption="Computed over the whole stitched net series, never as an average of windows. The cost"
            " model gross is the zero-cost twin of the same weights.",
        )
    )


def _compare_with_paths(reader: Reader, section: Section, metrics: Mapping[tuple[str, str], dict[str, Any]]) -> None:
    """Find how far the drawn paths are from the metrics of the same cells."""
    worst, compared = 0.0, 0
    for rows in reader.paths().values():
        cell_id = rows[0]["cell_id"]
        for name, value in (
            ("total_return", rows[-1]["nav"] / rows[0]["nav"] - 1),
            ("max_drawdown", min(row["drawdown"] for row in rows)),
        ):
            metric = metrics.get((cell_id, name))
            if metric is not None and metric["value"] is not None:
                worst, compared = max(worst, abs(metric["value"] - value)), compared + 1
    section.find(
        OK if worst <= TOLERANCE else FAIL,
        f"The last NAV and the deepest fall of the drawn paths are those of the table: {compared} pairs"
        f" compared, the largest difference is {_size(worst)}.",
        guard="Metrics",
    )
