-- Fails with factors of one probability for all atoms of a window and no warning, and with warnings of other factors.
with current_run as (

    select run_id from {{ ref('current_run') }}

),

-- where no engine scores, no factor counts
scored as (

    select distinct
        funnel.window_set,
        funnel.window_index
    from {{ ref('funnel') }} as funnel
    inner join current_run on funnel.run_id = current_run.run_id
    where funnel.selection_engine <> 'baseline'

),

constants as (

    select
        probabilities.window_set,
        probabilities.window_index,
        probabilities.factor
    from {{ ref('factor_probabilities') }} as probabilities
    inner join current_run on probabilities.run_id = current_run.run_id
    inner join scored
        on probabilities.window_set = scored.window_set and probabilities.window_index = scored.window_index
    group by all
    having count(*) > 1 and count(distinct probabilities.probability) = 1

),

warned as (

    select distinct
        warnings.window_set,
        warnings.window_index,
        warnings.subject as factor,
        warnings.code
    from {{ ref('selection_warnings') }} as warnings
    inner join current_run on warnings.run_id = current_run.run_id
    where warnings.code in ('FACTOR_CONSTANT', 'FACTOR_ABSENT')

)

select
    coalesce(constants.window_set, warned.window_set) as window_set,
    coalesce(constants.window_index, warned.window_index) as window_index,
    coalesce(constants.factor, warned.factor) as factor
from constants
full join warned
    on
        constants.window_set = warned.window_set
        and constants.window_index = warned.window_index
        and constants.factor = warned.factor
where
    warned.factor is null
    -- a declared absence holds of windows with a single atom too
    or (constants.factor is null and warned.code = 'FACTOR_CONSTANT')
