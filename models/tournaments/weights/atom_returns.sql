-- One row per run, atom and session of the grid: the atom's oriented stream. A short loses at most its collateral.
with atoms as (

    select distinct
        candidates.run_id,
        candidates.atom_id,
        candidates.symbol,
        candidates.direction
    from {{ ref('candidates') }} as candidates
    inner join {{ current_unsealed_run() }} as current_run on candidates.run_id = current_run.run_id

),

final as (

    select
        -- keys
        atoms.run_id,
        atoms.atom_id,
        atoms.symbol,
        atoms.direction,
        returns.session_date,

        -- the stream
        case atoms.direction
            when 'LONG' then greatest(returns.simple_return, -1.0)
            when 'SHORT' then -least(returns.simple_return, 1.0)
            else error('atom ' || atoms.atom_id || ' has direction ' || atoms.direction || '; LONG or SHORT was needed')
        end as synthetic_return

    from atoms
    inner join {{ ref('aligned_returns') }} as returns on atoms.symbol = returns.symbol
    inner join {{ ref('session_grid') }} as grid on returns.session_date = grid.session_date

)

select * from final
order by atom_id, session_date
