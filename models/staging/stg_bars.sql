-- One row per landed bar value: as received, named and typed.
with source as (

    select * from {{ source('raw', 'bars') }}

),

final as (

    select
        -- keys
        load_id,
        source,
        symbol,
        interval,
        adjustment,
        opened_at_utc,

        -- prices and volumes
        open,
        high,
        low,
        close,
        volume,
        quote_volume,

        -- state and times
        is_final,
        received_at_utc

    from source

)

select * from final
