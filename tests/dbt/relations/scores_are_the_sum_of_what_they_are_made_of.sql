-- Fails with the scores that are not the sum of their contributions, penalty and fit, or that leave their bounds.
with summed as (

    select
        run_id,
        window_set,
        window_index,
        selection_engine,
        atom_id,
        sum(contribution) as contribution,
        max(abs(contribution - weight * ln(greatest(probability, 1e-9)))) as worst
    from {{ ref('score_contributions') }}
    group by all

)

select
    scores.run_id,
    scores.window_set,
    scores.window_index,
    scores.selection_engine,
    scores.atom_id
from {{ ref('alpha_scores') }} as scores
left join summed
    on
        scores.run_id = summed.run_id
        and scores.window_set = summed.window_set
        and scores.window_index = summed.window_index
        and scores.selection_engine = summed.selection_engine
        and scores.atom_id = summed.atom_id
where
    summed.worst is null
    or summed.worst > 1e-12
    or abs(summed.contribution + ln(1 - scores.penalty) + ln(scores.fit_multiplier) - scores.log_score) > 1e-9
    or not isfinite(scores.log_score)
    or scores.penalty not between 0 and 0.5
    or scores.fit_multiplier < 0.1
    or scores.score / scores.fit_multiplier not between 0 and 1 + 1e-12
