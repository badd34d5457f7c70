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

        -- what it is, in our words: of records that we wrote ourselves
        payload ->> 'asset_class' as asset_class,
        payload ->> 'asset_type' as asset_type,
        payload ->> 'region' as region,
        payload ->> 'subclass' as subclass,
        payload ->> 'venue_class' as venue_class,
        payload ->> 'economic_id' as economic_id,
        payload ->> 'calendar_id' as calendar_id,
        cast(payload ->> 'tick_size' as double) as tick_size,

        -- what it is, in the words of a vendor
        nullif(lower(payload ->> 'type'), '') as type,
        nullif(lower(payload ->> 'subtype'), '') as subtype,
        nullif(payload ->> 'description', '') as description,
        nullif(payload ->> 'industry', '') as industry,
        nullif(payload ->> 'country', '') as country,
        nullif(payload ->> 'root', '') as root,
        try_cast(payload ->> 'expiration' as bigint) as expiration,

        -- in the words of both
        coalesce(payload ->> 'base', nullif(payload ->> 'base_currency', '')) as base,
        coalesce(payload ->> 'quote', nullif(payload ->> 'currency', '')) as quote,
        nullif(payload ->> 'sector', '') as sector,
        nullif(payload ->> 'timezone', '') as timezone,
        nullif(payload ->> 'session', '') as session,

        -- how it trades
        try_cast(payload ->> 'pricescale' as double) as pricescale,
        try_cast(payload ->> 'minmov' as double) as minmov,
        try_cast(payload ->> 'minmove2' as double) as minmove2,
        try_cast(payload ->> 'fractional' as boolean) as is_fractional,
        try_cast(payload ->> 'pointvalue' as double) as contract_multiplier,
        try_cast(payload ->> 'is_active' as boolean) as is_active,

        -- times
        received_at_utc

    from source

)

select * from final
