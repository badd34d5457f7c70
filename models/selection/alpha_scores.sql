-- One row per window, scored engine and atom: its score, and its place among the atoms of the window.
with summed as (

    select
        contributions.run_id,
        contributions.window_set,
        contributions.window_index,
        contributions.selection_engine,
        contributions.atom_id,
        sum(contributions.contribution order by contributions.factor) as contribution
    from {{ ref('score_contributions') }} as contributions
    inner join {{ current_unsealed_run() }} as current_run on contributions.run_id = current_run.run_id
    group by all

),

-- how well the asset fits strategy and regime; below 64 observations nothing is said
fitted as (

    select
        summed.*,
        factors.average_daily_value,
        factors.penalty,
        case
            when not {{ setting('selection.regime_fit', 'boolean') }} or factors.observation_count < 64 then 0.0
            when {{ setting('selection.strategy') }} = 'trend_following'
                then
                    case
                        when factors.quadrant in ('INFLATIONARY_TREND', 'EXPANSION') then 0.6
                        when factors.quadrant = 'STAGNATION' then -0.3
                        when factors.quadrant = 'CRISIS' then 0.2
                        else 0.0
                    end
                    + case
                        when factors.hurst > 0.55 then least(0.4, 2 * (factors.hurst - 0.55))
                        when factors.hurst < 0.45 then -0.4
                        else 0.0
                    end
                    + case when factors.absolute_autocorrelation > 0.5 then 0.1 else 0.0 end
            else
                case
                    when factors.quadrant in ('STAGNATION', 'NORMAL') then 0.6
                    when factors.quadrant = 'INFLATIONARY_TREND' then -0.6
                    when factors.quadrant = 'CRISIS' then 0.4
                    else 0.0
                end
                + case
                    when factors.hurst < 0.45 then least(0.4, 2 * (0.45 - factors.hurst))
                    when factors.hurst > 0.55 then -0.4
                    else 0.0
                end
                + case when factors.regime = 'QUIET' then 0.2 else 0.0 end
        end as fit
    from summed
    inner join {{ ref('atom_factors') }} as factors
        on
            summed.window_set = factors.window_set
            and summed.window_index = factors.window_index
            and summed.atom_id = factors.atom_id

),

scored as (

    select
        *,
        greatest(0.1, 1 + fit) as fit_multiplier,
        contribution + ln(greatest(1 - penalty, 1e-9)) + ln(greatest(0.1, 1 + fit)) as log_score
    from fitted

),

final as (

    select
        -- keys
        run_id,
        window_set,
        window_index,
        selection_engine,
        atom_id,

        -- the score
        log_score,
        exp(log_score) as score,
        cast(row_number() over (
            partition by window_set, window_index, selection_engine
            order by log_score desc, average_daily_value desc nulls last, atom_id asc
        ) as integer) as rank,

        -- what it is made of
        contribution,
        penalty,
        fit_multiplier,
        average_daily_value

    from scored

)

select * from final
order by window_set, window_index, selection_engine, rank
