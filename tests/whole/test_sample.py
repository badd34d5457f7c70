"""The built profile `sample`, questioned through its published snapshot."""

from __future__ import annotations

import json

import duckdb
import pytest
from quantmill.judgement import GATES
from quantmill.manifest.home import Home
from quantmill.stages.sealing import TABLE_KEYS
from support import ask, dbt_build, run


def test_sample_has_the_windows_and_the_grid_of_its_profile(sample_home: Home) -> None:
    windows = ask(
        sample_home,
        "select count(*), min(decision_date)::varchar, max(test_end_date)::varchar from selection.windows",
    )
    assert windows[0][0] == 62
    sessions = ask(
        sample_home,
        "select count(distinct session_date), min(session_date)::varchar, max(session_date)::varchar"
        " from tournaments.atom_returns",
    )
    assert sessions[0][0] == 1511
    assert sessions[0][2] == "2022-12-28"


def test_every_symbol_is_ok_over_the_grid_of_the_run(sample_home: Home) -> None:
    found = ask(
        sample_home,
        """
        select verdict, count(distinct symbol) from features.symbol_health
        where as_of_date between (select min(session_date) from tournaments.atom_returns) and date '2022-12-28'
        group by verdict
        """,
    )
    assert found == [("OK", 26)]


def test_every_landed_bar_is_accepted_superseded_or_rejected_with_a_code(sample_home: Home) -> None:
    landed, judged, accepted = ask(
        sample_home,
        """
        select (select count(*) from raw.bars), (select count(*) from features.bar_verdicts),
            (select count(*) from features.session_bars)
        """,
    )[0]
    assert landed == judged == 185_893
    assert accepted == landed


def test_weights_and_cash_are_one_in_every_window_of_every_configuration(sample_home: Home) -> None:
    worst = ask(
        sample_home,
        """
        select max(abs(total + net_cash - 1)), count(*) from (
            select a.config_id, a.window_index, any_value(a.net_cash) as net_cash,
                coalesce(sum(t.net_weight), 0) as total
            from tournaments.window_allocations as a
            left join tournaments.target_weights as t using (run_id, window_set, window_index, config_id)
            group by all
        )
        """,
    )[0]
    assert worst[0] < 1e-9
    assert worst[1] == 62 * ask(sample_home, "select count(*) from tournaments.configs")[0][0]


def test_no_cluster_and_no_symbol_stands_above_its_cap(sample_home: Home) -> None:
    largest, most_relaxed = ask(
        sample_home,
        """
        with relaxed as (
            select run_id, config_id, window_index, bool_or(is_relaxed) as is_relaxed from tournaments.constraint_rows
            group by all
        ),
        clusters as (
            select run_id, config_id, window_index, cluster_id, sum(weight) as weight from tournaments.atom_weights
            where cluster_id is not null group by all
        )
        select max(weight) filter (where not is_relaxed), max(weight) filter (where is_relaxed)
        from clusters join relaxed using (run_id, config_id, window_index)
        """,
    )[0]
    assert 0.2 < largest <= 0.25 + 1e-6
    assert most_relaxed <= 0.5 + 1e-6
    # the crash of 2020 left too few winners to fill four clusters; the whole pool always does
    relaxed = ask(
        sample_home,
        """
        select distinct c.selection_engine, year(w.decision_date) from tournaments.constraint_rows as r
        join tournaments.configs as c using (run_id, config_id)
        join selection.windows as w
            on r.run_id = w.run_id and r.window_set = w.window_set and r.window_index = w.window_index
        where r.is_relaxed
        """,
    )
    assert relaxed == [("v3.2", 2020)]


def test_compounded_net_returns_are_the_growth_of_the_nav_in_every_cell(sample_home: Home) -> None:
    cells = ask(
        sample_home,
        """
        select cell_id, product(1 + net_return) as growth, arg_max(nav, session_date) as nav_end, count(*)
        from tournaments.portfolio_returns group by cell_id
        """,
    )
    assert len(cells) == ask(sample_home, "select count(*) from tournaments.cells")[0][0]
    for _, growth, nav_end, count in cells:
        assert growth == pytest.approx(nav_end, rel=1e-12)
        assert count == 62 * 20


def test_net_return_is_gross_return_less_costs_and_borrow(sample_home: Home) -> None:
    worst = ask(
        sample_home,
        "select max(abs(gross_return - cost - borrow_cost - net_return)) from tournaments.portfolio_returns",
    )[0][0]
    assert worst < 1e-15


def test_costs_of_the_days_are_the_costs_of_the_trades(sample_home: Home) -> None:
    worst = ask(
        sample_home,
        """
        with paid as (select cell_id, sum(cost) as cost from tournaments.trades group by cell_id),
        charged as (select cell_id, sum(cost) as cost from tournaments.portfolio_returns group by cell_id)
        select max(abs(paid.cost - charged.cost)), sum(paid.cost) from paid join charged using (cell_id)
        """,
    )[0]
    assert worst[0] < 1e-12
    assert worst[1] > 0.01


def test_the_gross_twin_is_never_below_its_costed_cell(sample_home: Home) -> None:
    below = ask(
        sample_home,
        """
        select count(*) from tournaments.portfolio_returns as net
        join tournaments.cells as c on net.run_id = c.run_id and net.cell_id = c.cell_id and c.cost_model = 'std_6bp'
        join tournaments.cells as g on c.run_id = g.run_id and c.config_id = g.config_id and g.cost_model = 'gross'
        join tournaments.portfolio_returns as gross
            on g.run_id = gross.run_id and g.cell_id = gross.cell_id and net.session_date = gross.session_date
        where net.nav > gross.nav
        """,
    )[0][0]
    assert below == 0


def test_no_training_row_reaches_into_its_test(sample_home: Home) -> None:
    wrong = ask(
        sample_home,
        """
        select count(*) from selection.windows
        where not (estimation_start_date <= train_start_date and train_end_date = decision_date
            and decision_date < test_start_date and test_start_date <= primary_end_date
            and primary_end_date <= test_end_date)
        """,
    )[0][0]
    assert wrong == 0


def test_the_benchmark_equals_the_raw_pool_where_everything_is_selected(sample_home: Home) -> None:
    worst = ask(
        sample_home,
        """
        select max(abs(a.net_return - b.net_return)) from tournaments.portfolio_returns as a
        join tournaments.cells as x on a.run_id = x.run_id and a.cell_id = x.cell_id and x.risk_profile = 'benchmark'
            and x.selection_engine = 'baseline'
        join tournaments.cells as y
            on x.run_id = y.run_id and x.cost_model = y.cost_model and x.rebalance_mode = y.rebalance_mode
            and x.selection_engine = y.selection_engine and y.risk_profile = 'raw_pool_ew'
        join tournaments.portfolio_returns as b
            on y.run_id = b.run_id and y.cell_id = b.cell_id and a.session_date = b.session_date
        """,
    )[0][0]
    assert worst == 0


def test_the_market_baseline_buys_once_and_earns_the_index(sample_home: Home) -> None:
    trades = ask(
        sample_home,
        """
        select count(*), count(distinct cell_id) from tournaments.trades join tournaments.cells using (run_id, cell_id)
        where risk_profile = 'market' and cost_model = 'std_6bp'
        """,
    )[0]
    assert trades[0] == trades[1] > 0
    worst = ask(
        sample_home,
        """
        select max(abs(p.gross_return - r.simple_return)) from tournaments.portfolio_returns as p
        join tournaments.cells as c using (run_id, cell_id)
        join features.daily_returns as r on r.symbol = 'SP:SPX' and r.session_date = p.session_date
        where c.risk_profile = 'market' and c.cost_model = 'gross'
        """,
    )[0][0]
    assert worst < 1e-14


def test_daily_books_are_at_their_target_at_every_close_and_window_books_trade_at_decisions(
    sample_home: Home,
) -> None:
    days = ask(
        sample_home,
        """
        select c.rebalance_mode, count(distinct t.session_date), count(distinct t.reason)
        from tournaments.trades as t join tournaments.cells as c using (run_id, cell_id)
        where c.risk_profile = 'min_variance' group by 1 order by 1
        """,
    )
    # The first close trades too, the last of the 1,240 sessions does not.
    assert days == [("daily", 1240, 2), ("window", 62, 1)]


def test_weights_do_not_depend_on_the_rebalance_mode(sample_home: Home) -> None:
    compared, worst = ask(
        sample_home,
        """
        with weights as (
            select c.* exclude (config_id), t.window_index, t.symbol, t.net_weight
            from tournaments.target_weights as t join tournaments.configs as c using (run_id, config_id)
        )
        select count(*), max(abs(a.net_weight - b.net_weight))
        from (from weights where rebalance_mode = 'daily') as a
        full join (from weights where rebalance_mode = 'window') as b
            using (run_id, selection_engine, engine, risk_profile, window_index, symbol)
        where a.net_weight is not null
        """,
    )[0]
    assert compared > 1000
    assert worst == 0.0


def test_the_scoreboard_gates_every_cell_and_ranks_no_baseline(sample_home: Home) -> None:
    cells, rows, judged = ask(
        sample_home,
        "select (select count(*) from tournaments.cells), (select count(*) from tournaments.scoreboard),"
        " (select count(*) from tournaments.veto_matrix)",
    )[0]
    assert cells == rows == judged / len(GATES)
    board = ask(
        sample_home,
        "select is_baseline, cost_model, rank, unranked_reason from tournaments.scoreboard",
    )
    assert all(
        (rank is None) == (is_baseline or cost != "std_6bp" or why in ("duplicate", "config_delegated"))
        for is_baseline, cost, rank, why in board
    )
    assert {why for is_baseline, _, _, why in board if is_baseline} == {"baseline"}


def test_absent_inputs_are_shown_and_veto_nothing_under_the_tier_smoke(sample_home: Home) -> None:
    rows = ask(
        sample_home,
        """
        select distinct s.tier, s.is_strict_candidate, s.is_promotable, s.missing_inputs like '%missing:sim_parity%',
            coalesce(s.veto_reasons, '') like '%:%', s.promotion_blockers like '%universe_basis:static%'
        from tournaments.scoreboard as s
        """,
    )
    assert rows == [("smoke", False, False, True, False, True)]


def test_the_market_is_its_own_multiple_and_has_no_stress_alpha(sample_home: Home) -> None:
    rows = ask(
        sample_home,
        "select distinct cvar_mult_value, mdd_mult_value, stress_alpha_value, is_af_dist, is_concentration"
        " from tournaments.scoreboard where risk_profile = 'market'",
    )
    assert rows == [(1.0, 1.0, 0.0, False, None)]


def test_gates_are_judged_on_the_published_metrics(sample_home: Home) -> None:
    different = ask(
        sample_home,
        """
        select count(*) from tournaments.scoreboard as s join tournaments.cell_metrics as m using (run_id, cell_id)
        where m.metric = 'temporal_fragility' and m.value is distinct from s.temporal_fragility_value
            or m.metric = 'sharpe' and m.value is distinct from s.sharpe
            or m.metric = 'window_turnover' and m.value is distinct from s.turnover_value
            or m.metric = 'beta_recent' and s.risk_profile = 'min_variance' and m.value is distinct from s.beta_value
            or m.metric = 'max_cluster_peak' and not s.is_baseline and m.value is distinct from s.concentration_value
        """,
    )[0][0]
    assert different == 0


def test_the_largest_cluster_of_any_window_is_that_of_the_weights(sample_home: Home) -> None:
    worst = ask(
        sample_home,
        """
        with clusters as (
            select run_id, config_id, window_index, cluster_id, sum(weight) as weight
            from tournaments.atom_weights group by all
        ),
        peaks as (select run_id, config_id, max(weight) as peak from clusters group by all)
        select max(abs(s.concentration_value - peaks.peak)), count(s.concentration_value)
        from tournaments.scoreboard as s join peaks using (run_id, config_id) where not s.is_baseline
        """,
    )[0]
    assert worst[0] < 1e-12
    assert worst[1] > 0


def test_the_ledger_has_a_gate_for_each_cell_with_costs(sample_home: Home) -> None:
    gated, costed = ask(
        sample_home,
        """
        select (select count(distinct context ->> 'cell_id') from tournaments.audit_ledger where action = 'GATE'),
            (select count(*) from tournaments.cells where cost_model <> 'gross')
        """,
    )[0]
    assert gated >= costed > 0


def test_winners_are_the_whole_pool_under_baseline(sample_home: Home) -> None:
    found = ask(
        sample_home,
        """
        select distinct winner_count, universe_count, scored_count, not_vetoed_count, is_scarce from selection.funnel
        where selection_engine = 'baseline'
        """,
    )
    assert found == [(20, 20, 20, 20, False)]


def test_the_scored_engine_chooses_about_sixteen_of_twenty_and_never_none(sample_home: Home) -> None:
    count, least, mean, most = ask(
        sample_home,
        """
        select count(*), min(winner_count), avg(winner_count), max(winner_count) from selection.funnel
        where selection_engine = 'v3.2'
        """,
    )[0]
    assert count == 62
    assert least >= 1 and most <= 20
    assert 14 < mean < 18


def test_settings_carry_the_layer_they_came_from(sample_home: Home) -> None:
    layers = dict(
        ask(
            sample_home,
            "select key, source_layer from selection.run_settings where key in ('as_of', 'seed', 'universe.logic')",
        )
    )
    assert layers == {"as_of": "profile", "seed": "defaults", "universe.logic": "universe"}


def test_the_ledger_verifies_and_its_seal_covers_every_table_of_the_run(sample_home: Home) -> None:
    verified = run(sample_home, "-m", "quantmill", "ledger-verify")
    assert verified.code == 0, verified.output
    data = ask(sample_home, "select data from tournaments.audit_ledger where action = 'SEAL'")[0][0]
    sealed = set(json.loads(data)["tables"])
    with_run = {
        row[0]
        for row in ask(
            sample_home,
            """
            select schema_name || '.' || table_name from duckdb_columns()
            where column_name = 'run_id' and schema_name in ('selection', 'tournaments')
            """,
        )
    }
    assert (
        sealed == set(TABLE_KEYS) == with_run - {"selection.runs", "selection.runs_latest", "tournaments.audit_ledger"}
    )


def test_every_public_table_and_column_has_a_comment_in_the_published_snapshot(sample_home: Home) -> None:
    silent = ask(
        sample_home,
        """
        select schema_name || '.' || table_name || '.' || column_name from duckdb_columns()
        where not internal and schema_name <> 'main' and coalesce(comment, '') = ''
        union all
        select schema_name || '.' || table_name from duckdb_tables() where coalesce(comment, '') = ''
        """,
    )
    assert silent == []


def test_the_published_snapshot_holds_no_private_table(sample_home: Home) -> None:
    private = ask(sample_home, "select table_name from information_schema.tables where table_schema = 'work'")
    assert private == []


def test_the_published_snapshot_has_no_room_left_over_from_what_is_not_published(sample_home: Home) -> None:
    free, total = ask(sample_home, "select free_blocks, total_blocks from pragma_database_size()")[0]
    assert free < 0.05 * total


def test_the_staging_views_of_the_snapshot_can_be_read(sample_home: Home) -> None:
    assert ask(sample_home, "select count(*) from staging.stg_bars")[0][0] == 185_893


def test_a_reader_cannot_write_to_the_snapshot(sample_home: Home) -> None:
    answered = run(sample_home, "-m", "quantmill", "sql", "create table x as select 1")
    assert answered.code == 2
    assert "read-only" in answered.output


def test_a_second_build_is_the_same_run_and_a_reader_keeps_its_snapshot_meanwhile(sample_home: Home) -> None:
    query = "select * from tournaments.audit_ledger order by run_id, sequence"
    before = ask(sample_home, query)
    with duckdb.connect(str(sample_home.snapshot), read_only=True) as reader:
        count = reader.execute("select count(*) from raw.bars").fetchall()
        again = dbt_build(sample_home)
        assert reader.execute("select count(*) from raw.bars").fetchall() == count
    assert again.code == 0, again.output
    assert "UP_TO_DATE: run sample-20221228-" in again.output
    assert ask(sample_home, query) == before
    assert ask(sample_home, "select count(*), count(distinct run_id) from selection.runs") == [(1, 1)]


def test_dbt_docs_are_written_as_one_file(sample_home: Home) -> None:
    made = run(sample_home, "dbt", "docs", "generate", "--static")
    assert made.code == 0, made.output
    page = (sample_home.state / "target" / "static_index.html").read_text(encoding="utf-8")
    assert "tournaments" in page
    assert "One row per cell and session" in page
