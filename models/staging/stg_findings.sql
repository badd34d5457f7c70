-- One row per suspicion that a check of ingest had about a bar or a load: as recorded, named and typed.
with source as (

    select * from {{ source('raw', 'findings') }}

),

final as (

    select
        -- keys
        load_id,
        symbol,
        code,
        opened_at_utc,

        -- what was found
        severity,
        close,
        value,
        donor_symbol,
        detail,

        -- times
        detected_at_utc

    from source

)

select * from final
