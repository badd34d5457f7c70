-- One row per landed judgement of a renamed symbol: its fields, named and typed.
with source as (

    select * from {{ source('raw', 'symbol_aliases') }}

),

final as (

    select
        -- keys
        load_id,
        row_number,
        symbol as old_symbol,

        -- what became of it
        payload ->> 'new_symbol' as new_symbol,
        cast(payload ->> 'renamed_on' as date) as renamed_on,
        payload ->> 'verdict' as verdict,
        payload ->> 'code' as code,
        cast(payload -> 'adjustments' as varchar[]) as adjustments,
        payload ->> 'detail' as detail,

        -- times
        received_at_utc

    from source

)

select * from final
