-- One row per landed answer of a vendor about a symbol: its fields as received.
with source as (

    select * from {{ source('raw', 'vendor_features') }}

),

final as (

    select
        -- keys
        load_id,
        row_number,
        symbol,

        -- every field by its name
        payload,

        -- times
        received_at_utc

    from source

)

select * from final
