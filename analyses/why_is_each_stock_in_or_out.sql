-- Why is each stock in or out of the portfolio after the last decision?
select
    decisions.symbol,
    decisions.outcome,
    coalesce(
        decisions.reason,
        'beaten by ' || decisions.lost_to,
        'place ' || decisions.rank_in_cluster || ' in cluster ' || decisions.cluster_id
    ) as why,
    decisions.score_rank,
    round(decisions.log_score, 3) as log_score
from selection.runs_latest as latest
inner join selection.decisions as decisions on latest.run_id = decisions.run_id
where latest.profile = 'sample' and decisions.selection_engine = 'v3.2'
qualify decisions.window_index = max(decisions.window_index) over ()
order by decisions.outcome desc, decisions.score_rank asc nulls last, decisions.symbol asc
