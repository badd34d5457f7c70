# One row per setting of the profile that this build is for, with the layer it came from.
def model(dbt, session):
    from quantmill.stages.opening import resolved_settings

    return resolved_settings(dbt.config.get("profile"), dbt.config.get("overrides"))
