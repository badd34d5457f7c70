-- One row per asset class and session on which five of its symbols have a return: the return of its market.
with final as (

    select
        -- keys
        asset_class,
        cast(session_date as date) as session_date,

        -- the proxy
        proxy_return,
        member_count,
        weighting,
        periods_per_year,
        known_at_utc

    from {{ ref('calc_market_proxies') }}
    {% if is_incremental() %}
        where session_date >= {{ first_pending_date('market_proxies') }}
    {% endif %}

)

select * from final
