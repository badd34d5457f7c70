-- What did minimum variance hold after its last decision, and how did each weight come about?
select
    weights.symbol,
    weights.cluster_id as cluster,
    round(100 * weights.cluster_weight, 2) as cluster_percent,
    round(100 * weights.share_in_cluster, 2) as share_percent,
    round(100 * weights.weight, 2) as weight_percent
from selection.runs_latest as latest
inner join tournaments.configs as configs on latest.run_id = configs.run_id
inner join tournaments.atom_weights as weights
    on configs.run_id = weights.run_id and configs.config_id = weights.config_id
where latest.profile = 'sample' and configs.engine = 'custom' and configs.risk_profile = 'min_variance'
qualify
    weights.window_index = max(weights.window_index) over ()
    and weights.weight > 0.005
order by weights.weight desc, weights.symbol asc
