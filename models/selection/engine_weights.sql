-- One row per scored engine and factor: the weight of the factor in the engine's score.
with engines as (

    select
        item as selection_engine,
        'global_robust' as vector
    from {{ setting_list('matrix.selection_engines') }}
    where item = 'v3.2'

),

stated as (

    select
        split_part(settings.key, '.', 3) as vector,
        split_part(settings.key, '.', 4) as factor,
        cast(settings.value ->> '$' as double) as weight
    from {{ ref('calc_settings') }} as settings
    where settings.key like 'selection.factor_weights.%'

),

overriding as (

    select
        split_part(settings.key, '.', 3) as factor,
        cast(settings.value ->> '$' as double) as weight
    from {{ ref('calc_settings') }} as settings
    where settings.key like 'selection.weights_override.%'

),

factors as (

    select distinct factor
    from {{ ref('factor_probabilities') }}

),

final as (

    select
        engines.selection_engine,
        factors.factor,
        case
            when factors.factor = {{ setting('selection.dominant_signal') }} then 3.0
            when {{ setting('selection.dominant_signal') }} is not null and factors.factor = 'momentum' then 0.5
            else coalesce(overriding.weight, stated.weight, 0.0)
        end as weight
    from engines
    cross join factors
    left join stated on engines.vector = stated.vector and factors.factor = stated.factor
    left join overriding on factors.factor = overriding.factor

)

select * from final
order by selection_engine, factor
