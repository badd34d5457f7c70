-- Fails with the funnels that widen, that disagree with the decisions, or that hide that winners are scarce.
with decided as (

    select
        run_id,
        window_set,
        window_index,
        selection_engine,
        count(*) as atom_count,
        count(*) filter (where outcome = 'WINNER') as winner_count,
        count(*) filter (where outcome = 'WINNER' and direction = 'SHORT') as short_count
    from {{ ref('decisions') }}
    group by all

)

select
    funnel.run_id,
    funnel.window_set,
    funnel.window_index,
    funnel.selection_engine
from {{ ref('funnel') }} as funnel
left join decided
    on
        funnel.run_id = decided.run_id
        and funnel.window_set = decided.window_set
        and funnel.window_index = decided.window_index
        and funnel.selection_engine = decided.selection_engine
where
    funnel.universe_count < funnel.discovered_count
    or funnel.discovered_count < funnel.raw_pool_count
    or funnel.raw_pool_count < funnel.data_ok_count
    or funnel.data_ok_count < funnel.scored_count
    or funnel.scored_count < funnel.not_hard_count
    or funnel.not_hard_count < funnel.not_vetoed_count
    or funnel.not_vetoed_count < funnel.winner_count
    or funnel.long_count + funnel.short_count <> funnel.winner_count
    or coalesce(decided.atom_count, 0) <> funnel.universe_count
    or coalesce(decided.winner_count, 0) <> funnel.winner_count
    or coalesce(decided.short_count, 0) <> funnel.short_count
    -- nobody is scarce even where nobody was left to win; runs of a version without this count judged it otherwise
    or (
        funnel.raw_pool_count is not null
        and funnel.is_scarce <> (funnel.winner_count = 0 or funnel.winner_count < least(15, funnel.not_hard_count))
    )
