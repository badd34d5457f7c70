-- Fails with the checks whose metric and limit say otherwise than is_fired, with codes without a comparator, and with
-- metrics that are not known and no warning says so.
with comparators as (

    select
        unnest([
            'DATA_TOXIC', 'METADATA_MISSING', 'ENTROPY_TOXIC', 'KURTOSIS_HIGH', 'ASSET_VOL_HIGH', 'ENTROPY_HIGH',
            'SPREAD_WIDE'
        ]) as code,
        '>' as comparator
    union all
    select
        unnest([
            'SHORT_HISTORY', 'CONSTANT_SERIES', 'SURVIVAL_LOW', 'EFFICIENCY_LOW', 'MOMENTUM_GATE'
        ]) as code,
        '<' as comparator
    union all
    select
        'ADV_MISSING' as code,
        '<=' as comparator
    union all
    select
        unnest(['DOMINATED_LEVERAGED', 'WHITE_NOISE']) as code,
        '>=' as comparator
    union all
    -- these read more than one number
    select
        unnest(['ROC_EXTREME', 'RANDOM_WALK', 'TOXIC_PERSISTENCE', 'ECI_HIGH']) as code,
        'own' as comparator

),

oriented as (

    select
        decisions.run_id,
        decisions.window_set,
        decisions.window_index,
        decisions.selection_engine,
        decisions.atom_id,
        probabilities.raw_value as momentum
    from {{ ref('decisions') }} as decisions
    inner join {{ ref('factor_probabilities') }} as probabilities
        on
            decisions.run_id = probabilities.run_id
            and decisions.window_set = probabilities.window_set
            and decisions.window_index = probabilities.window_index
            and decisions.atom_id = probabilities.atom_id
    where probabilities.factor = 'momentum'

),

bands as (

    select
        run_id,
        max(try_cast(value as double)) filter (where key = 'selection.hurst_min') as hurst_min,
        max(try_cast(value as double)) filter (where key = 'selection.hurst_max') as hurst_max
    from {{ ref('run_settings') }}
    group by run_id

),

judged as (

    select
        vetoes.*,
        comparators.comparator,
        case
            when comparators.comparator = '>' then vetoes.metric_value > vetoes.limit_value
            when comparators.comparator = '<' then vetoes.metric_value < vetoes.limit_value
            when comparators.comparator = '<=' then vetoes.metric_value <= vetoes.limit_value
            when comparators.comparator = '>=' then vetoes.metric_value >= vetoes.limit_value
            -- of two limits the one on the side of the metric stands there
            when vetoes.code = 'ROC_EXTREME' and vetoes.metric_value < 0 then vetoes.metric_value < vetoes.limit_value
            when vetoes.code = 'ROC_EXTREME' then vetoes.metric_value > vetoes.limit_value
            -- inside the band, of which only the end on the side of the metric stands there
            when vetoes.code = 'RANDOM_WALK'
                then vetoes.metric_value > bands.hurst_min and vetoes.metric_value < bands.hurst_max
            -- a persistent series is toxic where it falls; what was not scored has no momentum to compare
            when vetoes.code = 'TOXIC_PERSISTENCE' and oriented.momentum is not null
                then vetoes.metric_value > vetoes.limit_value and oriented.momentum < 0
            when vetoes.code = 'TOXIC_PERSISTENCE' and vetoes.metric_value <= vetoes.limit_value then false
            when vetoes.code = 'TOXIC_PERSISTENCE' then vetoes.is_fired
            -- strong momentum is relieved down to three quarters of the hurdle
            when vetoes.code = 'ECI_HIGH' and vetoes.metric_value >= vetoes.limit_value then false
            when vetoes.code = 'ECI_HIGH' and oriented.momentum is null then vetoes.is_fired
            when vetoes.code = 'ECI_HIGH'
                then not (oriented.momentum > 1.0 and vetoes.metric_value >= 0.75 * vetoes.limit_value)
        end as is_breached
    from {{ ref('vetoes') }} as vetoes
    left join comparators on vetoes.code = comparators.code
    left join bands on vetoes.run_id = bands.run_id
    left join oriented
        on
            vetoes.run_id = oriented.run_id
            and vetoes.window_set = oriented.window_set
            and vetoes.window_index = oriented.window_index
            and vetoes.selection_engine = oriented.selection_engine
            and vetoes.atom_id = oriented.atom_id

)

select
    judged.run_id,
    judged.window_set,
    judged.window_index,
    judged.selection_engine,
    judged.atom_id,
    judged.code
from judged
left join {{ ref('selection_warnings') }} as warnings
    on
        judged.run_id = warnings.run_id
        and judged.window_set = warnings.window_set
        and judged.window_index = warnings.window_index
        and judged.selection_engine = warnings.selection_engine
        and warnings.code = 'METRIC_MISSING'
        and warnings.subject in (judged.code, judged.code || ' ' || judged.atom_id)
where
    judged.comparator is null
    or (judged.metric_value is null and judged.is_fired)
    or (judged.metric_value is not null and judged.is_fired is distinct from judged.is_breached)
    or (judged.metric_value is null) <> (warnings.code is not null)
