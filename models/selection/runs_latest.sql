-- One row per profile: its newest sealed run, one without overrides before any with them.
with final as (

    select *
    from {{ ref('runs') }}
    where status = 'sealed'
    qualify row_number() over (partition by profile order by is_overridden asc, opened_at_utc desc, run_id asc) = 1

)

select * from final
