"""The queries behind the selection page."""

from __future__ import annotations

from collections.abc import Mapping

SELECTION_QUERIES: Mapping[str, str] = {
    "funnel_path": """
select
    funnel.window_set,
    funnel.selection_engine,
    funnel.window_index,
    windows.decision_date,
    windows.test_end_date,
    funnel.universe_count,
    funnel.discovered_count,
    funnel.data_ok_count,
    funnel.scored_count,
    funnel.not_vetoed_count,
    funnel.cluster_count,
    funnel.winner_count,
    funnel.stage_reached,
    funnel.is_scarce
from selection.funnel as funnel
inner join selection.windows as windows
    on funnel.run_id = windows.run_id
    and funnel.window_set = windows.window_set
    and funnel.window_index = windows.window_index
where funnel.run_id = $run_id
order by funnel.window_set, funnel.selection_engine, funnel.window_index
""",
    # Of each scanner of the profile the newest scan that the last decision knew; what took nothing away has no row.
    "scan_funnel": """
with scanners as (

    select distinct
        json_extract_string(items.item, '$.scanner_id') as scanner_id
    from selection.run_settings as settings
    cross join unnest(cast(settings.value as json[])) as items (item)
    where settings.run_id = $run_id and settings.key = 'universe.scanners'

),

decided as (

    select max(decision_close_utc) as last_decision_utc
    from selection.windows
    where run_id = $run_id

)

select
    funnel.scanner_id,
    funnel.scanned_at_utc,
    funnel.status,
    funnel.universe_count,
    funnel.stage_number,
    funnel.stage,
    funnel.dropped_count,
    funnel.remaining_count
from features.scan_funnel as funnel
inner join scanners on funnel.scanner_id = scanners.scanner_id
inner join decided on funnel.scanned_at_utc <= decided.last_decision_utc
qualify
    dense_rank() over (
        partition by funnel.scanner_id order by funnel.scanned_at_utc desc, funnel.load_id desc
    ) = 1
order by funnel.scanner_id, funnel.stage_number
""",
    "outcomes": """
select selection_engine, window_set, outcome, count(*) as decision_count, count(distinct symbol) as symbol_count
from selection.decisions
where run_id = $run_id
group by selection_engine, window_set, outcome
order by selection_engine, window_set, decision_count desc, outcome
""",
    # A veto counts where it fired and was not overridden; alone where no other one fired for the atom.
    "vetoes": """
with counted as (

    select
        *,
        is_fired and overridden_by is null as is_in_force,
        count(*) filter (where is_fired and overridden_by is null)
            over (partition by window_set, window_index, selection_engine, atom_id) as force_count
    from selection.vetoes
    where run_id = $run_id

)

select
    selection_engine,
    code,
    severity,
    count(*) as checked_count,
    count(*) filter (where metric_value is null) as unmeasured_count,
    count(*) filter (where is_in_force) as fired_count,
    count(*) filter (where is_in_force and force_count = 1) as alone_count,
    count(*) filter (where is_fired and overridden_by is not null) as overridden_count,
    count(distinct symbol) filter (where is_in_force) as symbol_count,
    min(limit_value) as least_limit,
    max(limit_value) as largest_limit
from (
    select counted.*, atoms.symbol
    from counted
    left join (
        select distinct atom_id, symbol from selection.decisions where run_id = $run_id
    ) as atoms on counted.atom_id = atoms.atom_id
) as named
group by selection_engine, code, severity
order by selection_engine, fired_count desc, code, severity
""",
    "veto_path": """
select
    vetoes.selection_engine,
    vetoes.window_set,
    windows.decision_date,
    vetoes.code,
    count(*) as fired_count
from selection.vetoes as vetoes
inner join selection.windows as windows
    on vetoes.run_id = windows.run_id
    and vetoes.window_set = windows.window_set
    and vetoes.window_index = windows.window_index
where vetoes.run_id = $run_id
    and vetoes.is_fired
    and vetoes.overridden_by is null
group by vetoes.selection_engine, vetoes.window_set, windows.decision_date, vetoes.code
order by vetoes.selection_engine, vetoes.window_set, vetoes.code, windows.decision_date
""",
    # Of each cluster and direction the closest loser; a battle is lost to a winner of the same cluster.
    "battles": """
select
    losers.selection_engine,
    losers.window_set,
    losers.window_index,
    windows.decision_date,
    losers.cluster_id,
    winners.symbol as winner,
    losers.symbol as runner_up,
    winners.score as winner_score,
    losers.score as runner_up_score,
    winners.score - losers.score as margin,
    (winners.score - losers.score) / nullif(winners.score, 0) as relative_margin
from selection.decisions as losers
inner join selection.decisions as winners
    on losers.run_id = winners.run_id
    and losers.window_set = winners.window_set
    and losers.window_index = winners.window_index
    and losers.selection_engine = winners.selection_engine
    and losers.lost_to = winners.atom_id
inner join selection.windows as windows
    on losers.run_id = windows.run_id
    and losers.window_set = windows.window_set
    and losers.window_index = windows.window_index
where losers.run_id = $run_id
    and losers.outcome = 'LOST_BATTLE'
qualify row_number() over (
    partition by losers.selection_engine, losers.window_set, losers.window_index, losers.cluster_id, losers.direction
    order by losers.score desc nulls last, losers.atom_id
) = 1
order by losers.selection_engine, losers.window_set, losers.window_index, losers.cluster_id, winner, runner_up
""",
    "scored": """
select selection_engine, count(*) as score_count, count(distinct atom_id) as atom_count, min(score) as least,
    median(score) as median, max(score) as most
from selection.alpha_scores
where run_id = $run_id
group by selection_engine
order by selection_engine
""",
    "clusters": """
select
    clustering_id,
    window_index,
    count(distinct cluster_id) filter (where cluster_id >= 0) as cluster_count,
    max(cluster_size) as largest_size,
    any_value(threshold) as threshold,
    count(*) as symbol_count
from selection.clusters
where run_id = $run_id
group by clustering_id, window_set, window_index
order by clustering_id, window_index
""",
    "winner_overlap": """
with books as (

    select
        windows.window_set,
        windows.window_index,
        windows.decision_date,
        funnel.selection_engine,
        coalesce(list_distinct(list(winners.symbol || ' ' || winners.direction)
            filter (where winners.symbol is not null)), []) as held
    from selection.windows as windows
    inner join selection.funnel as funnel
        on windows.run_id = funnel.run_id
        and windows.window_set = funnel.window_set
        and windows.window_index = funnel.window_index
    left join selection.winners as winners
        on funnel.run_id = winners.run_id
        and funnel.window_set = winners.window_set
        and funnel.window_index = winners.window_index
        and funnel.selection_engine = winners.selection_engine
    where windows.run_id = $run_id
    group by windows.window_set, windows.window_index, windows.decision_date, funnel.selection_engine

),

pairs as (

    select
        *,
        lag(held) over (partition by window_set, selection_engine order by window_index) as held_before
    from books

)

select
    window_set,
    selection_engine,
    window_index,
    decision_date,
    len(held) as winner_count,
    len(list_filter(held, atom -> not list_contains(held_before, atom))) as came_count,
    len(list_filter(held_before, atom -> not list_contains(held, atom))) as left_count,
    case
        when len(held) + len(held_before) > 0
            then len(list_intersect(held, held_before)) / len(list_distinct(list_concat(held, held_before)))
    end as jaccard
from pairs
order by window_set, selection_engine, window_index
""",
    "warnings": """
select selection_engine, code, count(*) as warning_count, count(distinct window_index) as window_count,
    min(detail) as example
from selection.selection_warnings
where run_id = $run_id
group by selection_engine, code
order by selection_engine, warning_count desc, code
""",
    "regimes": """
select window_set, window_index, decision_date, regime, regime_score, quadrant, regime_basis
from selection.windows
where run_id = $run_id
order by window_set, window_index
""",
    "market_regimes": """
select regimes.asset_class, regimes.session_date, regimes.score, regimes.label, regimes.quadrant
from features.market_regimes as regimes
inner join (
    select min(decision_date) as first_date, max(primary_end_date) as last_date
    from selection.windows
    where run_id = $run_id
) as span on regimes.session_date between span.first_date and span.last_date
where regimes.asset_class in (
    select symbols.asset_class
    from features.symbols as symbols
    inner join (select distinct symbol from selection.candidates where run_id = $run_id) as candidates
        on symbols.symbol = candidates.symbol
)
order by regimes.asset_class, regimes.session_date
""",
}
