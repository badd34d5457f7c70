-- One row per window, selection engine and cluster: who is in it, who leads it, how closely its members move together.
with calculated as (

    select
        run_id,
        window_set,
        window_index,
        clustering_id,
        unnest(selection_engines) as selection_engine,
        clusters
    from {{ ref('calc_clusters') }}

),

clusters as (

    select
        run_id,
        window_set,
        window_index,
        clustering_id,
        selection_engine,
        unnest(clusters) as item
    from calculated

),

-- the atoms of the clustered symbols; a hard veto took the others out
atoms as (

    select
        decisions.window_set,
        decisions.window_index,
        decisions.selection_engine,
        decisions.cluster_id,
        count(distinct decisions.symbol) filter (where decisions.outcome = 'WINNER') as winner_count,
        arg_min(decisions.atom_id, (coalesce(decisions.score_rank, 0), decisions.atom_id)) as lead_atom_id,
        avg(factors.antifragility order by decisions.atom_id) as mean_antifragility,
        avg(abs(factors.cvar) order by decisions.atom_id) as mean_cvar
    from {{ ref('decisions') }} as decisions
    inner join {{ current_unsealed_run() }} as current_run on decisions.run_id = current_run.run_id
    left join {{ ref('atom_factors') }} as factors
        on
            decisions.window_set = factors.window_set
            and decisions.window_index = factors.window_index
            and decisions.atom_id = factors.atom_id
    where decisions.cluster_id > 0
    group by all

),

final as (

    select
        -- keys
        clusters.run_id,
        clusters.window_set,
        clusters.window_index,
        clusters.selection_engine,
        clusters.item.cluster_id as cluster_id,
        clusters.clustering_id,

        -- what it is
        labels.label,
        labels.sector,
        labels.homogeneity,
        clusters.item.cluster_size as cluster_size,
        cast(coalesce(atoms.winner_count, 0) as integer) as winner_count,
        atoms.lead_atom_id,

        -- how it moves
        clusters.item.mean_correlation as mean_correlation,
        clusters.item.volatility_annual as volatility_annual,
        atoms.mean_antifragility,
        atoms.mean_cvar,
        case
            when atoms.mean_cvar < 0.02 then 'green'
            when atoms.mean_cvar <= 0.05 then 'amber'
            when atoms.mean_cvar > 0.05 then 'red'
        end as tail_colour

    from clusters
    left join {{ ref('cluster_labels') }} as labels
        on
            clusters.window_set = labels.window_set
            and clusters.window_index = labels.window_index
            and clusters.clustering_id = labels.clustering_id
            and clusters.item.cluster_id = labels.cluster_id
    left join atoms
        on
            clusters.window_set = atoms.window_set
            and clusters.window_index = atoms.window_index
            and clusters.selection_engine = atoms.selection_engine
            and clusters.item.cluster_id = atoms.cluster_id

)

select * from final
order by window_set, window_index, selection_engine, cluster_id
