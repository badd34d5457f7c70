-- One row per window, selection engine and atom: the one final outcome, and why.
with candidates as (

    select candidates.*
    from {{ ref('candidates') }} as candidates
    inner join {{ current_unsealed_run() }} as current_run on candidates.run_id = current_run.run_id
    qualify row_number() over (
        partition by candidates.window_set, candidates.window_index, candidates.atom_id
        order by candidates.is_kept desc, candidates.scanner_id asc
    ) = 1

),

pooled as (

    select
        candidates.*,
        engines.item as selection_engine
    from candidates
    cross join {{ setting_list('matrix.selection_engines') }} as engines

),

fired as (

    select
        vetoes.window_set,
        vetoes.window_index,
        vetoes.selection_engine,
        vetoes.atom_id,
        string_agg(vetoes.code, ',' order by vetoes.severity, vetoes.code) as codes,
        bool_or(vetoes.severity = 'hard' and vetoes.code <> 'DOMINATED_LEVERAGED') as is_excluded
    from {{ ref('vetoes') }} as vetoes
    inner join {{ current_unsealed_run() }} as current_run on vetoes.run_id = current_run.run_id
    where vetoes.is_fired and vetoes.overridden_by is null
    group by all

),

scores as (

    select scores.*
    from {{ ref('alpha_scores') }} as scores
    inner join {{ current_unsealed_run() }} as current_run on scores.run_id = current_run.run_id

),

-- `baseline` recruits every candidate that has data; its score is 1 for all, so ranks follow atom_id
joined as (

    select
        pooled.*,
        fired.codes,
        recruits.is_duplicate,
        recruits.identity_atom_id,
        recruits.rank_in_cluster,
        case when pooled.selection_engine = 'baseline' then 1.0 else scores.score end as score,
        scores.log_score,
        scores.rank as score_rank,
        case
            when fired.is_excluded then -1
            when pooled.is_kept then clusters.cluster_id
        end as cluster_id,
        case
            when not pooled.is_kept and (pooled.selection_engine = 'baseline' or fired.codes is null)
                then 'NOT_IN_POOL'
            when pooled.selection_engine = 'baseline' then 'WINNER'
            when fired.codes is not null then 'VETOED'
            when recruits.atom_id is null then 'DIRECTION_OFF'
            when recruits.is_duplicate then 'IDENTITY_DUP'
            when recruits.is_winner then 'WINNER'
            when recruits.is_capped then 'CAPPED'
            else 'LOST_BATTLE'
        end as outcome
    from pooled
    left join fired
        on
            pooled.window_set = fired.window_set
            and pooled.window_index = fired.window_index
            and pooled.selection_engine = fired.selection_engine
            and pooled.atom_id = fired.atom_id
    left join scores
        on
            pooled.window_set = scores.window_set
            and pooled.window_index = scores.window_index
            and pooled.selection_engine = scores.selection_engine
            and pooled.atom_id = scores.atom_id
    left join {{ ref('recruits') }} as recruits
        on
            pooled.window_set = recruits.window_set
            and pooled.window_index = recruits.window_index
            and pooled.selection_engine = recruits.selection_engine
            and pooled.atom_id = recruits.atom_id
    left join {{ ref('atom_clusters') }} as clusters
        on
            pooled.window_set = clusters.window_set
            and pooled.window_index = clusters.window_index
            and pooled.selection_engine = clusters.selection_engine
            and pooled.symbol = clusters.symbol

),

-- who took the last seat of each cluster and direction, and perhaps lost it to the cap
last_winners as (

    select
        window_set,
        window_index,
        selection_engine,
        cluster_id,
        direction,
        arg_max(atom_id, rank_in_cluster) as atom_id
    from joined
    where outcome in ('WINNER', 'CAPPED') and selection_engine <> 'baseline'
    group by all

),

final as (

    select
        -- keys
        joined.run_id,
        joined.window_set,
        joined.window_index,
        joined.selection_engine,
        joined.atom_id,

        -- the atom
        joined.symbol,
        joined.logic,
        joined.direction,

        -- the outcome
        joined.outcome,
        case joined.outcome
            when 'NOT_IN_POOL' then joined.drop_reason
            when 'VETOED' then joined.codes
            when 'DIRECTION_OFF' then 'the profile allows no SHORT'
            when 'IDENTITY_DUP' then 'the same asset as ' || joined.identity_atom_id
            when 'CAPPED' then 'max_winners is ' || {{ setting('max_winners') }}
        end as reason,
        case
            when joined.outcome = 'IDENTITY_DUP' and representatives.outcome in ('WINNER', 'CAPPED')
                then joined.identity_atom_id
            when joined.outcome in ('IDENTITY_DUP', 'LOST_BATTLE') then last_winners.atom_id
        end as lost_to,
        case
            when joined.outcome <> 'WINNER' then null
            when joined.selection_engine = 'baseline' then 'BASELINE'
            else 'TOP_N'
        end as selected_via,
        cast(case when joined.outcome <> 'NOT_IN_POOL' then joined.score end as double) as score,
        joined.log_score,
        joined.score_rank,
        cast(joined.cluster_id as integer) as cluster_id,
        joined.rank_in_cluster,
        0 as relaxation_stage

    from joined
    left join joined as representatives
        on
            joined.window_set = representatives.window_set
            and joined.window_index = representatives.window_index
            and joined.selection_engine = representatives.selection_engine
            and joined.identity_atom_id = representatives.atom_id
    left join last_winners
        on
            joined.window_set = last_winners.window_set
            and joined.window_index = last_winners.window_index
            and joined.selection_engine = last_winners.selection_engine
            and joined.cluster_id = last_winners.cluster_id
            and joined.direction = last_winners.direction

)

select * from final
order by window_set, window_index, selection_engine, atom_id
