-- One row per run: what it was asked, what it read and how it ended.
with calculated as (

    select *
    from {{ ref('calc_run') }}
    where not is_sealed

),

final as (

    select
        -- keys
        run_id,
        profile,
        label,

        -- state: the end of a build sets it to sealed or failed
        as_of_date,
        'building' as status,

        -- what it read
        snapshot_id,
        judgement_id,
        snapshot_hash,
        settings_hash,
        code_version,
        code_hash,
        is_overridden,
        universe_basis,

        -- what it was asked
        settings,

        -- when it was opened, and the hash of its last ledger record once it is sealed
        opened_at_utc,
        cast(null as varchar) as verified_snapshot_id,
        cast(null as varchar) as chain_head

    from calculated

)

select * from final
