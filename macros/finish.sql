{# The end of a build: without errors the run is sealed and, after a whole build, the workbench is published. #}
{% macro finish(results) %}
    {% if execute and flags.WHICH == 'run' %}
        {% do log('publish: skipped, dbt run tests nothing; dbt build seals and publishes', info=true) %}
    {% elif execute and flags.WHICH == 'build' and results | length > 0 %}
        {% set unwanted = ['error', 'fail', 'skipped', 'runtime error', 'partial success'] %}
        {% set bad = results | selectattr('status', 'in', unwanted) | list %}
        {% set arguments = invocation_args_dict %}
        {# without unit tests, which judge the code, a build of the data is whole #}
        {% set left_out = arguments.get('exclude_resource_types', [])
            | map('string') | reject('eq', 'unit_test') | list %}
        {% set partial = arguments.get('select') or arguments.get('exclude') or arguments.get('selector')
            or arguments.get('resource_types') or left_out
            or arguments.get('empty') or arguments.get('sample') %}
        {% if bad %}
            {% do mark_failed() %}
            {% do log('publish: skipped, ' ~ (bad | length) ~ ' step(s) not ok; the published snapshot is unchanged', info=true) %}
        {% elif partial %}
            {% do log('publish: skipped, only a part was built; the published snapshot is unchanged', info=true) %}
        {% else %}
            {% do seal() %}
            {% do publish() %}
        {% endif %}
    {% endif %}
{% endmacro %}

{# The current run, if the failed build came as far as having one. #}
{% macro mark_failed() %}
    {% set known = run_query("select count(*) from information_schema.tables where table_schema || '.' || table_name
        in ('work.calc_run', 'selection.runs')").columns[0].values()[0] %}
    {% if known == 2 %}
        {% do run_query("update selection.runs set status = 'failed'
            where status <> 'sealed' and run_id in (select run_id from work.calc_run)") %}
    {% endif %}
{% endmacro %}

{% macro seal() %}
    {% set run = run_query("select run_id, is_sealed from work.calc_run").rows[0] %}
    {% set own = " where run_id = '" ~ run[0] ~ "'" %}
    {% if run[1] %}
        {% do log('UP_TO_DATE: run ' ~ run[0] ~ ' is sealed; its ledger was verified and its rows were left alone', info=true) %}
    {% else %}
        {% do run_query("update selection.runs set status = 'sealed', chain_head =
            (select arg_max(hash, sequence) from tournaments.audit_ledger" ~ own ~ ")" ~ own) %}
        {% do log('sealed: run ' ~ run[0], info=true) %}
    {% endif %}
    {% do run_query("update selection.runs set verified_snapshot_id =
        (select arg_max(snapshot_id, (created_at_utc, snapshot_id)) from ops.snapshots)" ~ own) %}
    {% set cells = run_query("select count(*), count(*) filter (where status <> 'ok')
        from tournaments.cells" ~ own).rows[0] %}
    {% if cells[1] %}
        {% do log(cells[1] ~ ' of ' ~ cells[0] ~ ' cells are not ok: see tournaments.cells', info=true) %}
    {% endif %}
    {% set failed = run_query("select count(*), count(*) filter (where status = 'failed')
        from tournaments.configs" ~ own).rows[0] %}
    {% if failed[1] %}
        {% do log('attention: ' ~ failed[1] ~ ' of ' ~ failed[0] ~ ' configurations failed, with too few windows solved'
            ~ ' as asked: see tournaments.configs', info=true) %}
    {% endif %}
    {% for left in run_query("select window_set, cast(any_value((test_row - train_count) / step_count) as integer),
        cast(any_value(decision_date) as varchar) from selection.windows" ~ own ~ " and window_index = 0 and
        test_row > train_count group by window_set order by window_set").rows %}
        {% do log('attention: ' ~ left[1] ~ ' window(s) of ' ~ left[0] ~ ' before the decision of ' ~ left[2]
            ~ ' were left out: no scan had named a candidate yet; replay scans of earlier days to have them, with'
            ~ " 'python -m ingest scan --from --to' where the sources answer for the past", info=true) %}
    {% endfor %}
    {# a scan names the candidates of the decisions after it; without one before a decision its window is empty #}
    {% set unnamed = run_query("select count(*), count(*) filter (where not is_named), max(case when not is_named then
        decision_date end) from (select windows.decision_date, candidates.run_id is not null as is_named
        from (select * from selection.windows" ~ own ~ ") as windows left join (select distinct run_id, window_set,
        window_index from selection.candidates) as candidates using (run_id, window_set, window_index))").rows[0] %}
    {% if unnamed[1] %}
        {% do log('attention: ' ~ unnamed[1] ~ ' of ' ~ unnamed[0] ~ ' windows have no candidate, the last of them'
            ~ ' decided on ' ~ unnamed[2] ~ ': no scan known then names anybody; docs/data.md says how scans of the past are replayed',
            info=true) %}
    {% endif %}
    {% set relaxed = run_query("select count(distinct window_index) from tournaments.allocation_events" ~ own
        ~ " and code = 'CAP_RELAXED'").rows[0][0] %}
    {% if relaxed %}
        {% do log('attention: caps were relaxed in ' ~ relaxed ~ ' window(s): see tournaments.allocation_events',
            info=true) %}
    {% endif %}
    {% do report_quality() %}
    {# whoever went before anybody asked: what he is, the scans say; what he costs to trade, a default #}
    {% set scanned = run_query("select string_agg(symbol, ', ' order by symbol) from features.symbols
        where valid_to is null and metadata_source = 'scan' and symbol in (select symbol from selection.candidates" ~ own ~ ")").rows[0][0] %}
    {% if scanned %}
        {% do log('attention: only scans say what they are: ' ~ scanned ~ '; nobody has described them, and their'
            ~ ' trading limits are defaults', info=true) %}
    {% endif %}
    {% set absent = run_query("with absent as (select symbol, symbol in (select symbol from features.bar_verdicts
        where verdict = 'UNKNOWN_SYMBOL') as has_bars from selection.candidates" ~ own ~ " group by symbol
        having bool_and(verdict = 'MISSING')) select string_agg(symbol, ', ' order by symbol) filter (where has_bars),
        string_agg(symbol, ', ' order by symbol) filter (where not has_bars) from absent").rows[0] %}
    {% if absent[0] %}
        {% do log('attention: no description and no scan says what they are: ' ~ absent[0] ~ '; the bars that landed of'
            ~ " them belong to no session: 'make meta-ingest' for this profile, then build again", info=true) %}
    {% endif %}
    {% if absent[1] %}
        {% do log('attention: no window has data of ' ~ absent[1] ~ '; selection.candidates says why', info=true) %}
    {% endif %}
{% endmacro %}
