-- One row per window, selection engine, code and subject: what a reader of the selection must know and no veto says.
with windows as (

    select windows.*
    from {{ ref('windows') }} as windows
    inner join {{ current_unsealed_run() }} as current_run on windows.run_id = current_run.run_id

),

engines as (

    select
        windows.run_id,
        windows.window_set,
        windows.window_index,
        windows.regime,
        windows.quadrant,
        windows.is_regime_in_sample,
        engines.item as selection_engine,
        engines.item <> 'baseline' as is_scored
    from windows
    cross join {{ setting_list('matrix.selection_engines') }} as engines

),

measures as (

    select
        engines.selection_engine,
        measures.*
    from {{ ref('atom_measures') }} as measures
    inner join engines
        on
            measures.window_set = engines.window_set
            and measures.window_index = engines.window_index
            and engines.is_scored

),

vetoes as (

    select vetoes.*
    from {{ ref('vetoes') }} as vetoes
    inner join {{ current_unsealed_run() }} as current_run on vetoes.run_id = current_run.run_id

),

declared_off as (

    select
        engines.window_set,
        engines.window_index,
        engines.selection_engine,
        'VETO_INERT' as code,
        active.code as subject,
        cast(null as varchar) as atom_id,
        active.why_inert as detail
    from engines
    inner join {{ ref('active_vetoes') }} as active on not active.is_active
    where engines.is_scored

),

-- with k patterns of order 3 entropy is at most ln(min(k, 6)) / ln 6; one return among n gives the largest kurtosis
attainable as (

    select
        window_set,
        window_index,
        selection_engine,
        max(ln(greatest(least(least(observation_count, 120) - 2, 6), 1)) / ln(6)) as entropy,
        max(case when observation_count > 1 then observation_count - 5 + 1.0 / (observation_count - 1) end) as kurtosis
    from measures
    group by all

),

unattainable as (

    select
        attainable.window_set,
        attainable.window_index,
        attainable.selection_engine,
        'VETO_INERT' as code,
        unnest(list_filter(
            [
                {
                    'code': 'ENTROPY_TOXIC',
                    'limit_value': {{ setting('selection.limits.entropy_toxic', 'double') }},
                    'bound': attainable.entropy,
                    'is_beyond': {{ setting('selection.limits.entropy_toxic', 'double') }} >= attainable.entropy
                },
                {
                    'code': 'ENTROPY_HIGH',
                    'limit_value': {{ setting('selection.entropy_max', 'double') }},
                    'bound': attainable.entropy,
                    'is_beyond': {{ setting('selection.entropy_max', 'double') }} >= attainable.entropy
                },
                {
                    'code': 'KURTOSIS_HIGH',
                    'limit_value': {{ setting('selection.limits.kurtosis_max', 'double') }},
                    'bound': attainable.kurtosis,
                    'is_beyond': {{ setting('selection.limits.kurtosis_max', 'double') }} >= attainable.kurtosis
                },
                {
                    'code': 'SURVIVAL_LOW',
                    'limit_value': {{ setting('selection.limits.survival_min', 'double') }},
                    'bound': 0.0,
                    'is_beyond': {{ setting('selection.limits.survival_min', 'double') }} <= 0
                },
                {
                    'code': 'EFFICIENCY_LOW',
                    'limit_value': {{ setting('selection.efficiency_min', 'double') }},
                    'bound': 0.0,
                    'is_beyond': {{ setting('selection.efficiency_min', 'double') }} <= 0
                },
                {
                    'code': 'MOMENTUM_GATE',
                    'limit_value': {{ setting('selection.min_momentum', 'double') }},
                    'bound': -1.0,
                    'is_beyond': {{ setting('selection.min_momentum', 'double') }} <= -1
                }
            ],
            item -> item.is_beyond
        )) as item
    from attainable

),

unmeasured as (

    select
        window_set,
        window_index,
        selection_engine,
        code as veto,
        count(*) as atom_count,
        count(metric_value) as metric_count
    from vetoes
    group by all

),

absent as (

    select unnest(['liquidity', 'adx']) as factor

),

-- a factor that says the same of everybody ranks nobody, and its weight is without effect
constant as (

    select
        probabilities.window_set,
        probabilities.window_index,
        probabilities.factor,
        min(probabilities.probability) as probability
    from {{ ref('factor_probabilities') }} as probabilities
    inner join {{ current_unsealed_run() }} as current_run on probabilities.run_id = current_run.run_id
    where
        {{ setting('bars.volume') }} <> 'absent'
        or probabilities.factor not in (select absent.factor from absent)
    group by all
    having count(*) > 1 and min(probabilities.probability) = max(probabilities.probability)

),

found as (

    select * from declared_off
    union all
    select
        unattainable.window_set,
        unattainable.window_index,
        unattainable.selection_engine,
        unattainable.code,
        unattainable.item.code as subject,
        cast(null as varchar) as atom_id,
        'the limit ' || unattainable.item.limit_value || ' cannot be breached: the metric goes no further than '
        || round(unattainable.item.bound, 4) as detail
    from unattainable
    inner join {{ ref('active_vetoes') }} as active on unattainable.item.code = active.code and active.is_active
    union all
    -- no atom has the metric: the check has no input
    select
        window_set,
        window_index,
        selection_engine,
        'METRIC_MISSING' as code,
        veto as subject,
        cast(null as varchar) as atom_id,
        'the check is active and nothing feeds it: no atom has its metric' as detail
    from unmeasured
    where metric_count = 0
    union all
    select
        vetoes.window_set,
        vetoes.window_index,
        vetoes.selection_engine,
        'METRIC_MISSING' as code,
        vetoes.code || ' ' || vetoes.atom_id as subject,
        vetoes.atom_id,
        'the metric of ' || vetoes.code || ' is not known, so the check did not fire' as detail
    from vetoes
    inner join unmeasured
        on
            vetoes.window_set = unmeasured.window_set
            and vetoes.window_index = unmeasured.window_index
            and vetoes.selection_engine = unmeasured.selection_engine
            and vetoes.code = unmeasured.veto
    where vetoes.metric_value is null and unmeasured.metric_count > 0
    union all
    select
        engines.window_set,
        engines.window_index,
        engines.selection_engine,
        'FACTOR_ABSENT' as code,
        absent.factor as subject,
        cast(null as varchar) as atom_id,
        'the profile declares that there is no volume: every atom has the probability 0.5' as detail
    from engines
    cross join absent
    where engines.is_scored and {{ setting('bars.volume') }} = 'absent'
    union all
    select
        engines.window_set,
        engines.window_index,
        engines.selection_engine,
        'FACTOR_CONSTANT' as code,
        constant.factor as subject,
        cast(null as varchar) as atom_id,
        'every atom has the probability ' || round(constant.probability, 4) || ': the factor ranks nobody' as detail
    from engines
    inner join constant
        on engines.window_set = constant.window_set and engines.window_index = constant.window_index
    where engines.is_scored
    union all
    select
        engines.window_set,
        engines.window_index,
        engines.selection_engine,
        'REGIME_DECLARED' as code,
        'quadrant' as subject,
        cast(null as varchar) as atom_id,
        'no quadrant was measured: the regime adds nothing to how well an atom fits' as detail
    from engines
    where engines.is_scored and engines.quadrant is null and {{ setting('selection.regime_fit', 'boolean') }}
    union all
    select
        engines.window_set,
        engines.window_index,
        engines.selection_engine,
        'WEIGHTS_IN_SAMPLE' as code,
        'regime' as subject,
        cast(null as varchar) as atom_id,
        'the weights of the regime were tuned on sessions at or after this decision' as detail
    from engines
    where engines.is_scored and engines.is_regime_in_sample
    union all
    select
        window_set,
        window_index,
        selection_engine,
        'CLOSES_STALLED' as code,
        atom_id as subject,
        atom_id,
        equal_close_count || ' equal closes in a row at the decision' as detail
    from measures
    where equal_close_count >= 3
    union all
    select
        window_set,
        window_index,
        selection_engine,
        'VOLUME_SPIKE' as code,
        atom_id as subject,
        atom_id,
        'the last volume is more than ten deviations above the 20 before it' as detail
    from measures
    where has_volume_spike
    union all
    select
        window_set,
        window_index,
        selection_engine,
        'BORROW_UNCHECKED' as code,
        'SHORT_UNBORROWABLE' as subject,
        cast(null as varchar) as atom_id,
        count(*) || ' SHORT candidates may win, and nothing says whether they can be borrowed' as detail
    from measures
    where is_kept and direction = 'SHORT' and {{ setting('selection.allow_short', 'boolean') }}
    group by all
    union all
    select
        window_set,
        window_index,
        unnest(selection_engines) as selection_engine,
        'PAIR_IMPUTED' as code,
        clustering_id as subject,
        cast(null as varchar) as atom_id,
        imputed_pair_count || ' pairs without a correlation over a look-back count as uncorrelated' as detail
    from {{ ref('calc_clusters') }}
    where imputed_pair_count > 0
    union all
    select
        window_set,
        window_index,
        unnest(selection_engines) as selection_engine,
        'KAPPA_HIGH' as code,
        clustering_id as subject,
        cast(null as varchar) as atom_id,
        'the condition number is ' || coalesce(cast(kappa as varchar), 'infinite') || ' after the shrinkage '
        || shrinkage as detail
    from {{ ref('calc_clusters') }}
    where is_singular or kappa > {{ setting('selection.kappa_max', 'double') }}
    union all
    -- the gate looks at the newest verdict; a candidate may have been unsound at a decision long before it
    select distinct
        candidates.window_set,
        candidates.window_index,
        engines.selection_engine,
        candidates.verdict || '_CANDIDATE' as code,
        candidates.atom_id as subject,
        candidates.atom_id,
        'the data of ' || candidates.symbol || ' were ' || candidates.verdict
        || ' at the decision, and it stays a candidate' as detail
    from {{ ref('candidates') }} as candidates
    inner join engines
        on
            candidates.run_id = engines.run_id
            and candidates.window_set = engines.window_set
            and candidates.window_index = engines.window_index
    where candidates.is_kept and candidates.verdict <> 'OK'
    union all
    select
        funnel.window_set,
        funnel.window_index,
        funnel.selection_engine,
        case
            when funnel.raw_pool_count = 0 then 'EMPTY_POOL'
            when funnel.not_hard_count = 0 then 'ALL_HARD_VETOED'
            when funnel.not_vetoed_count = 0 then 'ALL_VETOED'
            else 'NO_WINNER'
        end as code,
        'window' as subject,
        cast(null as varchar) as atom_id,
        'no atom won: the window is kept and held in cash' as detail
    from {{ ref('funnel') }} as funnel
    inner join {{ current_unsealed_run() }} as current_run on funnel.run_id = current_run.run_id
    where funnel.winner_count = 0
    union all
    -- the floor is 15 winners, or all atoms without a hard veto where those are fewer
    select
        funnel.window_set,
        funnel.window_index,
        funnel.selection_engine,
        unnest(case when funnel.winner_count < 5 then ['SCARCE', 'ULTRA_SPARSE'] else ['SCARCE'] end) as code,
        'winners' as subject,
        cast(null as varchar) as atom_id,
        'winners ' || funnel.winner_count || ', without a hard veto ' || funnel.not_hard_count || ', without any '
        || funnel.not_vetoed_count || ', of ' || funnel.raw_pool_count || ' in the pool' as detail
    from {{ ref('funnel') }} as funnel
    inner join {{ current_unsealed_run() }} as current_run on funnel.run_id = current_run.run_id
    where funnel.is_scarce

),

final as (

    select
        -- keys
        engines.run_id,
        engines.window_set,
        engines.window_index,
        engines.selection_engine,
        found.code,
        found.subject,

        -- what it says
        found.atom_id,
        found.detail

    from found
    inner join engines
        on
            found.window_set = engines.window_set
            and found.window_index = engines.window_index
            and found.selection_engine = engines.selection_engine

)

select * from final
order by window_set, window_index, selection_engine, code, subject
