-- One row per window, scored engine, atom and factor: what the factor adds to the logarithm of the score.
with probabilities as (

    select probabilities.*
    from {{ ref('factor_probabilities') }} as probabilities
    inner join {{ current_unsealed_run() }} as current_run on probabilities.run_id = current_run.run_id

),

final as (

    select
        -- keys
        probabilities.run_id,
        probabilities.window_set,
        probabilities.window_index,
        weights.selection_engine,
        probabilities.atom_id,
        probabilities.factor,

        -- what it adds
        weights.weight,
        probabilities.probability,
        weights.weight * ln(greatest(probabilities.probability, 1e-9)) as contribution

    from probabilities
    inner join {{ ref('engine_weights') }} as weights on probabilities.factor = weights.factor

)

select * from final
order by window_set, window_index, selection_engine, atom_id, factor
