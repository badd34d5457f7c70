"""The only module that imports Great Expectations: frames and rules in, its answers and its Data Docs out.

SQL has found the failing rows of a query rule; they reach Great Expectations as one small frame per suite, on which
each rule is the expectation that no row carries its name. A rule on columns is judged on the columns themselves.
"""

from __future__ import annotations

import importlib
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantmill.quality.rules import Rule

if TYPE_CHECKING:
    import pandas as pd

SITE = "quality"
SEVERITIES = {"stop": "critical", "quarantine": "warning", "warn": "info"}
# Columns that tell a failing row's symbol and session apart from the judged ones; those that a relation has.
INDEX_COLUMNS = ("symbol", "session_date", "as_of_date", "valid_from", "code")


@dataclass(frozen=True)
class Answer:
    """What Great Expectations said of one rule. `rows` are index and values of failing rows of a rule on columns."""

    is_success: bool
    unexpected_count: int
    observed_value: str
    error: str
    seconds: float
    rows: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Batch:
    """One frame and the rules that are judged on it; `name` becomes the suite's name in the Data Docs."""

    name: str
    frame: pd.DataFrame
    rules: tuple[Rule, ...]


def import_error() -> str:
    """Import Great Expectations; return why that failed, or an empty text."""
    # read when the library is imported, and it reports nothing home then
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    try:
        importlib.import_module("great_expectations.expectations")
    except Exception as error:  # any failure of a foreign import is the same to us: nobody can judge
        return f"{type(error).__name__}: {error}"
    # dbt prints what a library logs; this module of theirs raises its own level to remark on its set-up
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    return ""


def ask(batches: Sequence[Batch], pages: Path) -> dict[str, Answer]:
    """Return the answer for each rule by its name, and write the Data Docs of all batches into the folder `pages`.

    Raises what Great Expectations raises when it cannot judge at all; an expectation that raises is an answer.
    """
    import great_expectations as gx

    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    context.add_data_docs_site(
        SITE,
        {
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(pages)},
        },
    )
    source = context.data_sources.add_pandas("workbench")
    answers: dict[str, Answer] = {}
    for batch in batches:
        definition = source.add_dataframe_asset(batch.name).add_batch_definition_whole_dataframe("all")
        suite = context.suites.add(
            gx.ExpectationSuite(name=batch.name, expectations=[_expectation(rule) for rule in batch.rules])
        )
        validation = context.validation_definitions.add(
            gx.ValidationDefinition(name=batch.name, data=definition, suite=suite)
        )
        checkpoint = context.checkpoints.add(
            gx.Checkpoint(
                name=batch.name,
                validation_definitions=[validation],
                result_format={
                    "result_format": "COMPLETE",
                    "unexpected_index_column_names": [name for name in INDEX_COLUMNS if name in batch.frame.columns],
                },
            )
        )
        started = time.perf_counter()
        found = checkpoint.run(batch_parameters={"dataframe": batch.frame})
        seconds = (time.perf_counter() - started) / len(batch.rules)
        results: Any = next(iter(found.run_results.values())).results
        for result in results:
            answers[result.expectation_config.meta["rule"]] = _answer(result, seconds)
    context.build_data_docs(site_names=[SITE])
    return answers


def _expectation(rule: Rule) -> Any:
    from great_expectations.expectations.row_conditions import Column

    known: Any = importlib.import_module("great_expectations.expectations")

    common: dict[str, Any] = {
        "severity": SEVERITIES[rule.severity],
        "meta": {"rule": rule.name},
    }
    if rule.expectation is None:
        return known.ExpectTableRowCountToEqual(value=0, row_condition=Column("rule") == rule.name, **common)
    return getattr(known, rule.expectation)(**rule.arguments, **common)


def _answer(result: Any, seconds: float) -> Answer:
    error = _exception(result.exception_info)
    found: Mapping[str, Any] = result.result or {}
    observed = found.get("observed_value")
    if "unexpected_count" in found:
        count, rows = int(found["unexpected_count"]), tuple(found.get("unexpected_index_list") or ())
        observed = count
    else:
        count, rows = int(observed or 0), ()
    return Answer(
        is_success=bool(result.success) and not error,
        unexpected_count=count,
        observed_value="" if observed is None else str(observed),
        error=error,
        seconds=seconds,
        rows=rows,
    )


def _exception(info: Mapping[str, Any] | None) -> str:
    """Return the first message of an `exception_info`, which is one record or a mapping of records by metric."""
    if not info:
        return ""
    records = [info] if "raised_exception" in info else [value for value in info.values() if isinstance(value, Mapping)]
    for record in records:
        if record.get("raised_exception"):
            return str(record.get("exception_message") or "Great Expectations raised without a message")
    return ""
