"""The queries behind the run itself: settings, cells, metrics, paths, allocation, data health, ledger."""

from __future__ import annotations

from collections.abc import Mapping

from quantmill.reports.queries_shared import RUN_SPAN, RUN_SYMBOLS, SHOWN_CELLS

RUN_QUERIES: Mapping[str, str] = {
    "run": """
select
    run_id, profile, label, as_of_date, status, snapshot_id, snapshot_hash, settings_hash, code_version,
    code_hash, universe_basis, chain_head
from selection.runs
where run_id = $run_id
""",
    "settings": """
select key, value, source_layer
from selection.run_settings
where run_id = $run_id
order by key
""",
    "configs": """
select
    config_id, selection_engine, window_set, rebalance_mode, engine, risk_profile, variant, is_baseline,
    baseline_role, status, reason, solver_health, window_count, fallback_count
from tournaments.configs
where run_id = $run_id
order by
    is_baseline,
    list_position(['market', 'benchmark', 'raw_pool_ew'], risk_profile),
    engine, risk_profile, selection_engine, window_set, rebalance_mode, variant, config_id
""",
    "cells": """
select
    cell_id, config_id, selection_engine, window_set, rebalance_mode, engine, risk_profile, variant,
    simulator, cost_model, execution, mode, is_baseline, status, reason
from tournaments.cells
where run_id = $run_id
order by
    is_baseline, engine, risk_profile, selection_engine, window_set, rebalance_mode, variant, simulator,
    cost_model = 'gross', cost_model, execution, mode, cell_id
""",
    "metrics": """
select cell_id, metric, value, observation_count, status, reason
from tournaments.cell_metrics
where run_id = $run_id
order by cell_id, metric
""",
    # The path begins at the close of the first decision, with the worth the book was opened with.
    "paths": f"""
with shown as ({SHOWN_CELLS}),

first_decisions as (

    select window_set, min(decision_date) as session_date
    from selection.windows
    where run_id = $run_id
    group by window_set

),

path as (

    select shown.cell_id, first_decisions.session_date, cast(settings.value as double) as nav
    from shown
    inner join first_decisions on shown.window_set = first_decisions.window_set
    inner join selection.run_settings as settings
        on shown.run_id = settings.run_id and settings.key = 'simulation.starting_nav'
    where shown.cell_id in (select cell_id from tournaments.portfolio_returns where run_id = $run_id)

    union all

    select shown.cell_id, days.session_date, days.nav
    from shown
    inner join tournaments.portfolio_returns as days
        on shown.run_id = days.run_id and shown.cell_id = days.cell_id

)

select
    cell_id,
    session_date,
    nav,
    nav / max(nav) over (partition by cell_id order by session_date rows unbounded preceding) - 1 as drawdown
from path
order by cell_id, session_date
""",
    "growth": """
select
    cell_id,
    count(*) as session_count,
    product(1 + net_return) as compounded_growth,
    arg_max(nav, session_date) / (
        select cast(value as double) from selection.run_settings
        where run_id = $run_id and key = 'simulation.starting_nav'
    ) as nav_growth
from tournaments.portfolio_returns
where run_id = $run_id
group by cell_id
order by cell_id
""",
    # How many symbols the run could choose from, and when.
    "discovery": """
select
    count(distinct candidates.symbol) as symbol_count,
    count(distinct windows.decision_date) as window_count,
    min(windows.decision_date) as first_decision,
    max(windows.decision_date) as last_decision
from selection.candidates as candidates
inner join selection.windows as windows
    on candidates.run_id = windows.run_id
    and candidates.window_set = windows.window_set
    and candidates.window_index = windows.window_index
where candidates.run_id = $run_id
""",
    "allocations": """
select
    allocations.config_id,
    allocations.window_set,
    allocations.window_index,
    windows.decision_date,
    windows.primary_end_date,
    allocations.cash,
    allocations.net_cash
from tournaments.window_allocations as allocations
inner join selection.windows as windows
    on allocations.run_id = windows.run_id
    and allocations.window_set = windows.window_set
    and allocations.window_index = windows.window_index
where allocations.run_id = $run_id
order by allocations.config_id, allocations.window_index
""",
    "weights": """
select config_id, window_index, symbol, net_weight, gross_weight
from tournaments.target_weights
where run_id = $run_id
    and gross_weight <> 0
order by config_id, window_index, symbol
""",
    "windows": """
with measured as (

    select
        window_index,
        max(value) filter (where metric = 'period_return' and cell_id = $cell_id) as period_return,
        max(value) filter (where metric = 'max_drawdown' and cell_id = $cell_id) as max_drawdown,
        max(value) filter (where metric = 'turnover' and cell_id = $cell_id) as turnover,
        max(value) filter (where metric = 'period_return' and cell_id = $market_cell_id) as market_return
    from tournaments.window_metrics
    where run_id = $run_id
        and cell_id in ($cell_id, $market_cell_id)
    group by window_index

)

select
    windows.window_index,
    windows.decision_date,
    windows.test_start_date,
    windows.test_end_date,
    windows.regime,
    measured.period_return,
    measured.market_return,
    measured.max_drawdown,
    measured.turnover,
    allocations.status,
    allocations.fallback_reason,
    allocations.atom_count,
    allocations.cash,
    funnel.winner_count
from selection.windows as windows
left join measured on windows.window_index = measured.window_index
left join tournaments.window_allocations as allocations
    on windows.run_id = allocations.run_id
    and windows.window_set = allocations.window_set
    and windows.window_index = allocations.window_index
    and allocations.config_id = $config_id
left join selection.funnel as funnel
    on windows.run_id = funnel.run_id
    and windows.window_set = funnel.window_set
    and windows.window_index = funnel.window_index
    and funnel.selection_engine = $selection_engine
where windows.run_id = $run_id
    and windows.window_set = $window_set
order by windows.window_index
""",
    # What each window made, the best first, and the book that made it.
    "window_growth": """
select
    windows.window_index,
    windows.decision_date,
    windows.test_start_date,
    windows.test_end_date,
    metrics.value as period_return,
    count(weights.symbol) as symbol_count,
    string_agg(weights.symbol, ', ' order by abs(weights.net_weight) desc, weights.symbol) as symbols,
    max(abs(weights.net_weight)) as largest_weight
from tournaments.window_metrics as metrics
inner join tournaments.cells as cells
    on metrics.run_id = cells.run_id
    and metrics.cell_id = cells.cell_id
inner join selection.windows as windows
    on metrics.run_id = windows.run_id
    and cells.window_set = windows.window_set
    and metrics.window_index = windows.window_index
left join tournaments.target_weights as weights
    on metrics.run_id = weights.run_id
    and cells.config_id = weights.config_id
    and metrics.window_index = weights.window_index
    and weights.net_weight <> 0
where metrics.run_id = $run_id
    and metrics.cell_id = $cell_id
    and metrics.metric = 'period_return'
    and metrics.value is not null
group by all
order by metrics.value desc, windows.window_index
""",
    "health": f"""
with symbols as ({RUN_SYMBOLS}),

span as (

{RUN_SPAN}

),

verdicts as (

    select health.*
    from features.symbol_health as health
    inner join span on health.as_of_date <= span.last_date
    qualify row_number() over (partition by health.symbol order by health.as_of_date desc) = 1

),

bars as (

    select
        bars.symbol,
        count(*) as bar_count,
        count(*) filter (where bars.is_late_revision) as late_revision_count
    from features.session_bars as bars
    inner join span on bars.session_date between span.first_date and span.last_date
    group by bars.symbol

),

spikes as (

    select
        spikes.symbol,
        count(*) filter (where not spikes.is_resolved) as open_spike_count,
        count(*) filter (where spikes.is_resolved) as resolved_spike_count
    from features.bar_spikes as spikes
    inner join span on spikes.session_date between span.first_date and span.last_date
    group by spikes.symbol

)

select
    symbols.symbol,
    symbols.role,
    coalesce(verdicts.verdict, 'MISSING') as verdict,
    coalesce(
        verdicts.reasons,
        case
            when symbols.symbol in (select symbol from features.bar_verdicts where verdict = 'UNKNOWN_SYMBOL')
                then 'bars have landed, but no description and no scan says what it is, so they belong to no session'
            else 'no bar up to the as-of date'
        end
    ) as reasons,
    verdicts.as_of_date as judged_on_date,
    verdicts.expected_sessions,
    verdicts.missing_sessions,
    verdicts.last_session_date,
    coalesce(bars.bar_count, 0) as bar_count,
    coalesce(bars.late_revision_count, 0) as late_revision_count,
    coalesce(spikes.open_spike_count, 0) as open_spike_count,
    coalesce(spikes.resolved_spike_count, 0) as resolved_spike_count
from symbols
left join verdicts on symbols.symbol = verdicts.symbol
left join bars on symbols.symbol = bars.symbol
left join spikes on symbols.symbol = spikes.symbol
order by symbols.role in ('landed only', 'former candidate'), symbols.role, symbols.symbol
""",
    "loads": """
select
    kind,
    source,
    status,
    count(*) as load_count,
    sum(rows_received)::bigint as rows_received,
    sum(rows_new)::bigint as rows_new,
    sum(rows_identical)::bigint as rows_identical,
    sum(rows_superseding)::bigint as rows_superseding,
    sum(rows_quarantined)::bigint as rows_quarantined,
    max(finished_at_utc) as last_finished_at_utc
from raw.loads
group by kind, source, status
order by kind, source, status
""",
    "quarantine": """
select kind, code, severity, count(*) as row_count, count(*) filter (where resolution is null) as open_count
from raw.quarantine
group by kind, code, severity
order by kind, code, severity
""",
    "funnel": """
select
    window_set,
    selection_engine,
    stage,
    min(atom_count) as least,
    median(atom_count) as median,
    max(atom_count) as most,
    count(*) as window_count
from (
    unpivot (select * from selection.funnel where run_id = $run_id)
    on
        universe_count, discovered_count, data_ok_count, scored_count, not_vetoed_count, cluster_count,
        winner_count
    into name stage value atom_count
)
group by window_set, selection_engine, stage
order by
    window_set,
    selection_engine,
    list_position(
        [
            'universe_count', 'discovered_count', 'data_ok_count', 'scored_count', 'not_vetoed_count',
            'cluster_count', 'winner_count'
        ],
        stage
    )
""",
    "scarcity": """
select
    window_set,
    selection_engine,
    count(*) filter (where is_scarce) as scarce_count,
    count(*) filter (where winner_count = 0) as empty_count,
    count(*) filter (where is_scarce or winner_count = 0) as either_count
from selection.funnel
where run_id = $run_id
group by window_set, selection_engine
order by window_set, selection_engine
""",
    "solves": """
select config_id, status, count(*) as window_count, min(fallback_reason) as example_reason
from tournaments.window_allocations
where run_id = $run_id
group by config_id, status
order by config_id, status
""",
    "constraints": """
select
    config_id,
    constraint_name,
    count(*) as window_count,
    count(*) filter (where is_binding) as binding_count,
    count(*) filter (where is_relaxed) as relaxed_count,
    max(value) as largest_value,
    max(bound) as largest_bound
from tournaments.constraint_rows
where run_id = $run_id
    and not contains(constraint_name, ':')
group by config_id, constraint_name
order by config_id, constraint_name
""",
    "attempts": """
select
    config_id,
    step,
    solver,
    status,
    count(*) as attempt_count,
    max(condition_number) as largest_condition_number,
    min(reason) as example_reason
from tournaments.solver_attempts
where run_id = $run_id
group by config_id, step, solver, status
order by config_id, min(attempt), step, solver, status
""",
    "events": """
select
    'allocation' as stage, config_id, severity, code, count(*) as event_count, min(detail) as example
from tournaments.allocation_events
where run_id = $run_id
group by config_id, severity, code

union all

select
    'simulation' as stage,
    cells.config_id,
    'INFO' as severity,
    events.code,
    count(*) as event_count,
    min(events.session_date)::varchar || coalesce(' ' || min(events.symbol), '') as example
from tournaments.simulation_events as events
inner join tournaments.cells as cells on events.run_id = cells.run_id and events.cell_id = cells.cell_id
where events.run_id = $run_id
group by cells.config_id, events.code

order by stage, config_id, severity, code
""",
    "ledger": """
select step, action, status, count(*) as record_count, min(sequence) as first_sequence
from tournaments.audit_ledger
where run_id = $run_id
group by step, action, status
order by first_sequence
""",
    "chain": """
with linked as (

    select
        *,
        lag(hash) over (order by sequence) as expected_previous_hash,
        row_number() over (order by sequence) - 1 as expected_sequence
    from tournaments.audit_ledger
    where run_id = $run_id

)

select
    count(*) as record_count,
    arg_max(hash, sequence) as head_hash,
    arg_max(action, sequence) as last_action,
    count(*) filter (where expected_previous_hash is distinct from previous_hash and sequence > 0)
        as broken_link_count,
    count(*) filter (where sequence <> expected_sequence) as misnumbered_count,
    count(*) filter (where action = 'INTENT') as intent_count,
    count(*) filter (where action = 'OUTCOME') as outcome_count,
    min(recorded_at_utc) as first_recorded_at_utc,
    max(recorded_at_utc) as last_recorded_at_utc
from linked
""",
}
