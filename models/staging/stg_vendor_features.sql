-- One row per landed answer of a vendor about a symbol and field: the value as received.
with source as (

    select * from {{ source('raw', 'vendor_features') }}

),

fields as (

    select
        load_id,
        row_number,
        symbol,
        received_at_utc,
        unnest(map_entries(cast(cast(payload as json) as map (varchar, varchar)))) as entry
    from source

),

final as (

    select
        -- keys
        load_id,
        row_number,
        symbol,
        entry.key as field,

        -- the value; NULL where the vendor sent none
        entry.value as value,

        -- times
        received_at_utc

    from fields

)

select * from final
