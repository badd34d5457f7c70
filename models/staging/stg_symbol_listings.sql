-- One row per symbol and change between listed and delisted, as the registry of symbols learned of it.
with source as (

    select * from {{ source('ops', 'symbol_listings') }}

),

final as (

    select
        -- keys
        place,

        -- what changed
        symbol,
        is_listed,
        reason,

        -- when and by whom
        since_utc,
        command_id

    from source

)

select * from final
