-- Fails with the symbols whose target weight is not the sum of the products of its paths, on either side. Runs
-- from before the trace was kept have targets alone, so the run at hand is judged.
with targets as (

    select target_weights.*
    from {{ ref('target_weights') }} as target_weights
    inner join {{ ref('current_run') }} as current_run on target_weights.run_id = current_run.run_id

),

traced as (

    select
        trace.run_id,
        trace.window_set,
        trace.window_index,
        trace.config_id,
        trace.symbol,
        sum(trace.product) as net_weight,
        sum(abs(trace.product)) as gross_weight,
        max(abs(trace.product - trace.sleeve_weight * trace.atom_weight * trace.sign)) as product_gap
    from {{ ref('weight_trace') }} as trace
    inner join {{ ref('current_run') }} as current_run on trace.run_id = current_run.run_id
    group by all

)

select
    coalesce(traced.config_id, targets.config_id) as config_id,
    coalesce(traced.window_index, targets.window_index) as window_index,
    coalesce(traced.symbol, targets.symbol) as symbol,
    traced.net_weight,
    targets.net_weight as target_weight
from traced
full join targets
    on
        traced.run_id = targets.run_id
        and traced.window_set = targets.window_set
        and traced.window_index = targets.window_index
        and traced.config_id = targets.config_id
        and traced.symbol = targets.symbol
where
    traced.symbol is null
    or targets.symbol is null
    or traced.product_gap > 0
    or abs(traced.net_weight - targets.net_weight) > 1e-15
    or abs(traced.gross_weight - targets.gross_weight) > 1e-15
