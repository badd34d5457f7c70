-- Fails with the pairs that the ranking treats as one portfolio and are two, or as two and are one.
with board as (

    select
        scores.run_id,
        scores.cell_id,
        scores.config_id,
        scores.window_set,
        scores.rank,
        scores.duplicate_of,
        scores.unranked_reason,
        cast(settings.value as double) as correlation_limit
    from {{ ref('scoreboard') }} as scores
    inner join {{ ref('run_settings') }} as settings
        on scores.run_id = settings.run_id and settings.key = 'gates.duplicate_correlation'
    where scores.rank is not null or scores.duplicate_of is not null or scores.unranked_reason = 'duplicate'

),

pairs as (

    select
        one.run_id,
        one.cell_id,
        other.config_id as ranked_config_id,
        one.rank,
        one.duplicate_of,
        one.correlation_limit,
        corr(own_days.net_return, ranked_days.net_return) as correlation
    from board as one
    inner join board as other
        on
            one.run_id = other.run_id
            and one.window_set = other.window_set
            and one.cell_id <> other.cell_id
            and other.rank is not null
            and (one.rank > other.rank or one.duplicate_of = other.config_id)
    inner join {{ ref('portfolio_returns') }} as own_days
        on one.run_id = own_days.run_id and one.cell_id = own_days.cell_id
    inner join {{ ref('portfolio_returns') }} as ranked_days
        on
            other.run_id = ranked_days.run_id
            and other.cell_id = ranked_days.cell_id
            and own_days.session_date = ranked_days.session_date
    group by all

)

select
    board.run_id,
    board.cell_id,
    board.duplicate_of,
    pairs.correlation
from board
left join pairs on board.run_id = pairs.run_id and board.cell_id = pairs.cell_id
where
    (board.duplicate_of is not null) <> coalesce(board.unranked_reason = 'duplicate', false)
    or board.duplicate_of is not null and not coalesce(pairs.correlation > board.correlation_limit - 1e-9, false)
    or board.rank is not null and coalesce(pairs.correlation > board.correlation_limit + 1e-9, false)
