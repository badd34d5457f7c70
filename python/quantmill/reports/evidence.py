"""The sections that show what the numbers rest on: data, selection, solver, ledger, settings."""

from __future__ import annotations

from quantmill.reports.formats import text
from quantmill.reports.page import FAIL, OK, WARN, Cell, Column, Facts, Folded, Note, Section
from quantmill.reports.reader import ABSENT_STATUSES, HEALTHY_STATUSES, Reader, by_config
from quantmill.reports.tables import Field, Row, count, figure, table, words

GOOD_LOADS = ("OK", "UP_TO_DATE", "OK_EMPTY", "DUPLICATE")


def health_section(reader: Reader, section: Section) -> None:
    """Fill the section on the data: verdicts at the as-of date, late revisions, spikes, loads, quarantine."""
    symbols = reader.ask("health")
    # who was a candidate once may have left its market since: that is no fault of today's data
    current = [row for row in symbols if row["role"] != "former candidate"]
    bad = [row for row in current if row["verdict"] != "OK"]
    section.find_each((WARN, f"{row['verdict']} at the as-of date", row["symbol"]) for row in bad)
    section.find(
        WARN if bad else OK,
        f"OK at the as-of date: {len(current) - len(bad)} of {len(current)} symbols.",
        guard="Data health",
    )
    gone = [row for row in symbols if row["role"] == "former candidate"]
    if gone:
        section.find(
            OK,
            f"Candidates of earlier decisions that are none at the last: {len(gone)}, of them not OK at the as-of date:"
            f" {sum(row['verdict'] != 'OK' for row in gone)}.",
        )
    bars = sum(row["bar_count"] for row in symbols)
    late = sum(row["late_revision_count"] for row in symbols)
    section.find(
        WARN if late else OK,
        f"Late revisions, received after their session had closed in place of an earlier value: {late:,} of"
        f" {bars:,} accepted bars of the run's span.",
        guard="Late revisions",
    )
    unresolved = sum(row["open_spike_count"] for row in symbols)
    resolved = sum(row["resolved_spike_count"] for row in symbols)
    section.find(
        WARN if unresolved else OK,
        f"Spikes in that span: {unresolved:,} open, {resolved:,} resolved.",
        guard="Spikes",
    )
    section.blocks.append(
        table(
            "health",
            symbols,
            [
                words("Symbol", "symbol"),
                words("Used as", "role"),
                words("Verdict", "verdict", tone=lambda row: "good" if row["verdict"] == "OK" else "warn"),
                count("Expected", "expected_sessions", title="sessions in the window of the verdict"),
                count("Missing", "missing_sessions", title="of the expected sessions"),
                words("Last session", "last_session_date"),
                count("Late revisions", "late_revision_count", title="in the run's span"),
                count("Open spikes", "open_spike_count", title="in the run's span"),
                words("Reasons", "reasons"),
            ],
            is_sortable=True,
            is_tall=True,
        )
    )
    _loads(reader, section)


def _loads(reader: Reader, section: Section) -> None:
    loads = reader.ask("loads")
    unclean = [row for row in loads if row["status"] not in GOOD_LOADS]
    if unclean:
        named = ", ".join(f"{row['load_count']} {row['kind']} {row['status']}" for row in unclean)
        section.find(WARN, f"Loads that did not end well: {named}.")
    quarantine = reader.ask("quarantine", required=False)
    rejected = sum(row["row_count"] for row in quarantine)
    open_count = sum(row["open_count"] for row in quarantine)
    section.find(
        WARN if open_count else OK,
        f"Rows in quarantine: {rejected:,}, of them without a resolution: {open_count:,}.",
    )
    section.blocks.append(
        table(
            "loads",
            loads,
            [
                words("Kind", "kind"),
                words("Source", "source"),
                words("Status", "status", tone=lambda row: "" if row["status"] in GOOD_LOADS else "warn"),
                count("Loads", "load_count"),
                count("Received", "rows_received"),
                count("New", "rows_new"),
                count("Identical", "rows_identical"),
                count("Superseding", "rows_superseding"),
                count("Quarantined", "rows_quarantined"),
                words("Last finished, UTC", "last_finished_at_utc"),
            ],
            caption="All loads of the warehouse, whichever run reads them. Received = new + identical +"
            " superseding + quarantined.",
        )
    )
    if quarantine:
        section.blocks.append(
            table(
                "quarantine",
                quarantine,
                [
                    words("Kind", "kind"),
                    words("Code", "code"),
                    words("Severity", "severity"),
                    count("Rows", "row_count"),
                    count("Open", "open_count"),
                ],
            )
        )


def solver_section(reader: Reader, section: Section) -> None:
    """Fill the section on allocation: statuses, fallbacks, relaxed caps, attempts and events."""
    labels = reader.labels()
    constraints = reader.ask("constraints", required=False)
    relaxed: dict[str, int] = {}
    for row in constraints:
        relaxed[row["config_id"]] = relaxed.get(row["config_id"], 0) + row["relaxed_count"]
    solves = by_config(reader.ask("solves"))
    found, rows = [], []
    for config in reader.configs():
        windows = solves.get(config["config_id"], [])
        found += _solve_findings(labels[config["config_id"]], config, windows)
        total = sum(row["window_count"] for row in windows)
        fallen_back = sum(row["window_count"] for row in windows if row["status"].startswith("fallback"))
        rows.append(
            {
                **config,
                "label": labels[config["config_id"]],
                "windows": ", ".join(f"{row['status']} {row['window_count']}" for row in windows),
                "fallback_share": fallen_back / total if total else None,
                "relaxed_count": relaxed.get(config["config_id"], 0),
            }
        )
    section.find_each(found)
    relaxed_count = sum(relaxed.values())
    section.find(WARN if relaxed_count else OK, f"Caps relaxed: {relaxed_count:,}.", guard="Caps")
    healthy = sum(row["solver_health"] >= reader.setting("allocation.health_min") for row in rows if _is_solved(row))
    solved = sum(_is_solved(row) for row in rows)
    section.find(
        OK if healthy == solved else WARN,
        f"Configurations with a solver health of at least {reader.setting('allocation.health_min'):g}: {healthy} of"
        f" {solved}.",
        guard="Solver",
    )
    events = reader.ask("events", required=False)
    section.find(OK, f"Events of allocation and simulation: {sum(row['event_count'] for row in events):,}.")
    section.blocks.append(
        table(
            "solver",
            rows,
            [
                words("Configuration", "label", tone=lambda row: "quiet" if row["is_baseline"] else ""),
                words("Status", "status", hint="reason"),
                words("Windows by status", "windows"),
                figure("Solver health", "solver_health", "percent", title="share of windows without a fallback"),
                figure("Fallback share", "fallback_share", "percent", reason="no window was solved"),
                count("Caps relaxed", "relaxed_count"),
            ],
            is_sortable=True,
            is_tall=len(rows) > 24,
        )
    )

    def configuration(row: Row) -> Cell:
        return text(labels.get(row["config_id"], row["config_id"]))

    named = Field(Column("Configuration"), configuration)
    section.blocks.append(
        Folded(
            "Constraints: how often each binds and is relaxed",
            table(
                "constraints",
                constraints,
                [
                    named,
                    words("Constraint", "constraint_name"),
                    count("Windows", "window_count"),
                    count("Binding", "binding_count"),
                    count("Relaxed", "relaxed_count", tone=lambda row: "warn" if row["relaxed_count"] else ""),
                    figure("Largest value", "largest_value", "percent"),
                    figure("Largest bound", "largest_bound", "percent"),
                ],
                is_sortable=True,
            ),
        )
    )
    section.blocks.append(
        Folded(
            "Solver attempts by step",
            table(
                "attempts",
                reader.ask("attempts", required=False),
                [
                    named,
                    words("Step", "step"),
                    words("Solver", "solver"),
                    words("Status", "status", hint="example_reason"),
                    count("Attempts", "attempt_count"),
                    figure(
                        "Largest condition number",
                        "largest_condition_number",
                        "tenth",
                        reason="nothing was estimated",
                    ),
                ],
                is_sortable=True,
            ),
        )
    )
    if events:
        section.blocks.append(
            table(
                "events",
                events,
                [
                    words("Stage", "stage"),
                    named,
                    words("Severity", "severity"),
                    words("Code", "code"),
                    count("Events", "event_count"),
                    words("For example", "example"),
                ],
                is_sortable=True,
            )
        )


def _is_solved(row: Row) -> bool:
    return row["solver_health"] is not None and not row["is_baseline"]


def _solve_findings(label: str, config: Row, windows: list[Row]) -> list[tuple[str, str, str]]:
    """Return what of a configuration did not go as planned, as status, what, and whose."""
    is_absent = config["status"] in ABSENT_STATUSES
    found = []
    if config["status"] not in HEALTHY_STATUSES:
        found.append((OK if is_absent else WARN, f"{config['status']}, {config['reason']}", label))
    if not windows and not is_absent:
        found.append((WARN, "no solved window", label))
    total = sum(row["window_count"] for row in windows)
    for row in windows:
        if row["status"] not in HEALTHY_STATUSES:
            reason = row["example_reason"] or "no reason given"
            found.append(
                (
                    WARN,
                    f"{row['status']} in {row['window_count']} of {total} windows, example {reason}",
                    label,
                )
            )
    return found


def ledger_section(reader: Reader, section: Section) -> None:
    """Fill the section on the ledger: its head, its links, its records by step, how to verify it."""
    run = reader.run()
    records = reader.ask("ledger")
    chain = reader.ask("chain")[0]
    if chain["head_hash"] == run["chain_head"]:
        section.find(OK, "The last record is the head that the sealed run names.", guard="Ledger chain")
    else:
        section.find(
            FAIL,
            f"The last record is {chain['head_hash']}, the run names {run['chain_head']}.",
            guard="Ledger chain",
        )
    broken, misnumbered = chain["broken_link_count"], chain["misnumbered_count"]
    section.find(
        FAIL if broken or misnumbered else OK,
        f"Records: {chain['record_count']:,}; broken links: {broken}; numbers out of place: {misnumbered}.",
        guard="Ledger chain",
    )
    section.find(
        OK if chain["intent_count"] == chain["outcome_count"] else WARN,
        f"Intents: {chain['intent_count']:,}; outcomes: {chain['outcome_count']:,}; the chain ends with"
        f" {chain['last_action']}.",
    )
    errors = sum(row["record_count"] for row in records if row["status"] == "error")
    if errors:
        section.find(WARN, f"Outcomes with the status error: {errors:,}.")
    first, last = chain["first_recorded_at_utc"], chain["last_recorded_at_utc"]
    section.blocks.append(
        Facts(
            [
                ("Head", Cell(chain["head_hash"], title=chain["head_hash"], tone="mono")),
                ("File", Cell(f"runs/{run['run_id']}/audit.jsonl", tone="mono")),
                ("Records", text(chain["record_count"])),
                ("Written, UTC", Cell(f"{first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S}")),
            ]
        )
    )
    section.blocks.append(
        table(
            "ledger",
            records,
            [
                words("Step", "step"),
                words("Action", "action"),
                words("Status", "status", tone=lambda row: "warn" if row["status"] == "error" else ""),
                count("Records", "record_count"),
            ],
        )
    )
    section.blocks.append(
        Note(
            f"python -m quantmill ledger-verify {run['run_id']}",
            tone="code",
            lead="This page compares links and numbers. The hashes of records, tables and file are computed again by",
        )
    )


def settings_section(reader: Reader, section: Section) -> None:
    """Fill the section on settings: every key, its value, the layer it came from."""
    settings = reader.ask("settings")
    layers: dict[str, int] = {}
    for row in settings:
        layers[row["source_layer"]] = layers.get(row["source_layer"], 0) + 1
    counted = ", ".join(f"{number_of} from {layer}" for layer, number_of in sorted(layers.items()))
    section.find(OK, f"{len(settings)} settings: {counted}.")
    section.blocks.append(
        Folded(
            "All settings and the layer each came from",
            table(
                "settings",
                settings,
                [
                    words("Setting", "key", tone=lambda row: "mono"),
                    words("Value", "value", tone=lambda row: "mono"),
                    words("From", "source_layer"),
                ],
                is_sortable=True,
            ),
        )
    )
