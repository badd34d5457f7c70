-- One row per symbol, session and code: a bar whose move is suspect, with the value that tripped the rule.
with found as (

    select moves.*
    from {{ ref('calc_suspect_moves') }} as moves
    {% if is_incremental() %}
        inner join {{ pending('bar_spikes') }} as changes
            on moves.symbol = changes.symbol and moves.session_date >= changes.first_changed_date
    {% endif %}

),

landed as (

    select suspicions.*
    from {{ ref('landed_suspicions') }} as suspicions
    {% if is_incremental() %}
        inner join {{ pending('bar_spikes') }} as changes
            on suspicions.symbol = changes.symbol and suspicions.session_date >= changes.first_changed_date
    {% endif %}

),

-- what landing kept out leaves no bar to look at; where both know of a move, landing knows the donor
suspected as (

    select
        coalesce(found.symbol, landed.symbol) as symbol,
        coalesce(found.session_date, landed.session_date) as session_date,
        coalesce(found.code, landed.code) as code,
        coalesce(found.value, landed.value) as value,
        landed.donor_symbol,
        found.symbol is null and landed.is_healed as is_healed
    from found
    full outer join landed
        on found.symbol = landed.symbol and found.session_date = landed.session_date and found.code = landed.code

),

-- who resolves a move again means the later word
resolved as (

    select
        symbol,
        session_date,
        code,
        reason
    from {{ ref('stg_resolutions') }}
    qualify row_number() over (
        partition by symbol, session_date, code order by received_at_utc desc, load_id desc, row_number desc
    ) = 1

),

final as (

    select
        -- keys
        suspected.symbol,
        suspected.session_date,
        suspected.code,

        -- what was found
        suspected.value,
        suspected.donor_symbol,

        -- flags resolve by being harmless, bars kept out by a clean one; the others stay open until somebody has looked
        resolved.reason is not null
        or suspected.is_healed
        or suspected.code in ('EXTREME', 'VOLUME_SPIKE', 'ADJUSTMENT_CHANGE') as is_resolved,
        resolved.reason as resolution

    from suspected
    left join resolved
        on
            suspected.symbol = resolved.symbol
            and suspected.session_date = resolved.session_date
            and suspected.code = resolved.code

)

select * from final
order by symbol, session_date, code
