-- One row per window, configuration and atom: its weight, and how the window was solved.
with unnested as (

    select
        run_id,
        window_set,
        window_index,
        config_id,
        status,
        fallback_reason,
        unnest(weights) as item
    from {{ ref('calc_allocations') }}

),

final as (

    select
        -- keys
        run_id,
        window_set,
        window_index,
        config_id,
        item.atom_id as atom_id,

        -- the atom
        item.symbol as symbol,
        item.direction as direction,

        -- cluster weight times share within the cluster
        item.cluster_id as cluster_id,
        item.cluster_weight as cluster_weight,
        item.share_in_cluster as share_in_cluster,
        item.weight as weight,

        -- how the window was solved
        status,
        fallback_reason

    from unnested

)

select * from final
order by config_id, window_index, atom_id
