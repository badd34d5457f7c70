-- Fails with the sessions at which net return is not gross return less cost and borrow.
select *
from {{ ref('portfolio_returns') }}
where abs(gross_return - cost - borrow_cost - net_return) > 1e-12
