-- Fails with the decided atoms outside the clusters of their engine, and with clusters whose size is not their members.
with sizes as (

    select
        run_id,
        window_set,
        window_index,
        clustering_id,
        cluster_id,
        count(*) as member_count,
        max(cluster_size) as cluster_size
    from {{ ref('clusters') }}
    where cluster_id > 0
    group by all

)

select
    decisions.run_id,
    decisions.window_set,
    decisions.window_index,
    decisions.selection_engine,
    decisions.atom_id
from {{ ref('decisions') }} as decisions
-- runs of a version without clusters have no such count
inner join {{ ref('funnel') }} as funnel
    on
        decisions.run_id = funnel.run_id
        and decisions.window_set = funnel.window_set
        and decisions.window_index = funnel.window_index
        and decisions.selection_engine = funnel.selection_engine
        and funnel.raw_pool_count is not null
left join {{ ref('cluster_statistics') }} as statistics
    on
        decisions.run_id = statistics.run_id
        and decisions.window_set = statistics.window_set
        and decisions.window_index = statistics.window_index
        and decisions.selection_engine = statistics.selection_engine
        and decisions.cluster_id = statistics.cluster_id
left join {{ ref('clusters') }} as clusters
    on
        statistics.run_id = clusters.run_id
        and statistics.window_set = clusters.window_set
        and statistics.window_index = clusters.window_index
        and statistics.clustering_id = clusters.clustering_id
        and statistics.cluster_id = clusters.cluster_id
        and decisions.symbol = clusters.symbol
where
    (decisions.cluster_id is null) <> (decisions.outcome = 'NOT_IN_POOL')
    or (decisions.cluster_id > 0 and clusters.symbol is null)
    or (decisions.outcome <> 'VETOED' and decisions.cluster_id = -1)
union all
select
    run_id,
    window_set,
    window_index,
    clustering_id as selection_engine,
    cast(cluster_id as varchar) as atom_id
from sizes
where member_count <> cluster_size
