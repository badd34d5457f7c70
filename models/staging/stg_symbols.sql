-- One row per landed metadata record of a symbol: the payload's fields, named and typed.
with source as (

    select * from {{ source('raw', 'symbol_metadata') }}

),

final as (

    select
        -- keys
        load_id,
        row_number,
        symbol,

        -- what it is
        payload ->> 'asset_class' as asset_class,
        payload ->> 'asset_type' as asset_type,
        payload ->> 'region' as region,
        payload ->> 'subclass' as subclass,
        payload ->> 'venue_class' as venue_class,
        payload ->> 'base' as base,
        payload ->> 'quote' as quote,
        payload ->> 'economic_id' as economic_id,
        payload ->> 'sector' as sector,

        -- how it trades
        payload ->> 'calendar_id' as calendar_id,
        payload ->> 'timezone' as timezone,
        cast(payload ->> 'tick_size' as double) as tick_size,

        -- times
        received_at_utc

    from source

)

select * from final
