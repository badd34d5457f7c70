-- One row per landed row of a scanner answer: its payload, and the fields that identify and rank it.
with source as (

    select * from {{ source('raw', 'scan_rows') }}

),

final as (

    select
        -- keys
        load_id,
        row_number,
        scanner_id,
        config_hash,
        symbol,

        -- what it is, as the scanner said it
        nullif(lower(payload ->> 'type'), '') as type,
        nullif(lower(payload ->> 'subtype'), '') as subtype,
        nullif(payload ->> 'description', '') as description,
        nullif(payload ->> 'base_currency', '') as base,
        nullif(payload ->> 'currency', '') as quote,

        -- values that every scan asks for; NULL where the scanner sent none
        try_cast(payload ->> 'close' as double) as close,
        try_cast(payload ->> '$."Value.Traded"' as double) as turnover,

        -- everything, by the names of the scanner
        payload,

        -- times
        scanned_at_utc

    from source

)

select * from final
