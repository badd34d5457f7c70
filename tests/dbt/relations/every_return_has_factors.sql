-- Fails with the returns that have no row of factors or one known at another time, and with rows without a return.
select
    returns.symbol,
    returns.session_date,
    returns.known_at_utc,
    factors.known_at_utc as factors_known_at_utc
from {{ unchecked(ref('daily_returns')) }} as returns
full outer join {{ unchecked(ref('factor_history')) }} as factors
    on returns.symbol = factors.symbol and returns.session_date = factors.session_date
where returns.known_at_utc is distinct from factors.known_at_utc
