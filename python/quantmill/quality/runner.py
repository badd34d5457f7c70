"""One judgement: the failing rows of every rule, found over a live DuckDB connection, and what is said of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from quantmill.errors import DataContractError
from quantmill.quality import engine, pages
from quantmill.quality.rules import Rule
from quantmill.quality.subjects import Subject

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa

# Failing rows of one rule that are kept as rows; the count is kept in full.
KEPT_FAILURES = 500
NOT_JUDGED = "Great Expectations cannot be used, so no rule was judged"
INSTALL = "'make setup' installs what requirements.lock names"


@dataclass(frozen=True)
class Failure:
    """One failing row: whose, of which session, what was found and what was expected."""

    symbol: str | None
    session_date: date | None
    detail: str
    expected: str


@dataclass(frozen=True)
class Outcome:
    """What became of one rule. `status` is pass, fail or error; `failures` are the first failing rows, in order."""

    rule: Rule
    status: str
    unexpected_count: int
    observed_value: str
    judged_count: int
    error: str
    duration_seconds: float
    failures: tuple[Failure, ...] = field(default=())


@dataclass(frozen=True)
class _Found:
    """The failing rows of a query rule (symbol, session_date, detail, expected), or why there are none to be had."""

    rows: pa.Table | None
    error: str
    seconds: float


def judge(
    connection: duckdb.DuckDBPyConnection,
    subject: Subject,
    rules: Sequence[Rule],
    judged_counts: Mapping[str, int],
    *,
    folder: Path,
) -> list[Outcome]:
    """Return one outcome per rule, in their order, and replace the Data Docs in `folder`.

    `judged_counts` gives the rows of each relation. A rule whose query or expectation raises is an outcome with status
    error; where Great Expectations does not import, every rule is.
    """
    # the import takes seconds of one thread, and so do the queries, which do not need it
    with ThreadPoolExecutor(max_workers=1) as pool:
        imported = pool.submit(engine.import_error)
        found = {rule.name: _find(connection, subject, rule) for rule in rules if rule.failing_rows is not None}
        missing = imported.result()
    if missing:
        text = f"{NOT_JUDGED}: {missing}; {INSTALL}"
        outcomes = [Outcome(rule, "error", 0, "", judged_counts[rule.relation], text, 0.0) for rule in rules]
        with pages.replaced(folder) as written:
            pages.finish(written, subject, outcomes)
        return outcomes
    batches, errors = _batches(connection, subject, rules, found)
    with pages.replaced(folder) as written:
        answers = engine.ask(batches, written)
        outcomes = [_outcome(rule, judged_counts[rule.relation], found, answers, errors) for rule in rules]
        pages.finish(written, subject, outcomes)
    return outcomes


def _find(connection: duckdb.DuckDBPyConnection, subject: Subject, rule: Rule) -> _Found:
    """Return the failing rows of a query rule, ordered by symbol, session and detail."""
    import duckdb

    started = time.perf_counter()
    try:
        found = connection.sql(subject.query(rule))
        lacking = [name for name in ("symbol", "session_date", "detail") if name not in found.columns]
        if lacking:
            raise DataContractError(f"the query yields no column {', '.join(lacking)}")
        expected = "coalesce(cast(expected as varchar), ?)" if "expected" in found.columns else "?"
        rows = connection.execute(
            f"select cast(symbol as varchar) as symbol, cast(session_date as date) as session_date,"
            f" coalesce(cast(detail as varchar), '') as detail, {expected} as expected"
            f" from ({subject.query(rule)}) as failing order by 1, 2, 3, 4",
            [rule.expects],
        ).to_arrow_table()
        return _Found(rows, "", time.perf_counter() - started)
    except (duckdb.Error, DataContractError) as error:
        return _Found(None, f"{type(error).__name__}: {error}", time.perf_counter() - started)


def _batches(
    connection: duckdb.DuckDBPyConnection, subject: Subject, rules: Sequence[Rule], found: Mapping[str, _Found]
) -> tuple[list[engine.Batch], dict[str, str]]:
    """Return the frames to judge, suite by suite, and why the columns of a rule could not be read, by rule."""
    import duckdb

    batches: list[engine.Batch] = []
    errors = {name: one.error for name, one in found.items() if one.error}
    for suite in dict.fromkeys(rule.suite for rule in rules):
        queries = tuple(
            rule for rule in rules if rule.name in found and rule.suite == suite and rule.name not in errors
        )
        if queries:
            batches.append(engine.Batch(suite, _failing_frame(queries, found), queries))
        columns = [rule for rule in rules if rule.suite == suite and rule.expectation is not None]
        for relation in dict.fromkeys(rule.relation for rule in columns):
            readable: list[Rule] = []
            source = subject.relations()[relation]
            known = set(connection.sql(f"select * from {source} limit 0").columns)
            for rule in (one for one in columns if one.relation == relation):
                unknown = [name for name in rule.columns if name not in known]
                if unknown:
                    errors[rule.name] = f"features.{relation} has no column {', '.join(unknown)}"
                else:
                    readable.append(rule)
            if readable:
                wanted = [name for name in engine.INDEX_COLUMNS if name in known]
                wanted += [name for rule in readable for name in rule.columns if name not in wanted]
                wanted = list(dict.fromkeys(wanted))
                try:
                    condition = " or ".join(f"({_may_fail(connection, source, rule)})" for rule in readable)
                    frame = connection.sql(
                        f"select {', '.join(wanted)} from {source} as judged where {condition} order by all"
                    ).df()
                except duckdb.Error as error:
                    errors |= {rule.name: f"{type(error).__name__}: {error}" for rule in readable}
                else:
                    batches.append(engine.Batch(f"{suite}_{relation}", frame, tuple(readable)))
    return batches, errors


def _may_fail(connection: duckdb.DuckDBPyConnection, source: str, rule: Rule) -> str:
    """Return a condition in SQL that holds for every row of `source` that may fail an expectation.

    What sound rows there are beside them changes no answer, so the columns of a whole market need not become a frame.
    """
    names = ", ".join(rule.columns)
    if rule.expectation == "ExpectColumnValuesToNotBeNull" and set(rule.arguments) == {"column"}:
        return f"{names} is null or cast({names} as varchar) = 'nan'"
    if rule.expectation == "ExpectColumnValuesToBeBetween" and not set(rule.arguments) - {
        "column", "min_value", "max_value"
    }:  # fmt: skip
        limits = ((">=", rule.arguments.get("min_value")), ("<=", rule.arguments.get("max_value")))
        if all(limit is None or isinstance(limit, int | float) for _, limit in limits):
            held = [f"{names} {sign} {limit!r}" for sign, limit in limits if limit is not None]
            return f"not ({' and '.join(held)})" if held else "true"
    if rule.expectation == "ExpectCompoundColumnsToBeUnique" and set(rule.arguments) == {"column_list"}:
        repeated = f"select {names} from {source} as listed group by {names} having count(*) > 1"
        if not connection.sql(f"select 1 from ({repeated}) limit 1").fetchall():
            return "false"
        return f"row({names}) in (select row({names}) from ({repeated}))"
    return "true"


def _failing_frame(rules: Sequence[Rule], found: Mapping[str, _Found]) -> pd.DataFrame:
    """Return the failing rows of the rules as one frame: rule, symbol, session_date, detail, expected."""
    import pyarrow as pa

    tables = []
    for rule in rules:
        rows = found[rule.name].rows
        assert rows is not None
        tables.append(rows.add_column(0, "rule", pa.array([rule.name] * rows.num_rows, pa.string())))
    return pa.concat_tables(tables).to_pandas()


def _outcome(
    rule: Rule,
    judged_count: int,
    found: Mapping[str, _Found],
    answers: Mapping[str, engine.Answer],
    errors: Mapping[str, str],
) -> Outcome:
    seconds = found[rule.name].seconds if rule.name in found else 0.0
    if rule.name in errors:
        return Outcome(rule, "error", 0, "", judged_count, errors[rule.name], seconds)
    answer = answers.get(rule.name)
    if answer is None or answer.error:
        error = answer.error if answer else "Great Expectations gave no answer"
        return Outcome(rule, "error", 0, "", judged_count, error, seconds + (answer.seconds if answer else 0.0))
    rows = found[rule.name].rows if rule.name in found else None
    failures = _kept(rows) if rows is not None else _indexed(rule, answer)
    return Outcome(
        rule=rule,
        status="pass" if answer.is_success else "fail",
        unexpected_count=answer.unexpected_count,
        observed_value=answer.observed_value,
        judged_count=judged_count,
        error="",
        duration_seconds=seconds + answer.seconds,
        failures=() if answer.is_success else failures,
    )


def _kept(rows: pa.Table) -> tuple[Failure, ...]:
    return tuple(
        Failure(row["symbol"], row["session_date"], row["detail"], row["expected"])
        for row in rows.slice(0, KEPT_FAILURES).to_pylist()
    )


def _indexed(rule: Rule, answer: engine.Answer) -> tuple[Failure, ...]:
    """Return the failing rows that Great Expectations named, ordered; the values it judged stand in the detail."""
    failures = []
    for row in answer.rows:
        moment = next((row[name] for name in engine.INDEX_COLUMNS[1:4] if row.get(name) is not None), None)
        values = ", ".join(f"{name} {row[name]}" for name in rule.columns if name in row)
        failures.append(
            Failure(
                symbol=row.get("symbol"),
                session_date=moment.date() if isinstance(moment, datetime) else moment,
                detail=values,
                expected=rule.expects,
            )
        )
    failures.sort(key=lambda one: (one.symbol or "", one.session_date or date.min, one.detail))
    return tuple(failures[:KEPT_FAILURES])
