-- Fails with the regimes whose label contradicts their score, or that rest on a proxy of fewer than five symbols.
select *
from {{ ref('market_regimes') }}
where
    not (score between 0 and 2.5)
    or member_count < 5
    or (observation_count >= 20) <> (volatility_ratio is not null)
    or label <> case
        when observation_count < 20 then 'NORMAL'
        when score >= 1.8 or ((quadrant = 'CRISIS' or volatility_state = 'HIGH_VOL') and score > 1.5) then 'CRISIS'
        when score < 0.7 then 'QUIET'
        when score >= 1.4 or turbulence > 0.95 or coalesce(hurst, 0.5) > 0.65 then 'TURBULENT'
        else 'NORMAL'
    end
    or quantile_label <> case
        when crisis_limit is null then label
        when
            score >= crisis_limit
            or (
                (quadrant = 'CRISIS' or volatility_state = 'HIGH_VOL')
                and score > turbulent_limit + (crisis_limit - turbulent_limit) / 4
            )
            then 'CRISIS'
        when score < quiet_limit then 'QUIET'
        when score >= turbulent_limit or turbulence > 0.95 or coalesce(hurst, 0.5) > 0.65 then 'TURBULENT'
        else 'NORMAL'
    end
