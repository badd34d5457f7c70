-- Which vetoes removed most names, how often was each the only one, and how close did the others come?
with checks as (

    select
        vetoes.*,
        count(*) filter (where vetoes.is_fired) over (partition by vetoes.window_index, vetoes.atom_id) as fired_count
    from selection.runs_latest as latest
    inner join selection.vetoes as vetoes on latest.run_id = vetoes.run_id
    where latest.profile = 'sample' and vetoes.selection_engine = 'v3.2'

)

select
    code,
    severity,
    count(*) filter (where is_fired) as fired,
    count(*) filter (where is_fired and fired_count = 1) as alone,
    count(distinct window_index) filter (where is_fired) as windows,
    count(distinct atom_id) filter (where is_fired) as names,
    round(avg(metric_value) filter (where is_fired), 3) as mean_of_fired,
    round(avg(metric_value) filter (where not is_fired), 3) as mean_of_others
from checks
group by code, severity
having count(*) filter (where is_fired) > 0
order by fired desc, code asc
