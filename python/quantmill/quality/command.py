"""The quality suites on demand: judged over the workbench, read-only, and printed as a table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from quantmill.errors import HealthGateError, WarehouseError
from quantmill.listing import markdown
from quantmill.manifest.compose import resolve
from quantmill.manifest.home import Home, writer_lock
from quantmill.quality.gate import SHOWN, refusal
from quantmill.snapshot import read_snapshot, rows

FAILING = ("symbol", "session_date", "expected", "detail")
COLUMNS = ("suite", "expectation", "status", "severity", "unexpected_count", "judged_count", "expected")


def run_quality(home: Home, profile: str, *, overrides: Mapping[str, Any], say: Any = print) -> None:
    """Judge what `profile` reads in the workbench as it is, unless that was done before, and print every rule.

    Nothing is written but the Data Docs: the next build judges again and keeps the rows. Raises `HealthGateError` with
    the offenders where the gate would stop a run, `WarehouseError` where there is nothing to judge.
    """
    settings = resolve(home.manifest, profile, overrides=overrides, environment=os.environ).settings
    if not home.workbench.is_file():
        raise WarehouseError(f"{home.workbench} is not there: nothing was landed yet", remedy="run 'make run'")
    import duckdb

    from quantmill.stages.gating import find_judgement, judge_now, newest_snapshot, result_rows

    with writer_lock(home, holder="quantmill quality", say=say):
        try:
            with duckdb.connect(str(home.workbench), read_only=True) as connection:
                judgement = find_judgement(connection, home, settings)
                if judgement.is_known:
                    results, failures = _recorded(connection, judgement.id)
                    say(f"judged before, at {results[0]['judged_at_utc']} UTC: rules and rows have not changed")
                else:
                    say(
                        f"judging {len(judgement.rules)} rules over {len(judgement.subject.symbols)} symbols",
                        flush=True,
                    )
                    outcomes = judge_now(connection, home, judgement)
                    results = result_rows(judgement, outcomes, newest_snapshot(connection)).to_pylist()
                    failures = [
                        {"suite": row["suite"], "expectation": row["expectation"], **one}
                        for row in results
                        for one in row["failures"]
                    ]
        except duckdb.CatalogException as error:
            raise WarehouseError(
                f"the workbench has nothing to judge: {str(error).splitlines()[0]}",
                remedy="build the data cycle first: dbt build --selector data_cycle",
            ) from None
        except duckdb.IOException as error:
            raise WarehouseError(
                f"the workbench {home.workbench} does not open: {str(error).splitlines()[0]}",
                remedy="end whatever holds it; if the file is damaged, 'make rebuild' makes it again",
            ) from None
    _print(home, profile, settings.quality.gate, results, failures, say)


def show_last(home: Home, profile: str, *, say: Any = print) -> None:
    """Print the newest judgement of `profile` in the published snapshot.

    Raises `HealthGateError` with the offenders where it stopped the run, `WarehouseError` where there is none.
    """
    with read_snapshot(home) as connection:
        found = rows(
            connection,
            "select judgement_id, gate, judged_at_utc from features.quality_results where profile = ?"
            " order by judged_at_utc desc, judgement_id limit 1",
            [profile],
        )
        if not found:
            raise WarehouseError(
                f"the published snapshot has no judgement of profile '{profile}'",
                remedy=f"run 'make quality PROFILE={profile}', or build the profile",
            )
        results, failures = _recorded(connection, found[0]["judgement_id"])
    say(f"judged at {found[0]['judged_at_utc']} UTC")
    _print(home, profile, found[0]["gate"], results, failures, say)


def _recorded(connection: Any, judgement_id: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the recorded results and failing rows of a judgement."""
    chosen = "where judgement_id = ? order by suite, expectation"
    return (
        rows(connection, f"select * from features.quality_results {chosen}", [judgement_id]),
        rows(connection, f"select * from features.quality_failures {chosen}, rank", [judgement_id]),
    )


def _print(
    home: Home,
    profile: str,
    gate: str,
    results: list[dict[str, Any]],
    failures: list[dict[str, Any]],
    say: Any,
) -> None:
    say(markdown(list(COLUMNS), [[row[name] for name in COLUMNS] for row in results]))
    index = home.quality / "index.html"
    if index.is_file():
        say(f"Data Docs: {index}")
    refused = refusal(profile, gate, results, failures)
    if refused:
        raise HealthGateError(refused)
    # what stops nothing is told here: the refusal above names only what does
    for row in results:
        if row["status"] == "fail":
            own = [one for one in failures if (one["suite"], one["expectation"]) == (row["suite"], row["expectation"])]
            rule = f"{row['suite']}.{row['expectation']} ({row['severity']})"
            say(f"\n{rule}: {row['unexpected_count']:,} rows; {row['remedy']}")
            shown = [[one[name] for name in FAILING] for one in own[:SHOWN]]
            say(markdown(list(FAILING), shown))
    unmet = sum(not row["is_success"] for row in results)
    say(f"{len(results)} rules, {unmet} do not hold; the gate {gate} lets profile {profile} pass")
