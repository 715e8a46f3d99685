"""The rooms of every distribution, bottom up: each may import from itself and from those before it."""

_LINES = {
    "aetherflow.core": """
        base base.durable
        contracts
        kernel.yaml kernel.resolver kernel.state kernel.locks kernel.sequencing
        host
        runtime.logs runtime.environment.spec runtime.environment runtime.processes runtime.workspace
        runtime.connectors runtime.opening runtime.hooks runtime.context runtime.dry_run runtime.subflow runtime.run
        bundle
        checks.schema checks
        api
        builtins
        exception
        errors
        validation
        runner
        testing
        cli
        __main__
    """,
    "aetherflow.scheduler": """
        clock policy events spec launchers errors run_ids times zones attempt_logs cron_fields cron ledger leader
        belonging stopping dst schedule slots export calendars orders outcomes adoption planning turns audit watching
        execution session single backfill reloading status tick paths document loop checking cli __main__ kind chains
        settle settle_days
    """,
    "aetherflow_builtins_db": """
        columns params dialect contract statements files failures bundle_source formats connectors loading widening
        steps checking
    """,
    "aetherflow_builtins_reports": """
        errors package cells sources tables shift fill steps
    """,
    "aetherflow_builtins_rest": """
        jmes auth_settings auth bodies failures network pace retry_settings call settings transport uploads items
        judge pages tls client async_client connectors bundle_source steps
    """,
    "aetherflow_builtins_transfer": """
        archives failures mail paths records parallel ledger journal local_folder afterwards retrying throttle
        connectors control batches clearing delivery bundle_sources steps
    """,
}
ROWS = {package: text.split() for package, text in _LINES.items()}
