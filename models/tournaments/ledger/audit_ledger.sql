-- One row per ledger record: the hash chain of a run, the same records as runs/<run_id>/audit.jsonl; append-only.
with records as (

    select * from {{ ref('calc_audit_ledger') }}

),

final as (

    select
        -- keys
        run_id,
        sequence,
        schema_version,

        -- what was done
        action,
        step,
        status,
        recorded_at_utc,

        -- about what, from what, with what outcome; JSON
        context,
        params,
        input_hashes,
        output_hashes,
        outcome,
        data,

        -- the chain
        previous_hash,
        hash

    from records

)

select * from final
order by run_id, sequence
