"""What the gate does with the outcomes, what it says, and what is not judged twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from quantmill.errors import HealthGateError
from quantmill.manifest.compose import resolve
from quantmill.manifest.home import Home
from quantmill.quality import engine
from quantmill.quality.gate import SHOWN, is_stopping, refusal
from quantmill.stages.gating import judge_quality, pass_gate
from small_market import small_market
from support import ROOT

MEMBERS = {
    "as_of": "2022-01-30T00:00:00Z",
    "universe.symbols": ["NYSE:A"],
    "universe.landed_only": ["BINANCE:C"],
    "benchmarks": ["NYSE:B"],
}


@pytest.mark.parametrize(
    ("gate", "severity", "status", "stops"),
    [
        ("strict", "stop", "fail", True),
        ("strict", "quarantine", "fail", True),
        ("strict", "warn", "fail", False),
        ("raw_pool", "stop", "fail", True),
        ("raw_pool", "quarantine", "fail", False),
        ("raw_pool", "warn", "fail", False),
        ("report", "stop", "fail", False),
        ("report", "quarantine", "fail", False),
        ("strict", "stop", "error", True),
        ("raw_pool", "stop", "error", True),
        ("strict", "warn", "error", True),
        ("raw_pool", "quarantine", "error", True),
        ("raw_pool", "warn", "error", True),
        ("report", "warn", "error", False),
        ("report", "stop", "error", False),
        ("strict", "stop", "pass", False),
    ],
)
def test_severity_and_strictness_decide_what_stops(gate: str, severity: str, status: str, stops: bool) -> None:
    assert is_stopping(gate, severity, status, is_judged=True) is stops


@pytest.mark.parametrize("gate", ["strict", "raw_pool", "report"])
@pytest.mark.parametrize("severity", ["stop", "quarantine", "warn"])
def test_where_nothing_could_be_judged_everything_stops(gate: str, severity: str) -> None:
    assert is_stopping(gate, severity, "error", is_judged=False)


def test_the_refusal_is_one_table_of_offenders_with_their_remedy() -> None:
    result = {
        "judgement_id": "0123", "suite": "bars", "expectation": "one", "is_stopping": True, "status": "fail",
        "unexpected_count": 12, "remedy": "run this", "expected": "good", "error": None,
    }  # fmt: skip
    failure = {
        "suite": "bars", "expectation": "one", "symbol": "NYSE:A", "session_date": "2021-03-03", "expected": "good",
        "detail": "bad",
    }  # fmt: skip
    text = refusal("sample", "strict", [result], [{**failure, "rank": rank} for rank in range(12, 0, -1)])
    assert text is not None
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert lines[0] == ["suite", "rule", "symbol", "last session", "expected", "detail", "remedy"]
    assert lines[2] == ["bars", "one", "NYSE:A", "2021-03-03", "good", "bad", "run this"]
    assert len(lines) == 2 + SHOWN + 1
    assert "and 2 more rows" in lines[-1][5]
    assert refusal("sample", "strict", [{**result, "is_stopping": False}], []) is None


def test_a_rule_that_cannot_be_judged_is_refused_with_the_file_to_mend() -> None:
    result = {
        "judgement_id": "0123", "suite": "bars", "expectation": "one", "is_stopping": True, "status": "error",
        "unexpected_count": 0, "remedy": "make data-repair", "expected": "good", "error": "near 'selct'",
    }  # fmt: skip
    text = refusal("sample", "strict", [result], [])
    assert text is not None
    assert "near 'selct'" in text
    assert "mend the rule in manifest/quality/bars.yml" in text
    assert "make data-repair" not in text


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., duckdb.DuckDBPyConnection]:
    """A function that does what the models of a build do: judge, append the history, pass the gate."""
    monkeypatch.setenv("QUANTMILL_HOME", str(tmp_path))
    monkeypatch.chdir(ROOT)

    def run(
        connection: duckdb.DuckDBPyConnection,
        more: Mapping[str, Any] = MappingProxyType({}),
        gate_more: Mapping[str, Any] | None = None,
    ) -> pa.Table:
        judged = judge_quality(connection, judged=[], profile="sample", overrides=json.dumps({**MEMBERS, **more}))
        connection.register("judged", judged)
        for table, columns in (("quality_results", "* exclude (failures)"), ("quality_failures", "*")):
            source = (
                "judged"
                if table == "quality_results"
                else "(select judgement_id, suite, expectation, unnest(failures, max_depth := 2) from judged)"
            )
            connection.execute(f"create table if not exists features.{table} as select {columns} from {source} limit 0")
            connection.execute(f"delete from features.{table} where judgement_id in (select judgement_id from judged);")
            connection.execute(f"insert into features.{table} select {columns} from {source}")
        asked = {**MEMBERS, **(more if gate_more is None else gate_more)}
        resolved = resolve(ROOT / "manifest", "sample", overrides=asked, environment={})
        settings = pa.table({"key": [row.key for row in resolved.rows], "value": [row.value for row in resolved.rows]})
        return pass_gate(
            connection, settings=settings, results=connection.table("features.quality_results"),
            failures=connection.table("features.quality_failures"),
        )  # fmt: skip

    return run


def judged_count(connection: duckdb.DuckDBPyConnection) -> int:
    return int(connection.execute("select count(distinct judgement_id) from features.quality_results").fetchall()[0][0])


def test_what_was_judged_is_not_judged_again_and_great_expectations_not_asked(
    build: Callable[..., pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = small_market()
    first = build(connection).to_pylist()

    def refuse() -> str:
        raise AssertionError("Great Expectations was asked for")

    monkeypatch.setattr(engine, "import_error", refuse)
    assert build(connection).to_pylist() == first
    assert judged_count(connection) == 1
    # rows that the profile does not read change nothing either
    connection.execute("update features.session_bars set volume = 7 where symbol = 'NYSE:OTHER'")
    connection.execute("update features.session_bars set volume = 7 where session_date > date '2022-02-01'")
    assert build(connection).to_pylist() == first
    for more in ({"quality.gate": "report"}, {"benchmarks": ["NYSE:A"]}):
        with pytest.raises(AssertionError):
            build(connection, more)
    connection.execute("update features.session_bars set volume = 7 where symbol = 'NYSE:A'")
    with pytest.raises(AssertionError):
        build(connection)


def test_a_planted_fault_stops_and_its_rows_stay(build: Callable[..., pa.Table]) -> None:
    connection = small_market()
    connection.execute("update features.session_bars set volume = -7 where symbol = 'NYSE:A'")
    with pytest.raises(HealthGateError, match=r"bars *\| volume_is_not_negative *\| NYSE:A *\| 2020-01-01") as raised:
        build(connection)
    assert raised.value.exit_code == 4
    stored = "select expectation, symbol, rank from features.quality_failures order by rank limit 1"
    assert connection.execute(stored).fetchall() == [("volume_is_not_negative", "NYSE:A", 1)]
    # the same rows under another strictness are a judgement of their own
    passed = build(connection, {"quality.gate": "report"}).to_pylist()[0]
    assert (passed["gate"], passed["unmet_count"], passed["unmet"]) == ("report", 1, "bars.volume_is_not_negative")
    assert judged_count(connection) == 2


def test_unhealthy_symbols_pass_the_raw_pool_and_broken_contracts_do_not(build: Callable[..., pa.Table]) -> None:
    connection = small_market()
    missing = {"quality.gate": "raw_pool", "universe.symbols": ["NYSE:A", "NYSE:NOBARS"]}
    assert build(connection, missing).to_pylist()[0]["unmet"] == "health.no_symbol_is_missing_or_toxic"
    # beyond 500 % is what makes a symbol toxic: the symbol is left out, and the run goes on
    connection.execute("update features.daily_returns set simple_return = 9 where symbol = 'NYSE:A'")
    unmet = "health.no_symbol_is_missing_or_toxic, returns.no_return_beyond_500_percent"
    assert build(connection, missing).to_pylist()[0]["unmet"] == unmet
    connection.execute("update features.daily_returns set simple_return = -2 where symbol = 'NYSE:A'")
    with pytest.raises(HealthGateError, match="nothing_is_lost_twice"):
        build(connection, missing)


def test_nothing_passes_that_was_judged_on_other_rows_or_settings(build: Callable[..., pa.Table]) -> None:
    connection = small_market()
    with pytest.raises(HealthGateError, match="was not judged"):
        build(connection, gate_more={"quality.gate": "report"})


def test_without_great_expectations_every_strictness_stops_and_the_next_build_judges(
    build: Callable[..., pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = small_market()
    more = {"quality.gate": "report"}
    with monkeypatch.context() as planted:
        planted.setattr(engine, "import_error", lambda: "ImportError: planted")
        with pytest.raises(HealthGateError, match="planted"):
            build(connection, more)
        rows = connection.execute("select distinct status, is_stopping from features.quality_results").fetchall()
        assert rows == [("error", True)]
    assert build(connection, more).to_pylist()[0]["unmet_count"] == 0
    assert connection.execute("select distinct status from features.quality_results").fetchall() == [("pass",)]


def test_asking_what_is_known_never_imports_great_expectations(tmp_path: Path) -> None:
    script = (
        "import sys; import quantmill.stages.gating, quantmill.quality.runner, quantmill.quality.command;"
        "print('great_expectations' in sys.modules, 'pandas' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT, env=os.environ
    )
    assert found.stdout.split() == ["False", "False"]


def test_what_may_be_promoted_is_strict_whoever_overrides_it() -> None:
    for overrides, environment in (
        ({"tier": "promotable", "quality.gate": "report"}, {}),
        ({"tier": "promotable"}, {"QUANTMILL_SET_QUALITY__GATE": "raw_pool"}),
    ):
        with pytest.raises(Exception, match="runs under strict"):
            resolve(ROOT / "manifest", "sample", overrides=overrides, environment=environment)
    assert Home(root=ROOT, state=ROOT).quality.name == "quality"
