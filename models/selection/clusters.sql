-- One row per window, clustering and symbol: the cluster it belongs to; -1 for one that a hard veto kept out.
with calculated as (

    select * from {{ ref('calc_clusters') }}

),

members as (

    select
        calculated.run_id,
        calculated.window_set,
        calculated.window_index,
        calculated.clustering_id,
        calculated.threshold,
        unnest(calculated.members) as item
    from calculated

),

placed as (

    select
        run_id,
        window_set,
        window_index,
        clustering_id,
        threshold,
        item.symbol as symbol,
        item.cluster_id as cluster_id,
        item.co_member_count as co_member_count,
        item.persistent_count as persistent_count
    from members
    union all
    select
        calculated.run_id,
        calculated.window_set,
        calculated.window_index,
        calculated.clustering_id,
        calculated.threshold,
        everyone.symbol,
        -1 as cluster_id,
        0 as co_member_count,
        0 as persistent_count
    from calculated
    inner join {{ ref('clustering_pools') }} as everyone
        on
            calculated.window_set = everyone.window_set
            and calculated.window_index = everyone.window_index
            and everyone.pool = 'all'
    where not list_contains(list_transform(calculated.members, member -> member.symbol), everyone.symbol)

),

final as (

    select
        -- keys
        placed.run_id,
        placed.window_set,
        placed.window_index,
        placed.clustering_id,
        placed.symbol,

        -- the cluster
        placed.cluster_id,
        labels.label,
        cast(case when placed.cluster_id > 0 then labels.cluster_size else 0 end as integer) as cluster_size,
        placed.threshold,

        -- how firmly it belongs there
        placed.co_member_count,
        placed.persistent_count

    from placed
    left join {{ ref('cluster_labels') }} as labels
        on
            placed.window_set = labels.window_set
            and placed.window_index = labels.window_index
            and placed.clustering_id = labels.clustering_id
            and placed.cluster_id = labels.cluster_id

)

select * from final
order by window_set, window_index, clustering_id, symbol
