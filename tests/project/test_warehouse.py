"""The columns that people, BI tools and checks rely on are there, with these names."""

from __future__ import annotations

import re

import duckdb
import pytest
from project.sources import DbtProject
from quantmill.judgement import GATES
from support import ROOT

from ingest.schema import create_tables

WINDOW = "run_id window_set window_index"
AS_RECEIVED = "load_id row_number symbol payload received_at_utc"

LANDED = {
    "raw.loads": "load_id kind source status request_hash payload_sha256 rows_received rows_new "
    "rows_identical rows_superseding rows_quarantined started_at_utc finished_at_utc error",
    "raw.scan_rows": "load_id row_number scanner_id symbol payload scanned_at_utc config_hash",
    "raw.scanner_configs": "config_hash scanner_id resolved first_seen_utc",
    "raw.bars": "load_id source symbol interval adjustment opened_at_utc open high low close volume "
    "quote_volume is_final received_at_utc",
    "raw.symbol_metadata": AS_RECEIVED,
    "raw.execution_limits": AS_RECEIVED,
    "raw.vendor_features": AS_RECEIVED,
    "raw.resolutions": AS_RECEIVED,
    "raw.quarantine": "load_id kind code severity symbol payload detail detected_at_utc resolution",
    "ops.symbol_registry": "symbol status reason last_final_session last_attempt_utc consecutive_failures",
    "ops.symbol_listings": "place symbol is_listed since_utc reason command_id",
    "ops.snapshots": "snapshot_id max_load_id content_hash created_at_utc",
}

MODELLED = {
    "features.market_calendar": "calendar_id session_date open_utc close_utc",
    "features.symbols": "symbol asset_class asset_type region subclass venue_class base quote economic_id "
    "calendar_id timezone sector tick_size valid_from valid_to",
    "features.execution_limits": "symbol venue tick_size lot_size step_size min_notional contract_size price_precision "
    "maker_fee taker_fee source observed_at_utc valid_from valid_to",
    "features.metadata_coverage": "scanner_id symbol is_covered candidate_count coverage is_coverage_met",
    "features.symbol_tags": "symbol tag origin valid_from valid_to",
    "features.symbol_identity": "symbol as_of_date economic_id identity_group is_representative kept_because "
    "median_turnover vt_rep vt_group alternatives",
    "features.scan_candidates": "load_id scanned_at_utc scanner_id symbol logic direction passes failed_gates layer "
    "is_kept drop_stage drop_reason rank",
    "features.scan_funnel": "load_id scanner_id stage fetched_count dropped_count remaining_count",
    "features.vendor_features": "symbol observed_at_utc timeframe feature value status is_intrabar session_date",
    "features.session_bars": "symbol session_date open high low close total_return_close volume turnover "
    "source load_id known_at_utc",
    "features.daily_returns": "symbol session_date simple_return session_count",
    "features.base_returns": "symbol session_date local_return base_return conversion",
    "features.currency_rates": "currency session_date rate is_off_par",
    "features.bar_gaps": "symbol session_date run_length is_excused",
    "features.bar_spikes": "symbol session_date code value donor_symbol is_resolved resolution",
    "features.symbol_health": "symbol as_of_date verdict reasons expected_sessions missing_sessions last_session_date",
    "features.factor_history": "symbol session_date factor_set momentum momentum_short compounded_60 "
    "compounded_60_short volatility_annual efficiency entropy hurst skew skew_short excess_kurtosis cvar "
    "cvar_short tail_gain tail_gain_short adx roc average_daily_value spread largest_absolute_return equal_close_count "
    "absolute_autocorrelation gap_fraction survival survival_tested_count observation_count known_at_utc",
    "features.technical_ratings": "symbol session_date rating_all rating_ma rating_other rating_label adx rsi atr roc "
    "volatility_daily volume_change ma_vote_count other_vote_count bar_count is_warm known_at_utc",
    "features.rating_components": "component rating length meaning votes_up_when votes_down_when",
    "features.rating_votes": "symbol session_date component rating vote share is_warm meaning because",
    "features.rating_parity": "symbol session_date rating local_value vendor_value is_same_sign is_intrabar is_warm",
    "features.rating_vote_parity": "symbol session_date component local_vote vendor_vote is_same_vote is_intrabar",
    "features.rating_parity_report": "basis measure subject value limit_value symbol_count observation_count status",
    "features.market_regimes": "asset_class session_date score label quadrant volatility_ratio turbulence clustering "
    "entropy hurst stationarity fat_tail growth stress member_count observation_count weighting",
    "features.survival_events": "version event_id start_date end_date asset_class",
    "features.survival_tests": "symbol event_id is_tested is_passed missing_share volume_ratio tested_from_date",
    "features.quality_results": "snapshot_id profile suite expectation is_success observed_value unexpected_count "
    "judged_at_utc judgement_id severity status error rule_digest duration_seconds",
    "features.quality_failures": "snapshot_id suite expectation symbol session_date detail judgement_id rank",
    "selection.runs": "run_id profile label as_of_date status snapshot_id settings_hash code_version "
    "universe_basis settings",
    "selection.run_settings": "run_id key value source_layer",
    "selection.candidates": f"{WINDOW} scanner_id atom_id symbol logic direction passes failed_gates is_kept "
    "drop_stage drop_reason rank",
    "selection.windows": f"{WINDOW} estimation_start_date train_start_date train_end_date decision_date "
    "test_start_date test_end_date regime regime_score quadrant",
    "selection.factor_probabilities": f"{WINDOW} atom_id symbol direction factor raw_value "
    "probability method is_imputed",
    "selection.score_contributions": f"{WINDOW} selection_engine atom_id factor weight contribution",
    "selection.alpha_scores": f"{WINDOW} selection_engine atom_id log_score score rank",
    "selection.clusters": f"{WINDOW} clustering_id symbol cluster_id label cluster_size threshold",
    "selection.cluster_statistics": f"{WINDOW} selection_engine cluster_id label cluster_size mean_correlation "
    "lead_atom_id volatility_annual",
    "selection.vetoes": f"{WINDOW} selection_engine atom_id code severity metric_value limit_value is_fired "
    "overridden_by",
    "selection.selection_warnings": f"{WINDOW} selection_engine code subject atom_id detail",
    "selection.decisions": f"{WINDOW} selection_engine atom_id symbol outcome lost_to selected_via score "
    "cluster_id relaxation_stage",
    "selection.winners": f"{WINDOW} selection_engine atom_id symbol logic direction cluster_id score rank selected_via",
    "selection.funnel": f"{WINDOW} selection_engine universe_count discovered_count data_ok_count "
    "scored_count not_vetoed_count cluster_count winner_count stage_reached is_scarce",
    "tournaments.atom_returns": "run_id atom_id symbol direction session_date synthetic_return",
    "tournaments.configs": "run_id config_id selection_engine window_set rebalance_mode engine risk_profile "
    "variant status reason",
    "tournaments.cells": "run_id cell_id config_id selection_engine window_set rebalance_mode engine "
    "risk_profile variant simulator cost_model execution mode status reason",
    "tournaments.solver_attempts": f"{WINDOW} config_id attempt step solver status reason condition_number shrinkage",
    "tournaments.atom_weights": f"{WINDOW} config_id atom_id cluster_id weight status fallback_reason",
    "tournaments.target_weights": f"{WINDOW} config_id symbol net_weight gross_weight",
    "tournaments.weight_trace": f"{WINDOW} config_id sleeve atom_id symbol sleeve_weight atom_weight sign product",
    "tournaments.constraint_rows": f"{WINDOW} config_id constraint_name bound value is_binding is_relaxed",
    "tournaments.trades": "run_id cell_id session_date symbol traded_weight cost reason",
    "tournaments.portfolio_returns": "run_id cell_id session_date window_index gross_return cost borrow_cost "
    "net_return nav gross_exposure net_exposure",
    "tournaments.window_metrics": "run_id cell_id window_index metric value observation_count status",
    "tournaments.cell_metrics": "run_id cell_id metric value observation_count status",
    "tournaments.scoreboard": "run_id cell_id config_id selection_engine window_set rebalance_mode engine risk_profile "
    "variant simulator cost_model execution mode is_baseline baseline_role tier rank unranked_reason duplicate_of "
    "is_strict_candidate is_promotable veto_reasons sharpe cagr annualized_vol max_drawdown cvar_95 avg_turnover "
    "ann_turnover cost_drag beta n_obs n_windows solver_success "
    + " ".join(f"is_{gate} {gate}_value {gate}_limit" for gate in GATES),
    "tournaments.veto_matrix": "run_id cell_id gate value limit_value margin is_passed status reason",
    "tournaments.veto_summary": "run_id veto_code veto_count sole_veto_count",
    "tournaments.attribution": "run_id cell_id window_set window_index discovery_alpha selection_alpha "
    "optimisation_alpha efficiency",
    "tournaments.audit_ledger": "run_id sequence schema_version action step status recorded_at_utc context "
    "params input_hashes output_hashes outcome data previous_hash hash",
}


@pytest.fixture(scope="module")
def landing_columns() -> dict[str, list[str]]:
    """Columns of the tables that ingest creates, by table."""
    with duckdb.connect(":memory:") as connection:
        create_tables(connection)
        return dict(
            connection.execute(
                "select schema_name || '.' || table_name, list(column_name order by column_index)"
                " from duckdb_columns() where schema_name in ('raw', 'ops') group by all"
            ).fetchall()
        )


def _type_family(name: str, declared: str) -> bool:
    """Whether the declared type is what the ending of the column's name promises."""
    kind = declared.lower()
    if name.endswith("_date"):
        return kind == "date"
    if name.endswith("_utc"):
        return kind == "timestamp"
    if name.startswith(("is_", "has_")):
        return kind == "boolean"
    if name.endswith("_count"):
        return kind in ("integer", "bigint")
    return True


@pytest.mark.parametrize("table", LANDED)
def test_a_landed_table_has_its_promised_columns(table: str, landing_columns: dict[str, list[str]]) -> None:
    assert [name for name in LANDED[table].split() if name not in landing_columns.get(table, [])] == []


@pytest.mark.parametrize("table", MODELLED)
def test_a_modelled_table_has_its_promised_columns(table: str, project: DbtProject) -> None:
    model = project.public().get(table)
    assert model is not None, f"no public model makes {table}"
    assert [name for name in MODELLED[table].split() if name not in model["columns"]] == []


def test_the_name_of_a_column_tells_its_type(project: DbtProject) -> None:
    found = [
        f"{table}.{column['name']} is {column['data_type']}"
        for table, model in project.public().items()
        for column in model["columns"].values()
        if not _type_family(column["name"], column["data_type"] or "")
    ]
    assert found == []


def test_the_tables_that_the_audit_calls_absent_are_absent_and_no_column_list_has_them(project: DbtProject) -> None:
    text = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    section = text.split("## What there is no table for yet\n")[1].split("\n## ")[0]
    absent = set(re.findall(r"`((?:features|selection|tournaments)\.\w+)`", section))
    assert {"selection.cluster_sensitivity", "selection.selection_stability", "tournaments.overfitting"} <= absent
    assert absent & ({*project.public()} | {*MODELLED}) == set()
