{# The history of judgements keeps every one. Rows of a judgement that is made again, because a rule of it could not be
   judged, are replaced. A hook cannot carry a ref, so work.calc_quality stands here by its name. #}
{% macro forget_judged_again() -%}
    {% if is_incremental() %}
        delete from {{ this }}
        where judgement_id in (select judgement_id from {{ target.database }}.work.calc_quality)
    {% endif %}
{%- endmacro %}

{# What the gate let pass, said at the end of a build. #}
{% macro report_quality() %}
    {% set gate = run_query("select gate, rule_count, unmet_count, unmet from work.calc_quality_gate").rows[0] %}
    {% if gate[2] %}
        {% do log('quality: ' ~ gate[2] ~ ' of ' ~ gate[1] ~ ' rules do not hold and were let pass by the gate '
            ~ gate[0] ~ ': ' ~ gate[3] ~ '; see features.quality_failures', info=true) %}
    {% endif %}
{% endmacro %}
