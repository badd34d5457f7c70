-- One row per window, selection engine and chosen atom: what is handed to allocation.
with decisions as (

    select decisions.*
    from {{ ref('decisions') }} as decisions
    inner join {{ current_unsealed_run() }} as current_run on decisions.run_id = current_run.run_id
    where decisions.outcome = 'WINNER'

),

final as (

    select
        -- keys
        run_id,
        window_set,
        window_index,
        selection_engine,
        atom_id,

        -- the atom
        symbol,
        logic,
        direction,

        -- why it won
        cluster_id,
        score,
        cast(row_number() over (
            partition by window_set, window_index, selection_engine order by score_rank asc nulls last, atom_id asc
        ) as integer) as rank,
        selected_via

    from decisions

)

select * from final
order by window_set, window_index, selection_engine, rank
