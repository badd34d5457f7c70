-- One row per cell and metric over the stitched span; a metric that cannot be had is NULL with a status.
with unnested as (

    select
        run_id,
        cell_id,
        unnest(cell_metrics) as item
    from {{ ref('calc_metrics') }}

),

final as (

    select
        -- keys
        run_id,
        cell_id,
        item.metric as metric,

        -- the number and what it rests on
        item.value as value,
        item.observation_count as observation_count,
        item.status as status,
        item.reason as reason

    from unnested

)

select * from final
order by cell_id, metric
