-- Fails with the constraints whose value stands above the bound in force.
select *
from {{ ref('constraint_rows') }}
where constraint_name like '%cap%' and value > bound + 1e-6
