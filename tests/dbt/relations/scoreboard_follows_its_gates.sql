-- Fails with the cells whose row on the scoreboard contradicts the gates they were judged at.
with gates as (

    select
        run_id,
        cell_id,
        string_agg(veto_code, ', ' order by position) filter (where is_veto) as vetoes,
        string_agg(veto_code, ', ' order by position) filter (where not is_veto) as absent,
        count(*) as gate_count
    from {{ ref('veto_matrix') }}
    group by run_id, cell_id

)

select
    board.run_id,
    board.cell_id,
    board.veto_reasons,
    gates.vetoes
from {{ ref('scoreboard') }} as board
left join gates on board.run_id = gates.run_id and board.cell_id = gates.cell_id
where
    coalesce(gates.gate_count, 0) <> 14
    -- codes of other simulators follow those of the gates
    or not starts_with(coalesce(board.veto_reasons, ''), coalesce(gates.vetoes, ''))
    or not starts_with(coalesce(board.missing_inputs, ''), coalesce(gates.absent, ''))
    or board.is_strict_candidate <> (
        board.veto_reasons is null
        and board.tier <> 'smoke'
        and not board.is_baseline
        and board.cost_model <> 'gross'
    )
    or board.is_strict_candidate <> (board.not_candidate_reason is null)
    or board.is_promotable
