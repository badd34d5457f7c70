-- One row per cell and gate: the value, the limit, how far apart they are, and whether it stands against the cell.
with unnested as (

    select
        run_id,
        cell_id,
        unnest(gates) as item
    from {{ ref('calc_scoreboard') }}

),

final as (

    select
        -- keys
        run_id,
        cell_id,
        item.gate as gate,
        item.position as position,

        -- the measurement
        item.value as value,
        item."limit" as limit_value,
        item.margin as margin,

        -- the verdict
        item.is_passed as is_passed,
        item.status as status,
        item.is_informational as is_informational,
        item.is_veto as is_veto,
        item.veto_code as veto_code,
        item.reason as reason

    from unnested

)

select * from final
order by cell_id, position
