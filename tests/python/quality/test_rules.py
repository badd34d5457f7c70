"""Every rule has a planted fault that turns it red and no other; without faults all are green."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from quantmill.errors import BadValue, UnknownKey, UsageError
from quantmill.quality import engine
from quantmill.quality.rules import Rule, load_rules
from quantmill.quality.runner import KEPT_FAILURES, Outcome, judge
from quantmill.quality.subjects import Subject, content_of
from small_market import SUBJECT, small_market
from support import ROOT

RULES = load_rules(ROOT / "manifest")
NAMES = [rule.name for rule in RULES]
A = "symbol = 'NYSE:A' and session_date = date '2021-03-03'"
SATURDAY = "date '2021-03-06'"

PLANTED = {
    "bars.high_is_highest": [f"update features.session_bars set high = close - 1 where {A}"],
    "bars.low_is_lowest": [f"update features.session_bars set low = close + 0.5 where {A}"],
    "bars.prices_are_positive": [f"update features.session_bars set total_return_close = 0 where {A}"],
    "bars.close_is_there": [f"update features.session_bars set close = null where {A}"],
    "bars.volume_is_not_negative": [f"update features.session_bars set volume = -5 where {A}"],
    "bars.volume_is_there": [f"update features.session_bars set volume = null where {A}"],
    "bars.no_bar_comes_from_its_future": [
        f"update features.bar_verdicts set received_at_utc = close_utc - interval 1 second where {A}"
    ],
    "bars.every_bar_has_a_session": [
        f"insert into features.bar_verdicts select * replace ({SATURDAY} as session_date, 'OFF_CALENDAR' as verdict,"
        f" null as close_utc) from features.bar_verdicts where {A}"
    ],
    "bars.one_bar_per_session": [f"insert into features.session_bars select * from features.session_bars where {A}"],
    "bars.bars_lie_on_the_calendar": [
        f"insert into features.session_bars select * replace ({SATURDAY} as session_date) from features.session_bars"
        f" where {A}"
    ],
    "bars.no_bar_is_known_before_its_close": [
        f"update features.session_bars set known_at_utc = known_at_utc - interval 1 hour where {A}"
    ],
    "bars.no_bar_is_shared_by_two_symbols": [
        "update features.session_bars as other set open = own.open, high = own.high, low = own.low, close = own.close,"
        f" volume = own.volume from (select * from features.session_bars where {A}) as own"
        " where other.symbol = 'NYSE:B' and other.session_date = own.session_date"
    ],
    "returns.nothing_is_lost_twice": [f"update features.daily_returns set simple_return = -1 where {A}"],
    "returns.no_return_beyond_500_percent": [f"update features.daily_returns set simple_return = 5.01 where {A}"],
    "returns.extreme_returns": [f"update features.daily_returns set simple_return = 5 where {A}"],
    "returns.returns_lie_on_the_calendar": [
        f"insert into features.daily_returns select * replace ({SATURDAY} as session_date) from features.daily_returns"
        f" where {A}"
    ],
    # a calendar bent to allow the weekend; it has the bar's calendar, and a number before the first bar
    "returns.no_padded_weekend": [
        "insert into features.market_calendar by name"
        f" select 'XNYS' as calendar_id, {SATURDAY} as session_date, 0 as session_number,"
        " timestamp '2021-03-06 21:00' as close_utc",
        f"insert into features.daily_returns select * replace ({SATURDAY} as session_date, 0.0 as simple_return)"
        f" from features.daily_returns where {A}",
    ],
    # old enough to have left the 500 sessions that the newest verdict looks at
    "spikes.no_open_spike": [
        "insert into features.bar_spikes by name select 'NYSE:A' as symbol, session_date, 'TOXIC_RETURN' as code,"
        " 7.0 as value, false as is_resolved from features.market_calendar where calendar_id = 'XNYS'"
        " and session_number = 4",
        "update features.symbol_health set verdict = 'TOXIC' from features.market_calendar as calendar"
        " where symbol = 'NYSE:A' and calendar.calendar_id = 'XNYS' and as_of_date = calendar.session_date"
        " and calendar.session_number between 4 and 503",
    ],
    "health.verdicts_are_reproduced": [
        "update features.symbol_health set verdict = 'DEGRADED'"
        " where symbol = 'NYSE:A' and as_of_date = date '2021-03-03'"
    ],
    "health.no_symbol_is_missing_or_toxic": [
        f"delete from features.{table} where symbol = 'NYSE:A'"
        for table in ("session_bars", "daily_returns", "symbol_health")
    ],
    "health.no_symbol_is_stale_or_degraded": [
        "delete from features.session_bars where symbol = 'NYSE:B' and session_date >= date '2022-01-26'",
        "delete from features.daily_returns where symbol = 'NYSE:B' and session_date >= date '2022-01-26'",
        "update features.symbol_health set"
        " verdict = case as_of_date when date '2022-01-26' then 'DEGRADED' else 'STALE' end"
        " where symbol = 'NYSE:B' and as_of_date >= date '2022-01-26'",
    ],
    "symbols.intervals_are_contiguous": [
        "update features.symbols set valid_to = timestamp '2020-06-01' where symbol = 'NYSE:A'",
        "insert into features.symbols select * replace (timestamp '2020-07-01' as valid_from, null as valid_to)"
        " from features.symbols where symbol = 'NYSE:A'",
    ],
    "symbols.intervals_are_unique": [
        "insert into features.symbols select * from features.symbols where symbol = 'NYSE:A'"
    ],
    "symbols.crypto_is_utc_and_never_closes": [
        "update features.symbols set timezone = 'Asia/Tokyo' where symbol = 'BINANCE:C'"
    ],
    "symbols.tick_size_is_positive": ["update features.symbols set tick_size = 0 where symbol = 'NYSE:A'"],
    "features.factors_are_within_their_bounds": [f"update features.factor_history set hurst = 1.01 where {A}"],
    "features.factors_are_known_at_the_close": [
        f"update features.factor_history set known_at_utc = known_at_utc + interval 1 second where {A}"
    ],
    "features.one_row_per_symbol_session_and_set": [
        f"insert into features.factor_history select * from features.factor_history where {A}"
    ],
    "symbols.equity_closes": ["update features.symbols set calendar_id = '24/7' where symbol = 'NYSE:A'"],
    "features.vendor_values_are_within_their_bounds": [
        "update features.vendor_features set value = 1.01 where symbol = 'NYSE:A' and feature = 'recommend_all'"
    ],
    "features.vendor_values_have_their_session": [
        "update features.vendor_features set status = 'NOT_DESCRIBED', session_date = null"
        " where symbol = 'NYSE:A' and feature = 'rsi'"
    ],
    "symbols.limits_are_positive": ["update features.execution_limits set tick_size = 0 where symbol = 'NYSE:A'"],
    "symbols.limits_are_known": ["update features.metadata_coverage set is_covered = false where symbol = 'NYSE:A'"],
    "symbols.scanners_keep_to_their_venue": [
        "update features.scan_candidates set venue_class = 'perp' where symbol = 'NYSE:A'"
    ],
    "symbols.every_bar_has_its_symbol": ["delete from features.symbols where symbol = 'NYSE:A'"],
}  # fmt: skip

Judge = Callable[..., dict[str, Outcome]]


@pytest.fixture
def judged(tmp_path: Path) -> Judge:
    """A function that plants statements in the small market and returns the outcomes by rule."""

    def run(*statements: str, subject: Subject = SUBJECT, rules: tuple[Rule, ...] = RULES) -> dict[str, Outcome]:
        connection = small_market()
        for statement in statements:
            connection.execute(statement)
        content = content_of(connection, subject, {name for rule in rules for name in (*rule.reads, rule.relation)})
        counts = {name: count for name, (count, _) in content.items()}
        found = judge(connection, subject, rules, counts, folder=tmp_path / "quality")
        return {outcome.rule.name: outcome for outcome in found}

    return run


def red(outcomes: dict[str, Outcome]) -> list[str]:
    return [name for name, outcome in outcomes.items() if outcome.status != "pass"]


def test_a_clean_market_is_green(judged: Judge) -> None:
    outcomes = judged()
    assert red(outcomes) == []
    assert list(outcomes) == NAMES
    assert all(outcome.judged_count > 0 for name, outcome in outcomes.items() if name != "spikes.no_open_spike")


def test_a_day_on_which_the_whole_venue_traded_off_its_calendar_says_that_the_calendar_is_wrong(judged: Judge) -> None:
    off = (
        f"insert into features.bar_verdicts select * replace ({SATURDAY} as session_date, 'OFF_CALENDAR' as verdict,"
        " null as close_utc) from features.bar_verdicts where session_date = date '2021-03-03' and symbol like "
    )
    found = {}
    for who in ("NYSE:A", "NYSE:%"):
        outcome = judged(f"{off} '{who}'")["bars.every_bar_has_a_session"]
        found[who] = {row.symbol: row.detail.endswith("the calendar is wrong") for row in outcome.failures}
    assert found["NYSE:A"] == {"NYSE:A": False}
    assert found["NYSE:%"] and all(found["NYSE:%"].values())


def test_every_rule_has_a_planted_fault() -> None:
    assert sorted(PLANTED) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_planted_fault_turns_exactly_its_rule_red(name: str, judged: Judge) -> None:
    outcomes = judged(*PLANTED[name])
    assert red(outcomes) == [name]
    outcome = outcomes[name]
    assert outcome.status == "fail"
    assert 1 <= outcome.unexpected_count == len(outcome.failures) <= 3
    assert {one.symbol for one in outcome.failures} <= {"NYSE:A", "NYSE:B", "BINANCE:C"}
    assert all(one.detail and one.expected for one in outcome.failures)


def test_a_failing_row_names_symbol_session_and_what_was_found(judged: Judge) -> None:
    outcomes = judged(*PLANTED["bars.volume_is_not_negative"], *PLANTED["health.no_symbol_is_stale_or_degraded"])
    [volume] = outcomes["bars.volume_is_not_negative"].failures
    assert (volume.symbol, str(volume.session_date), volume.detail) == ("NYSE:A", "2021-03-03", "volume -5.0")
    [stale] = outcomes["health.no_symbol_is_stale_or_degraded"].failures
    assert (stale.symbol, str(stale.session_date), stale.expected) == ("NYSE:B", "2022-01-25", "2022-01-28")
    assert stale.detail == "STALE: 3 sessions behind"


def test_a_calendar_on_which_nobody_trades_any_more_makes_its_symbols_stale(judged: Judge) -> None:
    statements = [
        f"delete from features.{table} where {column} >= date '2022-01-20'"
        for table, column in (
            ("session_bars", "session_date"), ("daily_returns", "session_date"), ("symbol_health", "as_of_date"),
        )
    ]  # fmt: skip
    outcomes = judged(*statements)
    assert red(outcomes) == ["health.no_symbol_is_stale_or_degraded"]
    assert outcomes["health.no_symbol_is_stale_or_degraded"].unexpected_count == 3


def test_what_is_after_as_of_and_what_other_symbols_have_is_not_judged(judged: Judge) -> None:
    later = "session_date > date '2022-02-01'"
    assert red(judged(f"update features.session_bars set volume = -1 where {later}")) == []
    assert red(judged("update features.session_bars set volume = -1 where symbol = 'NYSE:OTHER'")) == []
    seen = replace(SUBJECT, symbols=(*SUBJECT.symbols, "NYSE:OTHER"))
    found = judged("update features.session_bars set volume = -1 where symbol = 'NYSE:OTHER'", subject=seen)
    assert red(found) == ["bars.volume_is_not_negative"]


def test_a_volume_is_asked_for_where_it_is_declared_and_of_no_index(judged: Judge) -> None:
    fault = "update features.session_bars set volume = null where symbol = 'NYSE:A'"
    assert red(judged(fault)) == ["bars.volume_is_there"]
    assert red(judged(fault, subject=replace(SUBJECT, volume="absent"))) == []
    assert red(judged(fault, "update features.symbols set asset_class = 'index' where symbol = 'NYSE:A'")) == []


@pytest.mark.parametrize("value", ["-0.01", "1.01", "'nan'::double"])
@pytest.mark.parametrize("factor", ["efficiency", "entropy", "hurst", "survival"])
def test_a_factor_beyond_its_bounds_is_named(factor: str, value: str, judged: Judge) -> None:
    others = "entropy = null" if factor != "entropy" else "hurst = null"
    outcomes = judged(f"update features.factor_history set {factor} = {value}, {others} where {A}")
    assert red(outcomes) == ["features.factors_are_within_their_bounds"]
    [failure] = outcomes["features.factors_are_within_their_bounds"].failures
    assert failure.detail.startswith(f"{factor} is ")


@pytest.mark.parametrize("value", ["known_at_utc - interval 1 second", "timestamp '2022-02-20'", "null"])
def test_a_factor_known_at_another_time_than_its_close_fails_whenever_that_is(value: str, judged: Judge) -> None:
    outcomes = judged(f"update features.factor_history set known_at_utc = {value} where {A}")
    assert red(outcomes) == ["features.factors_are_known_at_the_close"]


def test_a_bar_that_had_not_opened_when_it_was_received_fails_and_one_that_is_not_accepted_does_not(
    judged: Judge,
) -> None:
    fault = f"update features.bar_verdicts set received_at_utc = opened_at_utc - interval 1 second where {A}"
    assert red(judged(fault)) == ["bars.no_bar_comes_from_its_future"]
    assert red(judged(fault, f"update features.bar_verdicts set verdict = 'NOT_FINAL' where {A}")) == []


def test_listings_of_one_exposure_may_share_their_bars(judged: Judge) -> None:
    alias = "update features.symbols set economic_id = 'ONE' where symbol in ('NYSE:A', 'NYSE:B')"
    assert red(judged(alias, *PLANTED["bars.no_bar_is_shared_by_two_symbols"])) == []


def test_a_renamed_symbol_may_have_the_bars_of_its_earlier_name(judged: Judge) -> None:
    joined = "update features.session_bars set landed_symbol = 'NYSE:A' where symbol in ('NYSE:A', 'NYSE:B')"
    assert red(judged(joined, *PLANTED["bars.no_bar_is_shared_by_two_symbols"])) == []


def test_the_count_of_failing_rows_is_kept_in_full_and_the_rows_up_to_a_number(judged: Judge) -> None:
    outcomes = judged("update features.session_bars set volume = -1, high = 1 where symbol <> 'NYSE:OTHER'")
    for name in ("bars.volume_is_not_negative", "bars.high_is_highest"):
        outcome = outcomes[name]
        assert outcome.unexpected_count > 3 * KEPT_FAILURES == 3 * len(outcome.failures)
        keys = [(one.symbol, one.session_date) for one in outcome.failures]
        assert keys == sorted(keys)


def test_a_rule_that_cannot_be_judged_is_an_error_and_the_others_are_judged(judged: Judge) -> None:
    broken = {
        "query": Rule(
            id="query", suite="broken", relation="session_bars", severity="stop", expects="x", remedy="x",
            failing_rows="select symbol, session_date, no_such_column as detail from {batch}",
        ),
        "shape": Rule(
            id="shape", suite="broken", relation="session_bars", severity="stop", expects="x", remedy="x",
            failing_rows="select symbol from {batch}",
        ),
        "column": Rule(
            id="column", suite="broken", relation="session_bars", severity="stop", expects="x", remedy="x",
            expectation="ExpectColumnValuesToNotBeNull", arguments={"column": "no_such_column"},
        ),
        "inside": Rule(
            id="inside", suite="broken", relation="session_bars", severity="stop", expects="x", remedy="x",
            expectation="ExpectColumnValuesToBeBetween", arguments={"column": "source", "min_value": 0},
        ),
    }  # fmt: skip
    outcomes = judged(rules=(*broken.values(), *RULES))
    assert red(outcomes) == [f"broken.{name}" for name in broken]
    assert {outcomes[f"broken.{name}"].status for name in broken} == {"error"}
    assert "no_such_column" in outcomes["broken.query"].error
    assert "session_date, detail" in outcomes["broken.shape"].error
    assert "no_such_column" in outcomes["broken.column"].error
    assert outcomes["broken.inside"].error


def test_without_great_expectations_every_rule_is_an_error_with_the_reason(
    judged: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> None:
        raise ImportError(f"planted: no {name}")

    monkeypatch.setattr(engine.importlib, "import_module", refuse)
    outcomes = judged()
    assert list(outcomes) == NAMES
    assert {outcome.status for outcome in outcomes.values()} == {"error"}
    assert all("planted: no great_expectations" in outcome.error for outcome in outcomes.values())
    assert all("make setup" in outcome.error for outcome in outcomes.values())


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest with the suites and one more, whose file the tests write."""
    shutil.copytree(ROOT / "manifest" / "quality", tmp_path / "quality")
    return tmp_path


GOOD = "rules:\n  - {id: one, relation: symbols, severity: stop, expects: x, remedy: y, "


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (GOOD + "failing_row: z}", UnknownKey, "rule 'one': unknown key 'failing_row'; did you mean 'failing_rows'?"),
        (GOOD.replace("severity", "severty") + "failing_rows: x}", UnknownKey, "did you mean 'severity'?"),
        (GOOD + "suite: bars}", UnknownKey, "unknown key 'suite'; the name of the file is the suite"),
        (GOOD + "expectation: ExpectNothing}", BadValue, "expectation 'ExpectNothing' is unknown"),
        (GOOD + "expectation: ExpectColumnValuesToNotBeNull}", BadValue, "arguments lack column"),
        (GOOD + "failing_rows: 'select 1'}", BadValue, "never reads {batch}"),
        (GOOD + "failing_rows: 'select * from {batch}, {winners}'}", BadValue, "reads {winners}; it may read bar_gaps"),
        (GOOD + "failing_rows: 'select * from {batch'}", BadValue, "a brace without its partner"),
        (GOOD + "}", BadValue, "either failing_rows or expectation"),
        ("rules:\n  - {id: one, relation: winners}", BadValue, "rule 'one': 'relation' is 'winners'"),
        ("rules: []", BadValue, "a list 'rules' was needed"),
        ("rules: [1]\nrule: 2", UnknownKey, "unknown key 'rule'"),
        ("a: [", BadValue, "not valid YAML"),
    ],
)  # fmt: skip
def test_a_rule_that_is_written_wrong_is_named_with_file_and_key(
    text: str, error: type[UsageError], said: str, manifest: Path
) -> None:
    (manifest / "quality" / "mine.yml").write_text(text, encoding="utf-8")
    with pytest.raises(error) as raised:
        load_rules(manifest)
    assert said in str(raised.value)
    assert "manifest/quality/mine.yml" in str(raised.value)


def test_adding_a_rule_is_adding_an_entry(manifest: Path) -> None:
    text = GOOD + "failing_rows: 'select symbol, null as session_date, timezone as detail from {batch}'}"
    (manifest / "quality" / "mine.yml").write_text(text, encoding="utf-8")
    assert [rule.name for rule in load_rules(manifest)] == sorted(
        [*NAMES, "mine.one"], key=lambda name: name.split(".")[0]
    )


def test_a_manifest_without_rules_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no rule"):
        load_rules(tmp_path)
