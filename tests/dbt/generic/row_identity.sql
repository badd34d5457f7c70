{# Fails with the loads whose rows are not all accounted for. #}
{% test row_identity(model) %}
select *
from {{ model }}
where rows_received <> rows_new + rows_identical + rows_superseding + rows_quarantined
{% endtest %}
