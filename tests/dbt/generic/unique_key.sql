{# Fails with the keys that more than one row has, or that hold a NULL. Of a model that follows changes only the rows
   that were built since are looked at: a key has its session in it, so both rows of a pair are among them. #}
{% test unique_key(model, columns) %}
select
    {{ columns | join(', ') }},
    count(*) as row_count
from {{ unchecked_keys(model, columns) }}
group by {{ columns | join(', ') }}
having count(*) > 1 or {% for column in columns %}{{ column }} is null{{ ' or ' if not loop.last }}{% endfor %}
{% endtest %}
