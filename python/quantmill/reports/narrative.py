"""The sections that tell how candidates became winners: funnel, vetoes, battles, overlap, regimes, warnings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quantmill.reports import charts
from quantmill.reports.formats import number, readable, text
from quantmill.reports.page import FAIL, NA, OK, WARN, Chart, Column, Section
from quantmill.reports.reader import Reader
from quantmill.reports.tables import Field, Row, count, figure, table, words

# Engines that take what they are given: they score, cluster and veto nothing.
PLAIN_ENGINES = ("baseline",)
MOST_CODES = 8
CLOSEST = 12
STAGE_LABELS = {
    "universe_count": "universe",
    "discovered_count": "discovered",
    "data_ok_count": "data ok",
    "scored_count": "scored",
    "not_vetoed_count": "not vetoed",
    "cluster_count": "clusters",
    "winner_count": "winners",
}


# From calm to alarming.
REGIME_COLORS = {"QUIET": "good", "NORMAL": "series-1", "TURBULENT": "warn", "CRISIS": "fail"}


def funnel_section(reader: Reader, section: Section) -> None:
    """Fill the section on selection: how many atoms each stage left, over the windows."""
    stages = reader.ask("funnel")
    scarce = 0
    for row in reader.ask("scarcity"):
        scarce += row["either_count"]
        where = f"{row['selection_engine']} on {row['window_set']}"
        if row["scarce_count"]:
            section.find(WARN, f"Scarce windows of {where}: {row['scarce_count']}.")
        if row["empty_count"]:
            section.find(WARN, f"Windows of {where} without a winner, which stay in cash: {row['empty_count']}.")
    section.find(
        WARN if scarce else OK,
        f"Windows that are scarce or without winners: {scarce}.",
        guard="Winners",
    )
    _funnel_path(reader, section)
    section.blocks.append(
        table(
            "funnel",
            stages,
            [
                words("Selection", "selection_engine"),
                words("Windows", "window_set"),
                Field(Column("Stage"), lambda row: text(STAGE_LABELS[row["stage"]])),
                count("Least", "least"),
                Field(
                    Column("Median", is_number=True),
                    lambda row: number(row["median"], "tenth" if row["median"] % 1 else "count"),
                ),
                count("Most", "most"),
                count("Windows counted", "window_count"),
            ],
            caption="Atoms left after each stage, over the windows. The stage clusters counts clusters, not"
            " atoms, and is 0 for engines that do not cluster.",
        )
    )


def scans_section(reader: Reader, section: Section) -> None:
    """Fill the section on the newest scan of each scanner: what each stage took away, down to the candidates."""
    scanners = [one["scanner_id"] for one in reader.settings().get("universe.scanners") or ()]
    if not scanners:
        section.find(NA, "The profile takes its symbols from a list; no scanner is asked.")
        return
    rows = reader.ask("scan_funnel", required=False)
    selected = {row["scanner_id"]: row["remaining_count"] for row in rows if row["stage"] == "selected"}
    silent = sorted(set(scanners) - selected.keys())
    empty = sorted(name for name, left in selected.items() if not left)
    if silent:
        section.find(WARN, f"Scanners without a scan by the last decision: {', '.join(silent)}.")
    if empty:
        section.find(WARN, f"Scanners whose newest scan let nobody pass: {', '.join(empty)}.")
    if not silent and not empty:
        section.find(OK, f"Every scanner let somebody pass; the fewest are {min(selected.values())}.")
    if not rows:
        return
    section.blocks.append(
        table(
            "scan-funnel",
            rows,
            [
                words("Scanner", "scanner_id"),
                words("Scanned (UTC)", "scanned_at_utc"),
                words("Answer", "status"),
                words("Stage", "stage"),
                count("Dropped", "dropped_count"),
                count("Remaining", "remaining_count"),
            ],
            is_tall=True,
            caption="The newest scan of each scanner that the last decision knew: what was fetched, whom each stage"
            " took away, and who became a candidate. features.scan_candidates says why for each symbol.",
        )
    )


def _funnel_path(reader: Reader, section: Section) -> None:
    """Draw the atoms left after each stage at each decision."""
    rows = reader.ask("funnel_path")
    labels = _label_of(rows)
    lines = [(stage, label, f"series-{place + 1}") for place, (stage, label) in enumerate(STAGE_LABELS.items())]
    own = {key: [row for row in rows if (row["selection_engine"], row["window_set"]) == key] for key in labels}
    figures = {
        label: charts.lines_figure(
            # the last decision holds until its window ends
            [*own[key], {**own[key][-1], "decision_date": own[key][-1]["test_end_date"]}],
            "decision_date",
            lines,
            title="atoms",
            tick_format=",d",
            shape="hv",
            is_zero_based=True,
        )
        for key, label in labels.items()
    }
    section.blocks.append(
        Chart(
            id="funnel",
            label="Atoms left after each stage, by decision",
            figures=figures,
            first=next(iter(figures)),
            labels={label: label for label in figures},
            choice="Selection",
            height=320,
            caption="Stages with the same number lie on each other.",
        )
    )
    outcomes = reader.ask("outcomes")
    section.blocks.append(
        table(
            "outcomes",
            outcomes,
            [
                words("Selection", "selection_engine"),
                words("Windows", "window_set"),
                words("Outcome", "outcome"),
                count("Decisions", "decision_count"),
                count("Symbols", "symbol_count"),
            ],
            is_sortable=True,
        )
    )


def _engines(reader: Reader) -> tuple[list[str], list[str]]:
    """Return the engines of the run that choose by score, and those that take what they are given."""
    asked = reader.setting("matrix.selection_engines")
    return [name for name in asked if name not in PLAIN_ENGINES], [name for name in asked if name in PLAIN_ENGINES]


def _find_plain(reader: Reader, section: Section, what: str) -> list[str]:
    """Say which engines have no `what` by their nature, and return the others."""
    scoring, plain = _engines(reader)
    for name in plain:
        section.find(NA, f"The engine {name} {what}: it takes every candidate that has enough history.")
    return scoring


def _find_each_engine(section: Section, engines: Sequence[str], rows: Sequence[Row], table_name: str) -> None:
    """A scoring engine without rows is a failure, not an empty table."""
    there = {row["selection_engine"] for row in rows}
    for name in engines:
        if name not in there:
            section.find(FAIL, f"{table_name} holds no rows of the engine {name}.")


def _label_of(rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    """Return a label for each engine and window set, those that choose by score first.

    The window set is in the label where there are several.
    """
    found = dict.fromkeys((row["selection_engine"], row["window_set"]) for row in rows)
    keys = sorted(found, key=lambda key: key[0] in PLAIN_ENGINES)
    many = len({window_set for _, window_set in keys}) > 1
    return {key: f"{key[0]} on {key[1]}" if many else key[0] for key in keys}


def vetoes_section(reader: Reader, section: Section) -> None:
    """Fill the section on vetoes: which code fired how often, which alone, and when."""
    engines = _find_plain(reader, section, "has no vetoes")
    rows = reader.ask("vetoes", required=False)
    _find_each_engine(section, engines, rows, "selection.vetoes")
    if not rows:
        return
    fired = [row for row in rows if row["fired_count"]]
    section.find(
        OK,
        f"Checks: {sum(row['checked_count'] for row in rows):,} under {len({row['code'] for row in rows})} codes;"
        f" fired: {sum(row['fired_count'] for row in rows):,} under {len({row['code'] for row in fired})}.",
    )
    unmeasured = sum(row["unmeasured_count"] for row in rows)
    if unmeasured:
        blind = sorted({row["code"] for row in rows if row["unmeasured_count"] == row["checked_count"]})
        section.find(
            WARN,
            f"Checks without a metric, which do not fire: {unmeasured:,}."
            + (f" Never measured: {', '.join(blind)}." if blind else ""),
        )
    section.blocks.append(
        table(
            "vetoes",
            rows,
            [
                words("Selection", "selection_engine"),
                words("Code", "code"),
                words("Severity", "severity"),
                count("Checked", "checked_count", title="atoms over all windows"),
                count("Fired", "fired_count", tone=lambda row: "strong" if row["fired_count"] else ""),
                count("Alone", "alone_count", title="no other veto fired for the atom at that decision"),
                count("Overridden", "overridden_count"),
                count("Symbols", "symbol_count", title="distinct symbols that it fired for"),
                count("Without metric", "unmeasured_count", tone=lambda row: "warn" if row["unmeasured_count"] else ""),
                figure("Limit from", "least_limit", "plain", reason="the check has no limit"),
                figure("to", "largest_limit", "plain", reason="the check has no limit"),
            ],
            is_sortable=True,
            is_tall=len(rows) > 20,
        )
    )
    path = reader.ask("veto_path", required=False)
    if not path:
        section.find(OK, "No veto fired in any window.")
        return
    dates = _decision_dates(reader)
    figures = {}
    labels = _label_of(path)
    for key, label in labels.items():
        own = [row for row in path if (row["selection_engine"], row["window_set"]) == key]
        totals: dict[str, int] = {}
        for row in own:
            totals[row["code"]] = totals.get(row["code"], 0) + row["fired_count"]
        codes = sorted(totals, key=lambda code: (-totals[code], code))
        days = dates[key[1]]
        bars = []
        for place, code in enumerate(codes[:MOST_CODES]):
            at = {row["decision_date"]: row["fired_count"] for row in own if row["code"] == code}
            bars.append((code, f"series-{place + 1}", [at.get(day, 0) for day in days]))
        if codes[MOST_CODES:]:
            other = [
                sum(
                    row["fired_count"]
                    for row in own
                    if row["decision_date"] == day and row["code"] in codes[MOST_CODES:]
                )
                for day in days
            ]
            bars.append(("other codes", "baseline-1", other))
        figures[label] = charts.bars_figure(
            days, bars, title="vetoes fired", tick_format=",d", is_date=True, is_stacked=True
        )
    section.blocks.append(
        Chart(
            id="vetoes",
            label="Vetoes fired at each decision",
            figures=figures,
            first=next(iter(figures)),
            labels={label: label for label in figures},
            choice="Selection",
            height=340,
            caption="An atom may be vetoed by several codes at once.",
        )
    )


def _decision_dates(reader: Reader) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in reader.ask("regimes"):
        found.setdefault(row["window_set"], []).append(row["decision_date"])
    return found


def battles_section(reader: Reader, section: Section) -> None:
    """Fill the section on who won each cluster, against whom and by how much."""
    engines = _find_plain(reader, section, "fights no battles")
    scored = reader.ask("scored", required=False)
    _find_each_engine(section, engines, scored, "selection.alpha_scores")
    for row in scored:
        section.find(
            OK,
            f"{row['selection_engine']}: {row['score_count']:,} scores of {row['atom_count']} atoms, median"
            f" {readable(row['median'], 'plain')}, from {readable(row['least'], 'plain')} to"
            f" {readable(row['most'], 'plain')}.",
        )
    rows = reader.ask("battles", required=False)
    if not rows:
        if engines:
            section.find(WARN, "No candidate lost a battle: every cluster had room for all of its members.")
        return
    margins = [row["margin"] for row in rows if row["margin"] is not None]
    against = sum(margin < 0 for margin in margins)
    section.find(
        WARN if against else OK,
        f"Battles, the closest loser of each cluster and direction: {len(rows):,}; won against a higher"
        f" score: {against}.",
    )
    labels = _label_of(rows)
    figures = {}
    for key, label in labels.items():
        own = [
            row
            for row in rows
            if (row["selection_engine"], row["window_set"]) == key and row["relative_margin"] is not None
        ]
        figures[label] = {
            "data": [
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": "margin",
                    "x": [row["decision_date"].isoformat() for row in own],
                    "y": [row["relative_margin"] for row in own],
                    "text": [f"{row['winner']} over {row['runner_up']}, cluster {row['cluster_id']}" for row in own],
                    "marker": {"size": 7, "opacity": 0.75, "line": {"width": 0}},
                    "meta": {"color": "series-1"},
                    "hovertemplate": "%{x|%Y-%m-%d}<br>%{text}<br>by %{y:.1%}<extra></extra>",
                }
            ],
            "layout": {
                "hovermode": "closest",
                "showlegend": False,
                "xaxis": {"type": "date"},
                "yaxis": {
                    "tickformat": ".0%",
                    "rangemode": "tozero",
                    "title": {"text": "share of the winner's score"},
                },
            },
        }
    section.blocks.append(
        Chart(
            id="battles",
            label="Margin of the winner over the closest loser",
            figures=figures,
            first=next(iter(figures)),
            labels={label: label for label in figures},
            choice="Selection",
            height=320,
            caption="One mark for each cluster and direction with a loser. Near zero the choice hung by a thread.",
        )
    )
    newest = max(row["window_index"] for row in rows)
    fields = [
        words("Selection", "selection_engine"),
        words("Decision", "decision_date"),
        count("Cluster", "cluster_id"),
        words("Winner", "winner"),
        words("Runner-up", "runner_up"),
        figure("Score of the winner", "winner_score", "plain"),
        figure("of the runner-up", "runner_up_score", "plain"),
        figure("Margin", "margin", "plain", reason="one of them has no score"),
        figure("of the winner's", "relative_margin", "percent", reason="one of them has no score"),
    ]
    section.blocks.append(
        table(
            "battles",
            [row for row in rows if row["window_index"] == newest],
            fields,
            caption="The battles of the newest decision that had any.",
            is_sortable=True,
        )
    )
    closest = sorted(
        (row for row in rows if row["relative_margin"] is not None),
        key=lambda row: (row["relative_margin"], row["decision_date"]),
    )
    section.blocks.append(
        table("closest", closest[:CLOSEST], fields, caption=f"The {CLOSEST} closest of all windows.", is_sortable=True)
    )


def overlap_section(reader: Reader, section: Section) -> None:
    """Fill the section on how much of the winners stays from one decision to the next."""
    rows = reader.ask("winner_overlap")
    labels = _label_of(rows)
    figures = {}
    summary = []
    for key, label in labels.items():
        own = [row for row in rows if (row["selection_engine"], row["window_set"]) == key]
        measured = [row["jaccard"] for row in own if row["jaccard"] is not None]
        if not measured:
            section.find(NA, f"{label} has fewer than two windows with winners, too few for an overlap.")
            continue
        summary.append(
            {
                "label": label,
                "mean": sum(measured) / len(measured),
                "least": min(measured),
                "came": sum(row["came_count"] for row in own[1:]) / max(1, len(own) - 1),
                "winners": sum(row["winner_count"] for row in own) / len(own),
                "window_count": len(own),
            }
        )
        figures[label] = charts.lines_figure(
            own,
            "decision_date",
            [("jaccard", "overlap with the window before", "series-1")],
            title="Jaccard index",
            tick_format=".0%",
            is_zero_based=True,
        )
    if not figures:
        return
    for row in summary:
        section.find(
            OK,
            f"{row['label']}: mean overlap {readable(row['mean'], 'percent')}, least"
            f" {readable(row['least'], 'percent')}.",
        )
    section.blocks.append(
        Chart(
            id="overlap",
            label="Winners kept from one decision to the next",
            figures=figures,
            first=next(iter(figures)),
            labels={label: label for label in figures},
            choice="Selection",
            height=280,
            caption="Symbols with their direction that are in both books, over those that are in either.",
        )
    )
    section.blocks.append(
        table(
            "overlap",
            summary,
            [
                words("Selection", "label"),
                figure("Mean overlap", "mean", "percent"),
                figure("Least", "least", "percent"),
                figure("New winners a window", "came", "tenth"),
                figure("Winners a window", "winners", "tenth"),
                count("Windows", "window_count"),
            ],
        )
    )


def regimes_section(reader: Reader, section: Section) -> None:
    """Fill the section on the regime of each decision, and on the measured regime between decisions."""
    rows = reader.ask("regimes")
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        counts[row["window_set"], row["regime"]] = counts.get((row["window_set"], row["regime"]), 0) + 1
    declared = {row["regime_basis"] for row in rows} == {"declared"}
    named = "; ".join(f"{regime} {number_of}" for (_, regime), number_of in counts.items())
    section.find(
        NA if declared else OK,
        f"Windows by regime: {named}."
        + (" The regime is declared by the profile; nothing was measured for the decisions." if declared else ""),
    )
    measured = [row for row in rows if row["regime_score"] is not None]
    if measured:
        colors = {
            name: color for name, color in REGIME_COLORS.items() if any(row["regime"] == name for row in measured)
        }
        figures = {}
        for window_set in dict.fromkeys(row["window_set"] for row in measured):
            own = [row for row in measured if row["window_set"] == window_set]
            bars = [
                (name, color, [row["regime_score"] if row["regime"] == name else None for row in own])
                for name, color in colors.items()
            ]
            figures[window_set] = charts.bars_figure(
                [row["decision_date"] for row in own],
                bars,
                title="regime score",
                tick_format=".2f",
                is_date=True,
                is_stacked=True,
            )
        section.blocks.append(
            Chart(
                id="regimes",
                label="Regime score at each decision",
                figures=figures,
                first=next(iter(figures)),
                labels={name: name for name in figures},
                choice="Windows",
                height=300,
            )
        )
    section.blocks.append(
        table(
            "regimes",
            [{"window_set": key[0], "regime": key[1], "window_count": value} for key, value in counts.items()],
            [words("Windows", "window_set"), words("Regime", "regime"), count("Decisions", "window_count")],
        )
    )
    daily = reader.ask("market_regimes", required=False)
    if not daily:
        section.find(NA, "No regime was measured in the span of the run for the asset classes of its candidates.")
        return
    figures = {}
    for asset_class in dict.fromkeys(row["asset_class"] for row in daily):
        own = [row for row in daily if row["asset_class"] == asset_class]
        figures[asset_class] = charts.lines_figure(
            own, "session_date", [("score", "regime score", "series-4")], title="regime score", tick_format=".2f"
        )
    section.blocks.append(
        Chart(
            id="market-regimes",
            label="Measured regime score of each session",
            figures=figures,
            first=next(iter(figures)),
            labels={name: name for name in figures},
            choice="Asset class",
            height=280,
            caption="As the market was measured, whether or not the decisions used it.",
        )
    )


def warnings_section(reader: Reader, section: Section) -> None:
    """Fill the section with what selection could not check or had to assume."""
    rows = reader.ask("warnings", required=False)
    if not rows:
        section.find(OK, "Selection recorded no warnings.")
        return
    section.find(
        WARN,
        f"Warnings: {sum(row['warning_count'] for row in rows):,} under {len({row['code'] for row in rows})} codes.",
    )
    section.blocks.append(
        table(
            "selection-warnings",
            rows,
            [
                words("Selection", "selection_engine"),
                words("Code", "code"),
                count("Warnings", "warning_count"),
                count("Windows", "window_count"),
                words("For example", "example", tone=lambda row: "wide"),
            ],
            is_sortable=True,
        )
    )
