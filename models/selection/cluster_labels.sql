-- One row per window, clustering and cluster: its size and the sector that names it, or the two that share it.
with members as (

    select
        calculated.window_set,
        calculated.window_index,
        calculated.clustering_id,
        unnest(calculated.members) as item
    from {{ ref('calc_clusters') }} as calculated

),

windows as (

    select windows.*
    from {{ ref('windows') }} as windows
    inner join {{ current_unsealed_run() }} as current_run on windows.run_id = current_run.run_id

),

values_traded as (

    select distinct
        window_set,
        window_index,
        symbol,
        average_daily_value
    from {{ ref('atom_measures') }}

),

sectors as (

    select
        members.window_set,
        members.window_index,
        members.clustering_id,
        members.item.cluster_id as cluster_id,
        coalesce(symbols.sector, 'unknown') as sector,
        count(*) as member_count,
        sum(coalesce(values_traded.average_daily_value, 0) order by members.item.symbol) as average_daily_value
    from members
    inner join windows on members.window_set = windows.window_set and members.window_index = windows.window_index
    left join {{ ref('symbols') }} as symbols
        on
            members.item.symbol = symbols.symbol
            and windows.decision_close_utc >= symbols.valid_from
            and (symbols.valid_to is null or windows.decision_close_utc < symbols.valid_to)
    left join values_traded
        on
            members.window_set = values_traded.window_set
            and members.window_index = values_traded.window_index
            and members.item.symbol = values_traded.symbol
    group by all

),

ordered as (

    select
        window_set,
        window_index,
        clustering_id,
        cluster_id,
        list(sector order by member_count desc, average_daily_value desc, sector asc) as names,
        max(member_count) as largest_count,
        sum(member_count) as cluster_size
    from sectors
    group by all

),

final as (

    select
        window_set,
        window_index,
        clustering_id,
        cluster_id,
        cast(cluster_size as integer) as cluster_size,
        names[1] as sector,
        largest_count / cluster_size as homogeneity,
        case
            when largest_count / cluster_size < 0.5 then 'MIXED:' || names[1] || '/' || names[2]
            else names[1]
        end as label
    from ordered

)

select * from final
order by window_set, window_index, clustering_id, cluster_id
