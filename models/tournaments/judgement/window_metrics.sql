-- One row per cell, window and metric over that window alone; nothing is annualised here.
with unnested as (

    select
        run_id,
        cell_id,
        unnest(window_metrics) as item
    from {{ ref('calc_metrics') }}

),

final as (

    select
        -- keys
        run_id,
        cell_id,
        item.window_index as window_index,
        item.metric as metric,

        -- the number and what it rests on
        item.value as value,
        item.observation_count as observation_count,
        item.status as status,
        item.reason as reason

    from unnested

)

select * from final
order by cell_id, window_index, metric
