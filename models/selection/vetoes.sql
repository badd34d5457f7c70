-- One row per window, scored engine, atom and active check: the metric, its limit, and whether it fired.
with engines as (

    select item as selection_engine
    from {{ setting_list('matrix.selection_engines') }}
    where item <> 'baseline'

),

checks as (

    select
        checks.run_id,
        checks.window_set,
        checks.window_index,
        engines.selection_engine,
        checks.atom_id,
        checks.code,
        checks.severity,
        checks.metric_value,
        checks.limit_value,
        checks.is_fired,
        checks.overridden_by
    from {{ ref('atom_checks') }} as checks
    cross join engines

),

atoms as (

    select
        measures.run_id,
        measures.window_set,
        measures.window_index,
        engines.selection_engine,
        measures.atom_id,
        measures.symbol,
        measures.logic,
        measures.direction,
        measures.direction = 'LONG' or {{ setting('selection.allow_short', 'boolean') }} as may_win,
        bool_or(checks.is_fired and checks.severity = 'hard') as is_hard,
        bool_or(checks.is_fired and checks.overridden_by is null) as is_vetoed
    from {{ ref('atom_measures') }} as measures
    inner join engines on true
    left join checks
        on
            measures.window_set = checks.window_set
            and measures.window_index = checks.window_index
            and measures.atom_id = checks.atom_id
            and engines.selection_engine = checks.selection_engine
    where measures.is_kept
    group by all

),

partitioned as (

    select
        window_set,
        window_index,
        unnest(selection_engines) as selection_engine,
        pairs
    from {{ ref('calc_clusters') }}

),

pairs as (

    select
        window_set,
        window_index,
        selection_engine,
        unnest(pairs) as item
    from partitioned

),

-- each pair in both directions: how the first moves with the second
twins as (

    select
        window_set,
        window_index,
        selection_engine,
        item.symbol_a as symbol,
        item.symbol_b as twin,
        item.leverage_correlation as correlation,
        abs(item.beta_a_on_b) as beta
    from pairs
    union all
    select
        window_set,
        window_index,
        selection_engine,
        item.symbol_b as symbol,
        item.symbol_a as twin,
        item.leverage_correlation as correlation,
        abs(item.beta_b_on_a) as beta
    from pairs

),

-- an atom is dominated by an eligible one that moves as it does, only less: one of its own logic and direction; what
-- moves against its twin is dominated by either direction of it that may win
dominated as (

    select
        atoms.run_id,
        atoms.window_set,
        atoms.window_index,
        atoms.selection_engine,
        atoms.atom_id,
        'DOMINATED_LEVERAGED' as code,
        active.severity,
        coalesce(max(twins.beta) filter (where twin_atoms.atom_id is not null), 0.0) as metric_value,
        {{ setting('selection.limits.leverage_beta', 'double') }} as limit_value
    from atoms
    inner join {{ ref('active_vetoes') }} as active on active.code = 'DOMINATED_LEVERAGED' and active.is_active
    left join twins
        on
            atoms.window_set = twins.window_set
            and atoms.window_index = twins.window_index
            and atoms.selection_engine = twins.selection_engine
            and atoms.symbol = twins.symbol
            and {{ setting('selection.limits.leverage_correlation', 'double') }} <= abs(twins.correlation)
    left join atoms as twin_atoms
        on
            twins.window_set = twin_atoms.window_set
            and twins.window_index = twin_atoms.window_index
            and twins.selection_engine = twin_atoms.selection_engine
            and twins.twin = twin_atoms.symbol
            and atoms.logic = twin_atoms.logic
            and (
                (twins.correlation > 0 and atoms.direction = twin_atoms.direction)
                or (twins.correlation < 0 and twin_atoms.may_win)
            )
            and not coalesce(twin_atoms.is_vetoed, false)
    where not coalesce(atoms.is_hard, false)
    group by all

),

final as (

    select * from checks
    union all
    select
        run_id,
        window_set,
        window_index,
        selection_engine,
        atom_id,
        code,
        severity,
        metric_value,
        limit_value,
        metric_value >= limit_value as is_fired,
        cast(null as varchar) as overridden_by
    from dominated

)

select * from final
order by window_set, window_index, selection_engine, atom_id, code
