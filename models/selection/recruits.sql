-- One row per window, scored engine and eligible atom: its place in the battle for the seats of its cluster.
with fired as (

    select distinct
        vetoes.window_set,
        vetoes.window_index,
        vetoes.selection_engine,
        vetoes.atom_id
    from {{ ref('vetoes') }} as vetoes
    inner join {{ current_unsealed_run() }} as current_run on vetoes.run_id = current_run.run_id
    where vetoes.is_fired and vetoes.overridden_by is null

),

-- in the pool, scored, without a veto, in a direction that is allowed
eligible as (

    select
        scores.window_set,
        scores.window_index,
        scores.selection_engine,
        scores.atom_id,
        scores.rank,
        factors.symbol,
        factors.logic,
        factors.direction,
        factors.identity,
        clusters.cluster_id
    from {{ ref('alpha_scores') }} as scores
    inner join {{ current_unsealed_run() }} as current_run on scores.run_id = current_run.run_id
    inner join {{ ref('atom_factors') }} as factors
        on
            scores.window_set = factors.window_set
            and scores.window_index = factors.window_index
            and scores.atom_id = factors.atom_id
    inner join {{ ref('atom_clusters') }} as clusters
        on
            scores.window_set = clusters.window_set
            and scores.window_index = clusters.window_index
            and scores.selection_engine = clusters.selection_engine
            and factors.symbol = clusters.symbol
    left join fired
        on
            scores.window_set = fired.window_set
            and scores.window_index = fired.window_index
            and scores.selection_engine = fired.selection_engine
            and scores.atom_id = fired.atom_id
    where
        fired.atom_id is null
        and (factors.direction = 'LONG' or {{ setting('selection.allow_short', 'boolean') }})

),

-- one economic asset counts once per cluster, direction and logic
identified as (

    select
        *,
        first_value(atom_id) over same_identity as identity_atom_id,
        row_number() over same_identity > 1 as is_duplicate
    from eligible
    window same_identity as (
        partition by window_set, window_index, selection_engine, cluster_id, direction, logic, identity
        order by rank
    )

),

contenders as (

    select *
    from identified
    where not is_duplicate

),

pairs as (

    select
        calculated.window_set,
        calculated.window_index,
        calculated.selection_engines,
        unnest(calculated.pairs) as item
    from {{ ref('calc_clusters') }} as calculated

),

togetherness as (

    select
        a.window_set,
        a.window_index,
        a.selection_engine,
        a.cluster_id,
        a.direction,
        avg(pairs.item.correlation order by pairs.item.symbol_a, pairs.item.symbol_b) as mean_correlation
    from pairs
    inner join contenders as a
        on
            pairs.window_set = a.window_set
            and pairs.window_index = a.window_index
            and list_contains(pairs.selection_engines, a.selection_engine)
            and pairs.item.symbol_a = a.symbol
    inner join contenders as b
        on
            a.window_set = b.window_set
            and a.window_index = b.window_index
            and a.selection_engine = b.selection_engine
            and a.direction = b.direction
            and a.cluster_id = b.cluster_id
            and pairs.item.symbol_b = b.symbol
    group by all

),

-- dynamic: a cluster that moves as one needs fewer representatives, one alone has the correlation 1
seated as (

    select
        contenders.window_set,
        contenders.window_index,
        contenders.selection_engine,
        contenders.atom_id,
        contenders.rank,
        row_number() over (
            partition by
                contenders.window_set, contenders.window_index, contenders.selection_engine,
                contenders.cluster_id, contenders.direction
            order by contenders.rank
        ) as rank_in_cluster,
        case {{ setting('selection.recruitment') }}
            when 'fixed' then {{ setting('selection.top_n', 'integer') }}
            else greatest(1, least(
                {{ setting('selection.top_n', 'integer') }},
                cast(ceil(
                    {{ setting('selection.top_n', 'integer') }} * (1 - coalesce(togetherness.mean_correlation, 1.0))
                ) as integer)
            ))
        end as seat_count
    from contenders
    left join togetherness
        on
            contenders.window_set = togetherness.window_set
            and contenders.window_index = togetherness.window_index
            and contenders.selection_engine = togetherness.selection_engine
            and contenders.cluster_id = togetherness.cluster_id
            and contenders.direction = togetherness.direction

),

-- seats are filled round by round, the leaders of all clusters by score and then the seconds, so that a crowded cluster
-- takes no other cluster's leader; who sits beyond the profile's cap goes
queued as (

    select
        *,
        row_number() over (
            partition by window_set, window_index, selection_engine
            order by rank_in_cluster, rank
        ) as place
    from seated
    where rank_in_cluster <= seat_count

),

final as (

    select
        -- keys
        identified.window_set,
        identified.window_index,
        identified.selection_engine,
        identified.atom_id,

        -- where it stands
        identified.cluster_id,
        identified.direction,
        identified.rank,
        identified.identity_atom_id,
        identified.is_duplicate,
        cast(seated.rank_in_cluster as integer) as rank_in_cluster,
        cast(seated.seat_count as integer) as seat_count,
        coalesce(queued.place > {{ setting('max_winners', 'integer') }}, false) as is_capped,
        queued.place is not null
        and coalesce(queued.place <= {{ setting('max_winners', 'integer') }}, true) as is_winner

    from identified
    left join seated
        on
            identified.window_set = seated.window_set
            and identified.window_index = seated.window_index
            and identified.selection_engine = seated.selection_engine
            and identified.atom_id = seated.atom_id
    left join queued
        on
            identified.window_set = queued.window_set
            and identified.window_index = queued.window_index
            and identified.selection_engine = queued.selection_engine
            and identified.atom_id = queued.atom_id

)

select * from final
order by window_set, window_index, selection_engine, rank
