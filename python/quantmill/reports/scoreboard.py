"""The sections on the gates: who passes, what vetoes, by how much."""

from __future__ import annotations

from quantmill.reports import charts
from quantmill.reports.formats import number, readable, text
from quantmill.reports.page import FAIL, NA, OK, WARN, Cell, Chart, Column, Section
from quantmill.reports.reader import Reader
from quantmill.reports.tables import Field, Row, count, figure, table, words

PASSED, FAILED, UNJUDGED = 1.0, -1.0, 0.0
# What fits into a place of the map where there is no value.
SHORT_STATUS = {"insufficient": "few", "undefined": "undef."}


def scoreboard_section(reader: Reader, section: Section) -> None:
    """Fill the section with every cell under costs: its rank, and what stands against it."""
    labels = reader.labels()
    rows = [row for row in reader.ask("scoreboard") if row["cost_model"] != "gross"]
    if not rows:
        section.find(FAIL, "The scoreboard has no cell under costs.")
        return
    tier = rows[0]["tier"]
    candidates = sum(row["is_strict_candidate"] for row in rows)
    own = [row for row in rows if not row["is_baseline"]]
    vetoed = sum(bool(row["veto_reasons"]) for row in own)
    # a tier without candidates keeps nobody out, so it can neither hold nor fail
    status = NA if tier == "smoke" else OK if candidates else WARN
    section.find(
        status,
        f"Tier {tier}: {candidates} of {len(own)} cells are candidates, {vetoed} are vetoed by a gate."
        + (" Under the tier smoke gates are shown, and nothing is a candidate." if tier == "smoke" else ""),
        guard="Gates",
    )
    headline = reader.headline()["config_id"]
    stated = [row for row in rows if row["config_id"] == headline and row["veto_reasons"]]
    section.find_each(
        (WARN, f"The headline, {labels[headline]}, is vetoed by", f"{row['veto_reasons']}") for row in stated
    )
    promotable = sum(row["is_promotable"] for row in rows)
    blockers = sorted({row["promotion_blockers"] for row in own if row["promotion_blockers"]})
    section.find(
        OK, f"Promotable: {promotable}." + (f" In the way stands: {'; '.join(blockers[:3])}." if blockers else "")
    )
    section.find_each(
        (WARN, row["warnings"], labels.get(row["config_id"], row["cell_id"])) for row in rows if row["warnings"]
    )

    def name(row: Row) -> Cell:
        label = labels.get(row["config_id"], row["cell_id"])
        return text(label, tone="quiet" if row["is_baseline"] else "")

    def original(row: Row) -> Cell:
        return text(labels.get(row["duplicate_of"], row["duplicate_of"]))

    many = len({row["cost_model"] for row in rows}) > 1
    fields = [
        Field(Column("Configuration"), name),
        count("Rank", "rank"),
        figure("Sharpe", "sharpe", "ratio", reason="not defined for this cell"),
        figure("CAGR", "cagr", "percent", reason="not defined for this cell"),
        figure("Max drawdown", "max_drawdown", "percent", reason="not defined for this cell"),
        figure("Turnover p.a.", "ann_turnover", "percent", reason="not defined for this cell"),
        words("Vetoed by", "veto_reasons", tone=lambda row: "wide" if row["veto_reasons"] else ""),
        words("Missing", "missing_inputs", tone=lambda row: "wide" if row["missing_inputs"] else ""),
        words("Not ranked for", "unranked_reason"),
        *([Field(Column("Same returns as"), original)] if any(row["duplicate_of"] for row in rows) else []),
        words("No candidate for", "not_candidate_reason"),
    ]
    if many:
        fields.insert(1, words("Costs", "cost_model"))
    section.blocks.append(
        table(
            "scoreboard",
            rows,
            fields,
            is_sortable=True,
            is_tall=len(rows) > 24,
            caption="The zero-cost twins are judged too and are left out here. Ranks are by net Sharpe within the"
            " window set, and configurations of nearly the same returns count once; baselines are"
            " gated and never ranked.",
        )
    )


def gates_section(reader: Reader, section: Section) -> None:
    """Fill the section with cell by gate and how often each gate vetoes, alone or not."""
    labels = reader.labels()
    drawn = reader.drawn_cells()
    gates: dict[str, int] = {}
    found: dict[tuple[str, str], Row] = {}
    for row in reader.ask("gates"):
        gates[row["gate"]] = row["position"]
        found[row["cell_id"], row["gate"]] = row
    names = sorted(gates, key=gates.__getitem__)
    shown = [config_id for config_id in reader.styles() if config_id in drawn]
    values: list[list[float | None]] = []
    texts: list[list[str]] = []
    for config_id in shown:
        line = [found.get((drawn[config_id]["cell_id"], gate)) for gate in names]
        values.append([None if row is None or row["status"] == "not_applicable" else _verdict(row) for row in line])
        texts.append([_word(row) for row in line])
    counts = reader.ask("gate_counts")
    passed = sum(row["passed_count"] for row in counts)
    failed = sum(row["failed_count"] for row in counts)
    unjudged = sum(row["unjudged_count"] for row in counts)
    section.find(
        OK if not failed else WARN,
        f"{len(names)} gates over cells under costs: passed {passed:,}, failed {failed:,}, without a"
        f" verdict {unjudged:,}.",
    )
    headline = drawn.get(reader.headline()["config_id"])
    for gate in names:
        own = found.get((headline["cell_id"], gate)) if headline else None
        if own is not None and own["is_passed"] is False and not own["is_informational"]:
            measured = [own["value"], own["limit_value"]]
            if None in measured:
                why = f"{own['status']}, {own['reason'] or 'nothing was measured'}"
            else:
                why = " where the limit is ".join(readable(value, "plain") for value in measured)
            section.find(WARN, f"The headline fails {gate}: {why}.", guard="Gates")
    section.blocks.append(
        Chart(
            id="gates",
            label="Cells by gate, net of costs",
            figures={
                "all": charts.map_figure(
                    names,
                    [labels[config_id] for config_id in shown],
                    values,
                    texts,
                    scale="good",
                    bounds=(FAILED, PASSED),
                )
            },
            first="all",
            height=150 + 24 * len(shown),
            caption="Blue passes, red fails, pale has no verdict because an input is absent, or is informational and"
            " would fail; empty does not apply. The"
            " number is what the gate measured; few and undef. stand for insufficient and undefined inputs.",
        )
    )
    section.blocks.append(
        table(
            "gate-counts",
            counts,
            [
                words("Gate", "gate"),
                count("Passed", "passed_count"),
                count("Failed", "failed_count", tone=lambda row: "warn" if row["failed_count"] else ""),
                count("No verdict", "unjudged_count"),
                count("Vetoes", "veto_count"),
                count("Alone", "alone_count", title="cells that no other gate stands against"),
                figure("Least margin", "least_margin", "ratio", reason="never judged"),
                figure("Median margin", "median_margin", "ratio", reason="never judged"),
            ],
            is_sortable=True,
            caption="Over cells with costs that are no baselines. A margin is the distance to the limit, negative on"
            " the failing side.",
        )
    )
    judged = [
        {**found[key], "label": labels[config_id]}
        for config_id in shown
        for gate in names
        if (key := (drawn[config_id]["cell_id"], gate)) in found and found[key]["status"] != "not_applicable"
    ]
    section.blocks.append(
        table(
            "gate-rows",
            judged,
            [
                words("Configuration", "label"),
                words("Gate", "gate"),
                Field(Column("Verdict"), lambda row: text(_passed(row), tone=_tone(row))),
                Field(
                    Column("Value", is_number=True),
                    lambda row: number(row["value"], "plain", reason=row["reason"] or ""),
                ),
                Field(
                    Column("Limit", is_number=True), lambda row: number(row["limit_value"], "plain", reason="no limit")
                ),
                Field(
                    Column("Margin", is_number=True), lambda row: number(row["margin"], "plain", reason="no verdict")
                ),
                words("Status", "status"),
                words("Reason", "reason", tone=lambda row: "wide" if row["reason"] else ""),
            ],
            is_sortable=True,
            is_tall=True,
        )
    )


def _verdict(row: Row) -> float:
    if row["is_passed"] is None or (not row["is_passed"] and row["is_informational"]):
        return UNJUDGED
    return PASSED if row["is_passed"] else FAILED


def _passed(row: Row) -> str:
    if row["is_passed"] is None:
        return "none"
    return "passed" if row["is_passed"] else "above, informational" if row["is_informational"] else "failed"


def _tone(row: Row) -> str:
    return "missing" if _verdict(row) == UNJUDGED else "good" if row["is_passed"] else "fail"


def _word(row: Row | None) -> str:
    if row is None or row["status"] == "not_applicable":
        return ""
    return (
        readable(row["value"], "ratio")
        if row["value"] is not None
        else SHORT_STATUS.get(str(row["status"]), str(row["status"]))
    )
