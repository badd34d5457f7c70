-- One row: the run of this build, and whether it was sealed by an earlier one.
with calculated as (

    select * from {{ ref('calc_run') }}

),

final as (

    select
        calculated.run_id,
        calculated.profile,
        calculated.as_of_utc,
        calculated.settings_hash,
        calculated.snapshot_hash,
        calculated.code_hash,
        calculated.is_sealed
    from calculated
    inner join {{ ref('runs') }} as runs on calculated.run_id = runs.run_id

)

select * from final
