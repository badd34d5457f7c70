-- One row per window, pool and symbol to be clustered: the whole pool, and the part of it without a hard veto.
with kept as (

    select
        candidates.run_id,
        candidates.window_set,
        candidates.window_index,
        candidates.atom_id,
        candidates.symbol
    from {{ ref('candidates') }} as candidates
    inner join {{ current_unsealed_run() }} as current_run on candidates.run_id = current_run.run_id
    where candidates.is_kept

),

pools as (

    select
        *,
        'all' as pool
    from kept
    union all
    select
        *,
        'not_hard' as pool
    from kept
    where not exists (
        select 1
        from {{ ref('atom_checks') }} as checks
        where
            kept.window_set = checks.window_set
            and kept.window_index = checks.window_index
            and kept.atom_id = checks.atom_id
            and checks.severity = 'hard'
            and checks.is_fired
    )

),

final as (

    select distinct
        run_id,
        window_set,
        window_index,
        pool,
        symbol
    from pools

)

select * from final
order by window_set, window_index, pool, symbol
