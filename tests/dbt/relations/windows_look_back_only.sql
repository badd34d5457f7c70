-- Fails with the windows that could read what they are tested on.
select *
from {{ ref('windows') }}
where
    estimation_start_date > train_end_date
    or train_start_date > train_end_date
    or train_end_date <> decision_date
    or decision_date >= test_start_date
    or test_start_date > primary_end_date
    or primary_end_date > test_end_date
    or regime_date > decision_date
