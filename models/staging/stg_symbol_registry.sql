-- One row per symbol that was ever asked for: where its data stand. A state, not a history.
with source as (

    select * from {{ source('ops', 'symbol_registry') }}

),

final as (

    select
        -- keys
        symbol,

        -- state
        status,
        reason,
        last_final_session as last_session_date,

        -- times
        last_attempt_utc

    from source

)

select * from final
