-- One row per index, symbol and interval of membership: who was in which index from when to when.
with final as (

    select
        -- keys
        cast(index_id as varchar) as index_id,
        cast(symbol as varchar) as symbol,

        -- validity, in days
        cast(valid_from as date) as valid_from,
        cast(valid_to as date) as valid_to

    from {{ ref('calc_index_members') }}

)

select * from final
order by index_id, symbol, valid_from
