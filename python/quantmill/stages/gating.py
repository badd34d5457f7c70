"""The quality gate as a stage: judge what a profile reads once, and let its run begin or not."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantmill.errors import HealthGateError
from quantmill.manifest.compose import resolve, settings_from_rows
from quantmill.manifest.home import Home, current_home
from quantmill.manifest.settings import Settings
from quantmill.quality.gate import is_stopping, refusal
from quantmill.quality.rules import Rule, load_rules
from quantmill.quality.subjects import Subject, content_of, judgement_id, scanned_symbols, subject_of
from quantmill.stages.context import now

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from quantmill.quality.runner import Outcome


@dataclass(frozen=True)
class Judgement:
    """What is to be judged, under its id, with the rows of each relation; `is_known` where it was judged before."""

    id: str
    subject: Subject
    rules: tuple[Rule, ...]
    counts: dict[str, int]
    content_digest: str
    is_known: bool


def find_judgement(connection: duckdb.DuckDBPyConnection, home: Home, settings: Settings) -> Judgement:
    """Return the judgement that settings, rules and the rows of the features amount to; nothing is judged.

    It is known where `features.quality_results` has every rule of it, none of them with status error.
    """
    from quantmill.stages.opening import sha256

    rules = load_rules(home.manifest)
    subject = subject_of(settings, scanned_symbols(connection, settings)).looked_up(connection)
    content = content_of(connection, subject, {name for rule in rules for name in (*rule.reads, rule.relation)})
    identity = judgement_id(subject, rules, content)
    judged = 0
    if has_results(connection):
        judged = connection.execute(
            "select count(*) from features.quality_results where judgement_id = ? and status <> 'error'", [identity]
        ).fetchall()[0][0]
    return Judgement(
        id=identity,
        subject=subject,
        rules=rules,
        counts={name: count for name, (count, _) in content.items()},
        content_digest=sha256({name: list(found) for name, found in content.items()}),
        is_known=judged == len(rules),
    )


def has_results(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether the history of judgements is there; before the first build it is not."""
    return bool(
        connection.execute(
            "select 1 from information_schema.tables where table_schema = 'features' and table_name = 'quality_results'"
        ).fetchall()
    )


def judge_quality(session: Any, *, judged: Sequence[Any], profile: str, overrides: str) -> pa.Table:
    """Judge what `profile` reads over dbt's own connection and return one row per rule, failing rows inside.

    `overrides` is the dbt variable `set` as JSON; `judged` are the relations that rules may read, which only have to be
    built before. Judged before under the same rules, content and strictness: no row,
    and Great Expectations is not imported. Data Docs are written into the folder `quality` of the home.
    """
    home = current_home()
    settings = resolve(home.manifest, profile, overrides=json.loads(overrides or "{}"), environment=os.environ).settings
    judgement = find_judgement(session, home, settings)
    if judgement.is_known:
        return result_rows(judgement, [], None)
    return result_rows(judgement, judge_now(session, home, judgement), newest_snapshot(session))


def judge_now(connection: duckdb.DuckDBPyConnection, home: Home, judgement: Judgement) -> list[Outcome]:
    """Return the outcome of every rule, judged over `connection` whether known or not."""
    from quantmill.quality.runner import judge

    return judge(connection, judgement.subject, judgement.rules, judgement.counts, folder=home.quality)


def newest_snapshot(connection: duckdb.DuckDBPyConnection) -> str | None:
    """Return the id of the newest landed snapshot, or None without one."""
    found = connection.execute(
        "select arg_max(snapshot_id, (created_at_utc, snapshot_id)) from ops.snapshots"
    ).fetchall()
    return found[0][0] if found else None


def result_rows(judgement: Judgement, outcomes: Sequence[Outcome], snapshot_id: str | None) -> pa.Table:
    """Return outcomes as rows of `work.calc_quality`: the columns of `features.quality_results`, and `failures`."""
    import pyarrow as pa

    subject = judgement.subject
    is_judged = any(outcome.status != "error" for outcome in outcomes)
    judged_at = now().replace(tzinfo=None)
    failure = pa.struct(
        [
            ("rank", pa.int32()),
            ("symbol", pa.string()),
            ("session_date", pa.date32()),
            ("expected", pa.string()),
            ("detail", pa.string()),
        ]
    )
    schema = pa.schema(
        [
            ("judgement_id", pa.string()),
            ("snapshot_id", pa.string()),
            ("profile", pa.string()),
            ("gate", pa.string()),
            ("as_of_utc", pa.timestamp("us")),
            ("suite", pa.string()),
            ("expectation", pa.string()),
            ("relation", pa.string()),
            ("severity", pa.string()),
            ("expected", pa.string()),
            ("remedy", pa.string()),
            ("status", pa.string()),
            ("is_success", pa.bool_()),
            ("is_stopping", pa.bool_()),
            ("observed_value", pa.string()),
            ("unexpected_count", pa.int64()),
            ("judged_count", pa.int64()),
            ("error", pa.string()),
            ("rule_digest", pa.string()),
            ("content_digest", pa.string()),
            ("duration_seconds", pa.float64()),
            ("judged_at_utc", pa.timestamp("us")),
            ("failures", pa.list_(failure)),
        ]
    )
    rows = [
        {
            "judgement_id": judgement.id,
            "snapshot_id": snapshot_id,
            "profile": subject.profile,
            "gate": subject.gate,
            "as_of_utc": subject.as_of_utc,
            "suite": outcome.rule.suite,
            "expectation": outcome.rule.id,
            "relation": f"features.{outcome.rule.relation}",
            "severity": outcome.rule.severity,
            "expected": outcome.rule.expects,
            "remedy": outcome.rule.remedy,
            "status": outcome.status,
            "is_success": outcome.status == "pass",
            "is_stopping": is_stopping(subject.gate, outcome.rule.severity, outcome.status, is_judged=is_judged),
            "observed_value": outcome.observed_value or None,
            "unexpected_count": None if outcome.status == "error" else outcome.unexpected_count,
            "judged_count": outcome.judged_count,
            "error": outcome.error or None,
            "rule_digest": outcome.rule.digest,
            "content_digest": judgement.content_digest,
            "duration_seconds": outcome.duration_seconds,
            "judged_at_utc": judged_at,
            "failures": [
                {
                    "rank": rank,
                    "symbol": one.symbol,
                    "session_date": one.session_date,
                    "expected": one.expected,
                    "detail": one.detail,
                }
                for rank, one in enumerate(outcome.failures, start=1)
            ],
        }
        for outcome in outcomes
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def pass_gate(session: Any, *, settings: pa.Table, results: Any, failures: Any) -> pa.Table:
    """Return the one row of the judgement that lets this build's run begin, or raise `HealthGateError`.

    The judgement is looked up by what is in the features now, not taken from the build's own steps, so that nothing
    passes that was judged on other rows. `results` and `failures` are the relations of the two history tables.
    """
    import pyarrow as pa

    home = current_home()
    values = dict(zip(settings["key"].to_pylist(), settings["value"].to_pylist(), strict=True))
    judgement = find_judgement(session, home, settings_from_rows(values))
    chosen = f"judgement_id = '{judgement.id}'"
    outcomes = results.filter(chosen).order("suite, expectation").to_arrow_table().to_pylist()
    subject = judgement.subject
    if not outcomes:
        raise HealthGateError(
            f"what profile {subject.profile} reads was not judged by the quality gate",
            remedy="build the data cycle of this profile: dbt build --selector data_cycle"
            f" --vars '{{profile: {subject.profile}}}', with the same settings",
        )
    offenders = failures.filter(chosen).to_arrow_table().to_pylist()
    refused = refusal(subject.profile, subject.gate, outcomes, offenders)
    if refused:
        raise HealthGateError(refused)
    return pa.table(
        {
            "judgement_id": [judgement.id],
            "gate": [subject.gate],
            "rule_count": [len(outcomes)],
            "unmet_count": [sum(not row["is_success"] for row in outcomes)],
            "unmet": [", ".join(f"{row['suite']}.{row['expectation']}" for row in outcomes if not row["is_success"])],
        }
    )
