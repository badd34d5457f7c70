-- What made the five best scores of the last decision: the probability of each factor?
with leaders as (

    select
        scores.run_id,
        scores.window_set,
        scores.window_index,
        scores.atom_id,
        scores.rank,
        scores.log_score
    from selection.runs_latest as latest
    inner join selection.alpha_scores as scores on latest.run_id = scores.run_id
    where latest.profile = 'sample' and scores.selection_engine = 'v3.2'
    qualify scores.window_index = max(scores.window_index) over () and scores.rank <= 5

)

select
    leaders.rank,
    factors.symbol,
    round(max(factors.probability) filter (where factors.factor = 'momentum'), 2) as momentum,
    round(max(factors.probability) filter (where factors.factor = 'efficiency'), 2) as efficiency,
    round(max(factors.probability) filter (where factors.factor = 'survival'), 2) as survival,
    round(max(factors.probability) filter (where factors.factor = 'antifragility'), 2) as antifragility,
    round(max(factors.probability) filter (where factors.factor = 'hurst_clean'), 2) as hurst_clean,
    round(max(factors.probability) filter (where factors.factor = 'stability'), 2) as stability,
    round(leaders.log_score, 3) as log_score
from leaders
inner join selection.factor_probabilities as factors
    on
        leaders.run_id = factors.run_id
        and leaders.window_set = factors.window_set
        and leaders.window_index = factors.window_index
        and leaders.atom_id = factors.atom_id
group by leaders.rank, factors.symbol, leaders.log_score
order by leaders.rank
