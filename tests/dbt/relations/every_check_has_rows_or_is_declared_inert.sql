-- Fails with the checks that never had a row and are not declared inert.
with engines as (

    select distinct
        run_id,
        window_set,
        window_index,
        selection_engine
    from {{ ref('alpha_scores') }}

),

expected as (

    select
        engines.*,
        active.code
    from engines
    inner join {{ ref('current_run') }} as current_run on engines.run_id = current_run.run_id
    cross join {{ ref('active_vetoes') }} as active
    where active.code <> 'DOMINATED_LEVERAGED'

)

select expected.*
from expected
left join {{ ref('vetoes') }} as vetoes
    on
        expected.run_id = vetoes.run_id
        and expected.window_set = vetoes.window_set
        and expected.window_index = vetoes.window_index
        and expected.selection_engine = vetoes.selection_engine
        and expected.code = vetoes.code
left join {{ ref('selection_warnings') }} as warnings
    on
        expected.run_id = warnings.run_id
        and expected.window_set = warnings.window_set
        and expected.window_index = warnings.window_index
        and expected.selection_engine = warnings.selection_engine
        and expected.code = warnings.subject
        and warnings.code = 'VETO_INERT'
where vetoes.code is null and warnings.code is null
