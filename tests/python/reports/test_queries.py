"""Queries behind the pages on small tables whose answers can be worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date

import duckdb
import pytest
from quantmill.errors import QuantmillError
from quantmill.reports.narrative import scans_section
from quantmill.reports.page import Section
from quantmill.reports.queries import QUERIES, Answers, MissingData, OlderSnapshot, written_out
from quantmill.reports.reader import Reader

RUN = "r-20200101-00000000"


@pytest.fixture
def answers() -> Iterator[Answers]:
    """A snapshot in memory with empty schemas, asked for one run."""
    with duckdb.connect() as connection:
        for schema in ("raw", "features", "selection", "tournaments"):
            connection.execute(f"create schema {schema}")
        yield Answers(connection, RUN)


def days(answers: Answers, *nav: float, market: tuple[float, ...] = ()) -> None:
    """Make a cell with these worths from 2020-01-02 on, decided on 2020-01-01 with a worth of one."""
    connection = answers.connection
    connection.execute("create table selection.run_settings (run_id text, key text, value text)")
    connection.execute(
        "insert into selection.run_settings values (?, 'simulation.starting_nav', '1.0'), (?, 'periods_per_year', '4')",
        [RUN, RUN],
    )
    connection.execute("create table selection.windows (run_id text, window_set text, decision_date date)")
    connection.execute("insert into selection.windows values (?, 'w', '2020-01-01')", [RUN])
    connection.execute(
        """
        create table tournaments.portfolio_returns (
            run_id text, cell_id text, session_date date, window_index integer, gross_return double, net_return double,
            cost double, borrow_cost double, turnover double, is_rebalance boolean, nav double
        )
        """
    )
    for cell, path in (("own", nav), ("market", market)):
        before = 1.0
        for place, worth in enumerate(path):
            connection.execute(
                "insert into tournaments.portfolio_returns values (?, ?, ?, 0, ?, ?, 0, 0, 0, false, ?)",
                [RUN, cell, date(2020, 1, 2 + place), worth / before - 1, worth / before - 1, worth],
            )
            before = worth


CELL = {"cell_id": "own", "market_cell_id": "market", "window_set": "w"}


def test_a_fall_ends_where_its_peak_is_reached_again(answers: Answers) -> None:
    #    day  2    3    4    5     6     7    8
    days(answers, 1.2, 0.9, 1.1, 1.2, 1.0, 1.3, 1.17)
    found = answers("drawdowns", CELL)
    assert [
        (row["peak_date"].day, row["valley_date"].day, row["recovery_date"] and row["recovery_date"].day)
        for row in found
    ] == [(2, 3, 5), (5, 6, 7), (7, 8, None)]
    assert [row["depth"] for row in found] == [pytest.approx(depth) for depth in (0.9 / 1.2 - 1, 1 / 1.2 - 1, -0.1)]
    assert [row["under_water_count"] for row in found] == [2, 1, 1]


def test_the_start_counts_as_a_peak(answers: Answers) -> None:
    days(answers, 0.8, 0.9)
    (fall,) = answers("drawdowns", CELL)
    assert fall["peak_date"] == date(2020, 1, 1)
    assert fall["depth"] == pytest.approx(-0.2)
    assert fall["recovery_date"] is None


def test_a_path_that_only_rises_has_no_fall(answers: Answers) -> None:
    days(answers, 1.0, 1.1, 1.1, 1.2)
    assert answers("drawdowns", CELL, required=False) == []


def test_only_the_five_deepest_falls_are_told(answers: Answers) -> None:
    path = [value for depth in (1, 2, 3, 4, 5, 6) for value in (1 - depth / 100, 1.0)]
    days(answers, *path)
    assert [round(row["depth"], 6) for row in answers("drawdowns", CELL)] == [-0.06, -0.05, -0.04, -0.03, -0.02]


def test_rolling_figures_are_those_of_the_last_sessions_alone(answers: Answers) -> None:
    days(answers, 5.0, 5.5, 5.225, market=(1.0, 1.05, 1.029))
    (row,) = answers("rolling", {**CELL, "preceding": 1})[-1:]
    # the last two returns: +10 % and -5 % beside +5 % and -2 %
    deviation = 0.15 / 2**0.5
    assert row["annualized_vol"] == pytest.approx(deviation * 2)
    assert row["sharpe"] == pytest.approx(0.025 / deviation * 2)
    assert row["beta"] == pytest.approx(0.15 / 0.07)


def test_rolling_figures_begin_where_there_are_enough_sessions(answers: Answers) -> None:
    days(answers, 1.0, 1.1, 1.2, 1.3)
    rows = answers("rolling", {**CELL, "preceding": 2})
    assert [row["session_date"].day for row in rows] == [4, 5]
    # no market, no beta
    assert {row["beta"] for row in rows} == {None}


def test_a_standstill_has_no_sharpe(answers: Answers) -> None:
    days(answers, 1.0, 1.0, 1.0)
    rows = answers("rolling", {**CELL, "preceding": 1})
    assert {row["sharpe"] for row in rows} == {None}


def test_months_compound_to_their_year(answers: Answers) -> None:
    days(answers, *[1.01**n for n in range(1, 40)][:25])
    connection = answers.connection
    connection.execute(
        "update tournaments.portfolio_returns set session_date = session_date + interval 1 month"
        " where session_date >= '2020-01-15'"
    )
    rows = {row["month"]: row for row in answers("months", CELL)}
    assert sorted(rows) == [0, 1, 2]
    assert rows[0]["session_count"] == rows[1]["session_count"] + rows[2]["session_count"] == 25
    assert (1 + rows[1]["net_return"]) * (1 + rows[2]["net_return"]) == pytest.approx(1 + rows[0]["net_return"])
    assert rows[1]["market_return"] is None


def test_every_session_is_in_one_bar_of_the_histogram(answers: Answers) -> None:
    days(answers, 1.0, 1.3, 1.2, 1.21, 1.2101)
    rows = answers("histogram", CELL)
    assert sum(row["session_count"] for row in rows) == 5
    width = rows[0]["width"]
    # a spread of 37.7 % in at most 60 bars, doubling from five basis points: 0.8 %
    assert width == pytest.approx(0.008)
    assert all(row["lower_edge"] / width == pytest.approx(round(row["lower_edge"] / width)) for row in rows)


def vetoes(answers: Answers, *rows: tuple[str, str, bool, str | None, float | None]) -> None:
    """Make vetoes of one window from (atom, code, is_fired, overridden_by, metric)."""
    connection = answers.connection
    connection.execute(
        """
        create table selection.vetoes (
            run_id text, window_set text, window_index integer, selection_engine text, atom_id text, code text,
            severity text, metric_value double, limit_value double, is_fired boolean, overridden_by text
        )
        """
    )
    connection.execute("create table selection.decisions (run_id text, atom_id text, symbol text)")
    for atom in sorted({row[0] for row in rows}):
        connection.execute("insert into selection.decisions values (?, ?, ?)", [RUN, atom, f"X:{atom}"])
    for atom, code, is_fired, overridden_by, metric in rows:
        connection.execute(
            "insert into selection.vetoes values (?, 'w', 0, 'v3.2', ?, ?, 'hard', ?, 0.5, ?, ?)",
            [RUN, atom, code, metric, is_fired, overridden_by],
        )


def test_a_veto_counts_alone_only_where_no_other_fired(answers: Answers) -> None:
    vetoes(
        answers,
        ("a", "ENTROPY_HIGH", True, None, 0.9),
        ("a", "KURTOSIS_HIGH", True, None, 30.0),
        ("b", "ENTROPY_HIGH", True, None, 0.8),
        ("c", "ENTROPY_HIGH", True, "ANCHOR", 0.8),
        ("c", "KURTOSIS_HIGH", False, None, None),
    )
    found = {row["code"]: row for row in answers("vetoes")}
    assert found["ENTROPY_HIGH"] == {
        "selection_engine": "v3.2", "code": "ENTROPY_HIGH", "severity": "hard", "checked_count": 3,
        "unmeasured_count": 0, "fired_count": 2, "alone_count": 1, "overridden_count": 1, "symbol_count": 2,
        "least_limit": 0.5, "largest_limit": 0.5,
    }  # fmt: skip
    assert found["KURTOSIS_HIGH"]["alone_count"] == 0
    assert found["KURTOSIS_HIGH"]["unmeasured_count"] == 1


def test_a_battle_is_that_of_the_closest_loser_of_each_cluster(answers: Answers) -> None:
    connection = answers.connection
    connection.execute(
        """
        create table selection.decisions (
            run_id text, window_set text, window_index integer, selection_engine text, atom_id text, symbol text,
            direction text, outcome text, lost_to text, score double, cluster_id integer
        )
        """
    )
    connection.execute(
        "create table selection.windows (run_id text, window_set text, window_index integer, decision_date date)"
    )
    connection.execute("insert into selection.windows values (?, 'w', 0, '2020-01-01')", [RUN])
    for atom, outcome, lost_to, score, cluster in (
        ("a", "WINNER", None, 0.9, 1),
        ("b", "LOST_BATTLE", "a", 0.5, 1),
        ("c", "LOST_BATTLE", "a", 0.7, 1),
        ("d", "WINNER", None, 0.4, 2),
        ("e", "VETOED", None, 0.8, -1),
    ):
        connection.execute(
            "insert into selection.decisions values (?, 'w', 0, 'v3.2', ?, ?, 'LONG', ?, ?, ?, ?)",
            [RUN, atom, f"X:{atom}", outcome, lost_to, score, cluster],
        )
    (battle,) = answers("battles")
    assert (battle["winner"], battle["runner_up"]) == ("X:a", "X:c")
    assert battle["margin"] == pytest.approx(0.2)


def test_the_overlap_of_winners_tells_direction_and_empty_books(answers: Answers) -> None:
    connection = answers.connection
    connection.execute(
        "create table selection.windows (run_id text, window_set text, window_index integer, decision_date date)"
    )
    connection.execute(
        "create table selection.funnel (run_id text, window_set text, window_index integer, selection_engine text)"
    )
    connection.execute(
        """
        create table selection.winners (
            run_id text, window_set text, window_index integer, selection_engine text, symbol text, direction text
        )
        """
    )
    books: tuple[tuple[tuple[str, str], ...], ...] = (
        (("X", "LONG"), ("Y", "LONG")),
        (("X", "SHORT"), ("Y", "LONG"), ("Z", "LONG")),
        (),
        (),
    )
    for index, book in enumerate(books):
        connection.execute(
            "insert into selection.windows values (?, 'w', ?, ?)", [RUN, index, date(2020, 1, 1 + index)]
        )
        connection.execute("insert into selection.funnel values (?, 'w', ?, 'v3.2')", [RUN, index])
        for symbol, direction in book:
            connection.execute(
                "insert into selection.winners values (?, 'w', ?, 'v3.2', ?, ?)", [RUN, index, symbol, direction]
            )
    rows = answers("winner_overlap")
    assert [row["jaccard"] for row in rows] == [None, pytest.approx(1 / 4), 0.0, None]
    assert [(row["winner_count"], row["came_count"]) for row in rows] == [(2, 0), (3, 2), (0, 0), (0, 0)]


def test_a_table_that_came_later_is_named_as_such_and_another_is_an_error(answers: Answers) -> None:
    with pytest.raises(OlderSnapshot, match=r"the snapshot has no table selection\.vetoes"):
        answers("veto_path")
    with pytest.raises(MissingData) as caught:
        answers("configs")
    assert not isinstance(caught.value, OlderSnapshot)
    assert "tournaments.configs" in str(caught.value) or "configs" in str(caught.value)


def test_parameters_are_written_as_literals_that_cannot_break_out() -> None:
    text = written_out("drawdowns", {"run_id": "it's", "window_set": "w", "cell_id": None})
    assert "run_id = 'it''s'" in text
    assert "cell_id = null" in text
    assert "between 3 preceding" in written_out("rolling", {"run_id": "r", **CELL, "preceding": 3})


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_no_query_has_a_quote_that_a_shell_would_eat(name: str) -> None:
    allowed = QUERIES[name].replace('["VARCHAR"]', "")
    assert '"' not in allowed


def test_errors_of_the_report_are_errors_of_quantmill() -> None:
    assert issubclass(OlderSnapshot, MissingData)
    assert issubclass(MissingData, QuantmillError)


def test_of_each_scanner_of_the_profile_the_newest_scan_that_was_known_is_shown(answers: Answers) -> None:
    connection = answers.connection
    connection.execute("create table selection.run_settings (run_id text, key text, value text, source_layer text)")
    named = json.dumps([{"scanner_id": name} for name in ("long", "short", "silent")])
    connection.execute("insert into selection.run_settings values (?, 'universe.scanners', ?, 'profile')", [RUN, named])
    connection.execute("create table selection.windows (run_id text, decision_close_utc timestamp)")
    connection.execute("insert into selection.windows values (?, '2020-01-03')", [RUN])
    connection.execute(
        """
        create table features.scan_funnel as
        select load_id, scanned_at_utc::timestamp as scanned_at_utc, scanner_id, 'OK' as status, 9 as universe_count,
            stage_number, stage, dropped_count, remaining_count
        from (values
            ('a', '2020-01-01', 'long', 1, 'fetched', 0, 9), ('a', '2020-01-01', 'long', 2, 'selected', 0, 9),
            ('b', '2020-01-02', 'long', 1, 'fetched', 0, 9), ('b', '2020-01-02', 'long', 2, 'liquidity', 4, 5),
            ('b', '2020-01-02', 'long', 3, 'selected', 0, 5), ('c', '2020-01-04', 'long', 1, 'selected', 0, 7),
            ('d', '2020-01-02', 'short', 1, 'fetched', 0, 2), ('d', '2020-01-02', 'short', 2, 'limit', 2, 0),
            ('d', '2020-01-02', 'short', 3, 'selected', 0, 0), ('e', '2020-01-02', 'other', 1, 'selected', 0, 3)
        ) as rows (load_id, scanned_at_utc, scanner_id, stage_number, stage, dropped_count, remaining_count)
        """
    )
    shown = [(row["scanner_id"], row["stage"], row["remaining_count"]) for row in answers("scan_funnel")]
    assert shown == [
        ("long", "fetched", 9), ("long", "liquidity", 5), ("long", "selected", 5),
        ("short", "fetched", 2), ("short", "limit", 0), ("short", "selected", 0),
    ]  # fmt: skip
    section = Section("scans", "Newest scans")
    scans_section(Reader(answers), section)
    assert [(finding.status, finding.text) for finding in section.findings] == [
        ("WARN", "Scanners without a scan by the last decision: silent."),
        ("WARN", "Scanners whose newest scan let nobody pass: short."),
    ]
    assert [len(block.rows) for block in section.blocks] == [6]


def test_a_profile_with_a_list_has_no_scans_to_show(answers: Answers) -> None:
    answers.connection.execute(
        "create table selection.run_settings as select ? as run_id, 'universe.id' as key, '\"u\"' as value,"
        " 'profile' as source_layer",
        [RUN],
    )
    section = Section("scans", "Newest scans")
    scans_section(Reader(answers), section)
    assert [finding.status for finding in section.findings] == ["N/A"] and not section.blocks
