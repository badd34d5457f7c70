-- Fails with the factors outside the range that their definition allows.
select *
from {{ unchecked(ref('factor_history')) }}
where
    not (coalesce(efficiency, 0) between 0 and 1)
    or not (coalesce(entropy, 0) between 0 and 1)
    or not (coalesce(hurst, 0) between 0 and 1)
    or not (coalesce(adx, 0) between 0 and 100)
    or not (survival between 0 and 1)
    or not (gap_fraction between 0 and 1)
    or not (observation_count between 1 and 252)
    or cvar > tail_gain
    or volatility_annual < 0
    or spread < 0
    or equal_close_count < 1
