-- One row per run and code that stands against a cell with costs that is no baseline: how often, and how often alone.
with cells as (

    select
        run_id,
        cell_id,
        string_split(veto_reasons, ', ') as codes
    from {{ ref('calc_scoreboard') }}
    where veto_reasons is not null and not_candidate_reason not in ('baseline', 'zero_cost_twin')

),

vetoes as (

    select
        run_id,
        cell_id,
        len(codes) as code_count,
        unnest(codes) as veto_code
    from cells

),

final as (

    select
        -- keys
        run_id,
        veto_code,

        -- counts
        cast(count(*) as integer) as veto_count,
        cast(count(*) filter (where code_count = 1) as integer) as sole_veto_count

    from vetoes
    group by run_id, veto_code

)

select * from final
order by veto_code
