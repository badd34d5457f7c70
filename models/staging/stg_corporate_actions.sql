-- One row per distinct dividend or split received: the payload's fields, named and typed.
with source as (

    select * from {{ source('raw', 'corporate_actions') }}

),

final as (

    select
        -- keys
        load_id,
        row_number,
        symbol,
        payload ->> 'action' as action,
        make_timestamp(cast(cast(payload ->> 'date' as double) * 1e6 as bigint)) as acts_at_utc,

        -- what it says
        cast(payload ->> 'amount' as double) as amount,
        cast(payload ->> 'numerator' as double) / nullif(cast(payload ->> 'denominator' as double), 0) as ratio,

        -- times
        received_at_utc

    from source

)

select * from final
