-- One row per profile: its newest sealed run.
with runs as (

    select *
    from {{ ref('runs') }}
    where status = 'sealed'

),

final as (

    select
        profile,
        run_id,
        as_of_date,
        opened_at_utc
    from runs
    qualify row_number() over (partition by profile order by opened_at_utc desc, run_id asc) = 1

)

select * from final
