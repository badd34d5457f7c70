-- One row per window and selection engine: how many atoms were left after each stage.
with decisions as (

    select decisions.*
    from {{ ref('decisions') }} as decisions
    inner join {{ current_unsealed_run() }} as current_run on decisions.run_id = current_run.run_id

),

counted as (

    select
        run_id,
        window_set,
        window_index,
        selection_engine,
        count(*) as universe_count,
        count(*) filter (where outcome <> 'NOT_IN_POOL') as data_ok_count,
        count(*) filter (where score is not null) as scored_count,
        count(*) filter (where outcome = 'WINNER') as winner_count,
        count(distinct cluster_id) as cluster_count
    from decisions
    group by all

),

final as (

    select
        -- keys
        run_id,
        window_set,
        window_index,
        selection_engine,

        -- what was left after each stage
        cast(universe_count as integer) as universe_count,
        cast(universe_count as integer) as discovered_count,
        cast(data_ok_count as integer) as data_ok_count,
        cast(scored_count as integer) as scored_count,
        cast(scored_count as integer) as not_vetoed_count,
        cast(cluster_count as integer) as cluster_count,
        cast(winner_count as integer) as winner_count,

        -- how far it came
        case when winner_count > 0 then 'winners' when data_ok_count > 0 then 'scored' else 'discovered' end
            as stage_reached,
        winner_count < least(15, data_ok_count) as is_scarce

    from counted

)

select * from final
order by window_set, window_index, selection_engine
