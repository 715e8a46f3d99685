"""The rooms of every distribution, bottom up: each may import from itself and from those before it."""

_LINES = {
    "aetherflow.core": """
        base base.durable
        contracts
        kernel.yaml kernel.resolver kernel.state kernel.locks kernel.sequencing
        records
        host
        runtime.logs runtime.environment.spec runtime.environment runtime.processes runtime.connectors
        runtime.workspace runtime.opening runtime.notify runtime.hooks runtime.context runtime.dry_run
        runtime.lent_locks runtime.child_elsewhere runtime.child_run runtime.subflow
        runtime.phases runtime.run runtime.run_record runtime.late_run runtime.resuming runtime.retention
        runtime.proof runtime.adopting runtime.state_copy runtime.comparing runtime.unreadable
        runtime.sending
        bundle
        checks.schema checks
        console
        api
        embedding
        builtins
        exception
        errors
        validation
        runner
        child_run
        testing
        cli
        builtins.commands
        __main__
    """,
    "aetherflow.scheduler": """
        errors reasons time schedule ledger forecast audit hooks launchers document runs loop export importing
        cli __main__
    """,
    "aetherflow_builtins_db": """
        columns params row_range failures contract statements scripts files rules database minimal
        bundle_source
        formats loading
        connectors.common connectors.sqlite3 connectors.duckdb connectors.postgres connectors.mysql connectors.oracledb
        connectors.exasol connectors.sqlalchemy
        stores
        checking reconciling tabular
        steps
    """,
    "aetherflow_builtins_reports": """
        errors escaping package cells sources tables reading shift fill steps
        pages
    """,
    "aetherflow_builtins_rest": """
        jmes auth_settings bodies auth failures network rate_limit retry_settings call settings uploads transport
        exact_json items judge pages tls client async_client connectors sending bundle_source steps
        spans prometheus
    """,
    "aetherflow_builtins_transfer": """
        archives failures mail paths records parallel ledger pickups journal local_places opening afterwards
        moving
        connectors.files connectors.sftp connectors.smb connectors.local connectors.mail connectors.archive
        control clearing taking delivery bundle_sources steps
    """,
}
ROWS = {package: text.split() for package, text in _LINES.items()}
