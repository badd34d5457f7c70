-- Fails with the checks that fired without a metric, and with metrics that are not known and no warning says so.
select
    vetoes.run_id,
    vetoes.window_set,
    vetoes.window_index,
    vetoes.selection_engine,
    vetoes.atom_id,
    vetoes.code
from {{ ref('vetoes') }} as vetoes
left join {{ ref('selection_warnings') }} as warnings
    on
        vetoes.run_id = warnings.run_id
        and vetoes.window_set = warnings.window_set
        and vetoes.window_index = warnings.window_index
        and vetoes.selection_engine = warnings.selection_engine
        and warnings.code = 'METRIC_MISSING'
        and warnings.subject in (vetoes.code, vetoes.code || ' ' || vetoes.atom_id)
where
    (vetoes.is_fired and vetoes.metric_value is null)
    or (vetoes.metric_value is null) <> (warnings.code is not null)
