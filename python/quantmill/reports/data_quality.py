"""The sections on the quality of the data: rules, failing rows, coverage, gaps and spikes."""

from __future__ import annotations

from typing import Any

from quantmill.reports import charts
from quantmill.reports.formats import text
from quantmill.reports.page import FAIL, OK, WARN, Chart, Column, Section
from quantmill.reports.reader import Reader
from quantmill.reports.tables import Field, Row, count, figure, table, words


def rules_section(reader: Reader, section: Section) -> None:
    """Fill the section with the newest judgement of each rule, and how it fared before."""
    rows = reader.ask("quality", required=False)
    if not rows:
        gate = reader.settings().get("quality.gate")
        section.find(
            FAIL,
            f"No rule was judged for the profile of this run; its setting quality.gate is {gate}.",
            guard="Quality rules",
        )
        return
    failed = [row for row in rows if not row["is_success"]]
    section.find_each(
        (WARN, f"fails with {row['unexpected_count'] or 0:,} rows", f"{row['suite']} {row['expectation']}")
        for row in failed
    )
    section.find(
        WARN if failed else OK,
        f"Rules that hold: {len(rows) - len(failed)} of {len(rows)}, as judged last on"
        f" {max(row['judged_at_utc'] for row in rows):%Y-%m-%d %H:%M} UTC.",
        guard="Quality rules",
    )
    fields = [
        words("Suite", "suite"),
        words("Rule", "expectation", tone=lambda row: "wide"),
        Field(
            Column("Outcome"),
            lambda row: text("holds" if row["is_success"] else "fails", tone="good" if row["is_success"] else "fail"),
        ),
        words("Observed", "observed_value", tone=lambda row: "wide" if row["observed_value"] else ""),
        count("Failing rows", "unexpected_count", tone=lambda row: "warn" if row["unexpected_count"] else ""),
        count("Judged", "times_judged", title="times, over all snapshots of this profile"),
        count("Failed before", "times_failed", title="times, this one included"),
        words("Judged last, UTC", "judged_at_utc"),
    ]
    if "severity" in rows[0]:
        fields.insert(2, words("Severity", "severity"))
    section.blocks.append(table("rules", rows, fields, is_sortable=True, is_tall=len(rows) > 20))
    history = reader.ask("quality_history")
    times = list(dict.fromkeys(row["judged_at_utc"] for row in history))
    names = list(dict.fromkeys(f"{row['suite']} · {row['expectation']}" for row in rows))
    found = {(f"{row['suite']} · {row['expectation']}", row["judged_at_utc"]): row for row in history}
    lines = [[found.get((name, time)) for time in times] for name in names]
    values = [[None if row is None else 1.0 if row["is_success"] else 0.0 for row in line] for line in lines]
    texts = [
        [
            "" if row is None else "holds" if row["is_success"] else f"{row['unexpected_count'] or 0:,} rows"
            for row in line
        ]
        for line in lines
    ]
    section.blocks.append(
        Chart(
            id="rules",
            label="Rules over judgements",
            figures={
                "all": charts.map_figure(
                    [f"{time:%Y-%m-%d %H:%M:%S}" for time in times],
                    names,
                    values,
                    texts,
                    scale="complete",
                    bounds=(0.0, 1.0),
                    has_text=len(times) <= 6,
                )
            },
            first="all",
            height=70 + 24 * len(names),
            caption="One column for each judgement, the newest on the right; green holds, red fails. Data that was"
            " judged under the same rules is not judged again.",
        )
    )


def failures_section(reader: Reader, section: Section) -> None:
    """Fill the section with the rows that fail a rule in its newest judgement."""
    judged = reader.ask("quality", required=False)
    rows = reader.ask("quality_failures", required=False)
    if not judged:
        section.find(FAIL, "No rule was judged, so no row could fail.")
        return
    if not rows:
        section.find(OK, "No row fails a rule in its newest judgement.")
        return
    section.find(
        WARN, f"Rows kept of those that fail: {len(rows):,}, of {len({row['symbol'] for row in rows})} symbols."
    )
    section.blocks.append(
        table(
            "failures",
            rows,
            [
                words("Suite", "suite"),
                words("Rule", "expectation"),
                words("Symbol", "symbol"),
                words("Session", "session_date"),
                words("Detail", "detail", tone=lambda row: "wide"),
                words("Snapshot", "snapshot_id"),
            ],
            is_sortable=True,
            is_tall=len(rows) > 16,
            caption="At most 200 are shown; all that are kept stand in features.quality_failures.",
        )
    )


def coverage_section(reader: Reader, section: Section) -> None:
    """Fill the section with the share of expected sessions that have a bar, by symbol and month."""
    rows = reader.ask("coverage")
    symbols = list(dict.fromkeys(row["symbol"] for row in rows))
    months = sorted({row["month"] for row in rows})
    found: dict[tuple[str, Any], Row] = {(row["symbol"], row["month"]): row for row in rows}
    expected = sum(row["expected_count"] for row in rows)
    missing = expected - sum(row["bar_count"] for row in rows)
    section.find(
        WARN if missing else OK,
        f"Bars: {expected - missing:,} of {expected:,} that the calendar expects of {len(symbols)} symbols over"
        f" {len(months)} months.",
    )
    late = [symbol for symbol in symbols if found[symbol, months[0]]["bar_count"] == 0]
    if late:
        shown = ", ".join(late[:6]) + (f" and {len(late) - 6} more" if len(late) > 6 else "")
        section.find(OK, f"Without a bar in the first month, so listed or landed later: {shown}.")
    values = [[found[symbol, month]["coverage"] for month in months] for symbol in symbols]
    texts = [
        [f"{found[symbol, month]['bar_count']} of {found[symbol, month]['expected_count']}" for month in months]
        for symbol in symbols
    ]
    chart = charts.map_figure(
        [month.isoformat() for month in months],
        symbols,
        values,
        texts,
        scale="complete",
        bounds=(0.0, 1.0),
        has_text=False,
    )
    years = {"tickformat": "%Y", "dtick": "M12"} if len(months) > 24 else {"tickformat": "%b\n%Y", "dtick": "M1"}
    chart["layout"]["xaxis"] = {"type": "date", **years}
    chart["data"][0].update(xgap=1, ygap=1, hovertemplate="%{y}<br>%{x|%b %Y}: %{text} sessions<extra></extra>")
    section.blocks.append(
        Chart(
            id="coverage",
            label="Bars of each month, as a share of its sessions",
            figures={"all": chart},
            first="all",
            height=70 + 18 * len(symbols),
            caption="Green is complete, red is empty.",
        )
    )


def gaps_section(reader: Reader, section: Section) -> None:
    """Fill the section with missing sessions and suspicious jumps of the run's span."""
    gaps = reader.ask("gaps", required=False)
    spikes = reader.ask("spikes", required=False)
    unexcused = sum(row["unexcused_count"] for row in gaps)
    section.find(
        WARN if unexcused else OK,
        f"Missing sessions: {sum(row['session_count'] for row in gaps):,}, of them not excused: {unexcused:,}.",
    )
    still_open = sum(not row["is_resolved"] for row in spikes)
    section.find(WARN if still_open else OK, f"Spikes: {len(spikes):,}, of them open: {still_open:,}.")
    if gaps:
        section.blocks.append(
            table(
                "gaps",
                gaps,
                [
                    words("Symbol", "symbol"),
                    count("Missing sessions", "session_count"),
                    count("Not excused", "unexcused_count", tone=lambda row: "warn" if row["unexcused_count"] else ""),
                    count("Longest run", "longest_run"),
                    words("First", "first_date"),
                    words("Last", "last_date"),
                ],
                is_sortable=True,
                is_tall=len(gaps) > 16,
            )
        )
    if spikes:
        section.blocks.append(
            table(
                "spikes",
                spikes,
                [
                    words("Symbol", "symbol"),
                    words("Session", "session_date"),
                    words("Code", "code"),
                    figure("Value", "value", "plain"),
                    words("Donor", "donor_symbol"),
                    Field(
                        Column("Resolved"),
                        lambda row: text(
                            "yes" if row["is_resolved"] else "open", tone="" if row["is_resolved"] else "warn"
                        ),
                    ),
                    words("Resolution", "resolution"),
                ],
                is_sortable=True,
                is_tall=len(spikes) > 16,
                caption="At most 200 are shown, the open ones first.",
            )
        )
