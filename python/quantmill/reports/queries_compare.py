"""The queries behind the overview, the comparison, the risk page and the scoreboard."""

from __future__ import annotations

from collections.abc import Mapping

COMPARE_QUERIES: Mapping[str, str] = {
    "spans": """
select
    cell_id,
    min(session_date) as first_date,
    max(session_date) as last_date,
    count(*) as session_count
from tournaments.portfolio_returns
where run_id = $run_id
group by cell_id
order by cell_id
""",
    "net_identity": """
select
    count(*) as session_count,
    max(abs(gross_return - cost - borrow_cost - net_return)) as largest_difference
from tournaments.portfolio_returns
where run_id = $run_id
""",
    "foresight": """
select
    count(*) as window_count,
    count(*) filter (where train_end_date > decision_date) as trained_later_count,
    count(*) filter (where test_start_date <= decision_date) as tested_earlier_count,
    count(*) filter (where calendar.close_utc is distinct from windows.decision_close_utc) as other_close_count
from selection.windows as windows
left join (
    select sessions.session_date, max(sessions.close_utc) as close_utc
    from features.market_calendar as sessions
    inner join selection.run_settings as settings
        on settings.run_id = $run_id
        and settings.key = 'calendar_id'
        and sessions.calendar_id = replace(settings.value, chr(34), '')
    group by sessions.session_date
) as calendar
    on windows.decision_date = calendar.session_date
where windows.run_id = $run_id
""",
    # A constraint of the whole book has a plain name; asset_cap:NYSE:KO tells for which part of it a cap bound.
    "bound_parts": """
select
    split_part(constraint_name, ':', 1) as constraint_name,
    substr(constraint_name, position(':' in constraint_name) + 1) as part,
    count(*) filter (where is_binding) as binding_count,
    count(*) filter (where is_relaxed) as relaxed_count,
    max(bound) as largest_bound
from tournaments.constraint_rows
where run_id = $run_id
    and config_id = $config_id
    and contains(constraint_name, ':')
group by all
order by constraint_name, binding_count desc, part
""",
    "cap_use": """
select
    config_id,
    constraint_name,
    count(*) as window_count,
    max(value / nullif(bound, 0)) as largest_use,
    avg(value / nullif(bound, 0)) as mean_use,
    avg(is_binding::integer) as binding_share,
    count(*) filter (where is_relaxed) as relaxed_count
from tournaments.constraint_rows
where run_id = $run_id
    and not contains(constraint_name, ':')
group by config_id, constraint_name
order by config_id, constraint_name
""",
    "cap_path": """
select constraints.constraint_name, windows.decision_date, constraints.value, constraints.bound
from tournaments.constraint_rows as constraints
inner join selection.windows as windows
    on constraints.run_id = windows.run_id
    and constraints.window_set = windows.window_set
    and constraints.window_index = windows.window_index
where constraints.run_id = $run_id
    and constraints.config_id = $config_id
    and not contains(constraints.constraint_name, ':')
order by constraints.constraint_name, windows.decision_date
""",
    # Where room for a choice ends, profiles of one engine come to the same book.
    "converged": """
select
    count(distinct (events.window_set, events.window_index)) as window_count,
    count(distinct events.config_id) as config_count,
    min(windows.decision_date) as first_date
from tournaments.allocation_events as events
inner join selection.windows as windows
    on events.run_id = windows.run_id
    and events.window_set = windows.window_set
    and events.window_index = windows.window_index
where events.run_id = $run_id
    and events.code = 'CONVERGED_PAIR'
""",
    "scoreboard": """
select
    cell_id, config_id, cost_model, simulator, is_baseline, tier, rank, unranked_reason, duplicate_of,
    is_strict_candidate, not_candidate_reason, veto_reasons, missing_inputs, is_promotable, promotion_blockers,
    warnings, sharpe, cagr, max_drawdown, ann_turnover
from tournaments.scoreboard
where run_id = $run_id
order by rank nulls last, is_baseline, cell_id
""",
    "gates": """
select
    cell_id, gate, position, value, limit_value, margin, is_passed, status, is_informational, is_veto, veto_code, reason
from tournaments.veto_matrix
where run_id = $run_id
order by cell_id, position
""",
    "gate_counts": """
select
    gates.gate,
    min(gates.position) as position,
    count(*) filter (where gates.is_passed) as passed_count,
    count(*) filter (where not gates.is_passed) as failed_count,
    count(*) filter (where gates.is_passed is null) as unjudged_count,
    count(*) filter (where gates.is_veto) as veto_count,
    count(*) filter (where gates.is_veto and alone.veto_count = 1) as alone_count,
    min(gates.margin) as least_margin,
    median(gates.margin) as median_margin
from tournaments.veto_matrix as gates
inner join tournaments.cells as cells on gates.run_id = cells.run_id and gates.cell_id = cells.cell_id
inner join (
    select cell_id, count(*) filter (where is_veto) as veto_count
    from tournaments.veto_matrix
    where run_id = $run_id
    group by cell_id
) as alone on gates.cell_id = alone.cell_id
where gates.run_id = $run_id
    and not cells.is_baseline
    and cells.cost_model <> 'gross'
group by gates.gate
order by position
""",
}
