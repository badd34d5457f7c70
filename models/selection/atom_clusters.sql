-- One row per window, selection engine and clustered symbol: its cluster in the clustering of the engine.
with calculated as (

    select
        window_set,
        window_index,
        clustering_id,
        unnest(selection_engines) as selection_engine,
        members
    from {{ ref('calc_clusters') }}

),

members as (

    select
        window_set,
        window_index,
        clustering_id,
        selection_engine,
        unnest(members) as item
    from calculated

),

final as (

    select
        window_set,
        window_index,
        selection_engine,
        clustering_id,
        item.symbol as symbol,
        item.cluster_id as cluster_id
    from members

)

select * from final
order by window_set, window_index, selection_engine, symbol
