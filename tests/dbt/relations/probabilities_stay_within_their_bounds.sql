-- Fails with probabilities outside 0.001 and 1, with missing values that are not imputed, and with scores of others.
select
    probabilities.run_id,
    probabilities.window_set,
    probabilities.window_index,
    probabilities.atom_id,
    probabilities.factor
from {{ ref('factor_probabilities') }} as probabilities
left join {{ ref('score_contributions') }} as contributions
    on
        probabilities.run_id = contributions.run_id
        and probabilities.window_set = contributions.window_set
        and probabilities.window_index = contributions.window_index
        and probabilities.atom_id = contributions.atom_id
        and probabilities.factor = contributions.factor
where
    probabilities.probability not between 0.001 and 1
    or (probabilities.raw_value is null and not probabilities.is_imputed)
    or (probabilities.is_imputed and probabilities.probability not in (0.01, 0.5))
    or contributions.probability <> probabilities.probability
