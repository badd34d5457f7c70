-- Which gates does the headline pass, which not, and by what margin?
select
    matrix.gate,
    matrix.status,
    matrix.is_passed,
    round(matrix.value, 4) as value,
    round(matrix.limit_value, 4) as limit_value,
    round(matrix.margin, 4) as margin
from selection.runs_latest as latest
inner join tournaments.cells as cells on latest.run_id = cells.run_id
inner join tournaments.veto_matrix as matrix on cells.run_id = matrix.run_id and cells.cell_id = matrix.cell_id
where
    latest.profile = 'sample'
    and cells.selection_engine = 'v3.2'
    and cells.rebalance_mode = 'window'
    and cells.engine = 'custom'
    and cells.risk_profile = 'hrp'
    and cells.cost_model = 'std_6bp'
order by matrix.is_passed, matrix.position
