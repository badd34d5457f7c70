-- One row per attempt to obtain a payload.
with source as (

    select * from {{ source('raw', 'loads') }}

),

final as (

    select
        -- keys
        load_id,
        kind,
        source,

        -- outcome
        status,
        request_hash,
        payload_sha256,
        rows_received,
        rows_new,
        rows_identical,
        rows_superseding,
        rows_quarantined,
        error,

        -- what only some kinds have: the scanner that asked, facts of the transport
        config_hash,
        counters,

        -- times
        started_at_utc,
        finished_at_utc

    from source

)

select * from final
