-- Who won each cluster of the last decision, who came second, and by what margin?
with ranked as (

    select decisions.*
    from selection.runs_latest as latest
    inner join selection.decisions as decisions on latest.run_id = decisions.run_id
    where latest.profile = 'sample' and decisions.selection_engine = 'v3.2' and decisions.cluster_id > 0
    qualify decisions.window_index = max(decisions.window_index) over ()

),

placed as (

    select
        *,
        row_number() over (partition by cluster_id order by log_score desc, atom_id asc) as place
    from ranked

)

select
    first.cluster_id as cluster,
    first.symbol as winner,
    first.outcome,
    round(first.log_score, 3) as log_score,
    second.symbol as runner_up,
    second.outcome as outcome_of_runner_up,
    round(first.log_score - second.log_score, 3) as margin
from placed as first
left join placed as second on first.cluster_id = second.cluster_id and second.place = 2
where first.place = 1
order by first.cluster_id
