-- One row per recorded resolution of a suspect move: the payload's fields, named and typed.
with source as (

    select * from {{ source('raw', 'resolutions') }}

),

final as (

    select
        -- keys
        load_id,
        row_number,
        symbol,
        cast(payload ->> 'session_date' as date) as session_date,
        payload ->> 'code' as code,

        -- what it says
        payload ->> 'reason' as reason,

        -- times
        received_at_utc

    from source

)

select * from final
