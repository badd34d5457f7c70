-- One row per profile: its newest sealed run.
with final as (

    select *
    from {{ ref('runs') }}
    where status = 'sealed'
    qualify row_number() over (partition by profile order by opened_at_utc desc, run_id asc) = 1

)

select * from final
