-- Fails with the windows whose parts do not add up to the return of the cell, or whose baselines are absent.
select
    run_id,
    cell_id,
    window_index
from {{ ref('attribution') }}
where
    abs(market_return + discovery_alpha + selection_alpha + optimisation_alpha - period_return) > 1e-12
    or abs(selection_alpha + optimisation_alpha - total_excess) > 1e-12
    or (efficiency is null) <> (abs(total_excess) < 1e-9)
    or (benchmark_return is null) <> (optimisation_alpha is null)
