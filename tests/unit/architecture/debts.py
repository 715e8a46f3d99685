"""What does not hold yet of the rules in test_rooms.py. A line that is paid is struck out; none is added."""

# ruff: noqa: E501 one debt, one line

LIMITS = {
    "upward in aetherflow.scheduler": 6,
    "upward in aetherflow_builtins_db": 2,
    "upward in aetherflow_builtins_reports": 3,
    "out of the kernel": 0,
    "the scheduler past the doors": 71,
    "circles of packages": 5,
    "circles of files": 10,
}

UPWARD = {
    "aetherflow.scheduler": """
        chains -> settle
        checking -> settle
        document -> settle
        paths -> settle
        schedule -> calendars
        settle -> settle_days
    """,
    "aetherflow_builtins_db": """
        formats.sampling -> widening
        steps.check -> checking
    """,
    "aetherflow_builtins_reports": """
        shift.drawings -> fill.template
        shift.heights -> fill.template
        shift.parts -> fill.template
    """,
}
"""Imports from a room that stands above."""

SCHEDULER_USES = """
attempt_logs -> base.durable
backfill -> base.errors
belonging -> base.errors
chains -> base.location
chains -> base.suggest
checking -> base.location
checking -> base.suggest
checking -> checks.checked
checking -> checks.kinds
checking -> kernel.resolver.params
checking -> kernel.yaml.loader
cli.app -> cli.base
cli.app -> cli.outcome
cli.audit -> cli.table
cli.backfill -> cli.table
cli.export -> base.errors
cli.export -> cli.base
cli.list_items -> cli.table
cli.next_slots -> cli.table
cli.prune -> cli.table
cli.status -> cli.table
cli.validate -> checks.checked
cli.validate -> cli.reports
document -> base.location
document -> base.problems
document -> kernel.yaml.binder
document -> kernel.yaml.loader
document -> runtime.environment.documents
document -> runtime.workspace.state_root
events -> runtime.environment.snapshot
export.crontab -> base.errors
export.kubernetes -> base.errors
export.names -> base.errors
export.systemd -> base.errors
export.target -> base.errors
export.target_zone -> base.errors
export.writing -> base.durable
export.writing -> base.errors
kind -> checks.kinds
launchers -> base.errors
launchers.subprocess -> base.durable
launchers.subprocess -> kernel.locks.alive
leader -> base.durable
leader -> base.errors
leader -> kernel.locks.lease
leader -> kernel.locks.records
leader -> kernel.locks.store
ledger.epochs -> base.errors
ledger.schema -> base.durable
ledger.schema -> base.errors
ledger.slots -> base.errors
ledger.store -> base.durable
ledger.store -> base.errors
ledger.store -> kernel.locks.alive
loop -> base.errors
paths -> base.location
reloading -> base.errors
schedule -> base.suggest
schedule -> kernel.resolver.params
session -> base.errors
settle -> base.location
settle -> base.problems
settle -> base.suggest
settle -> kernel.yaml.loader
settle_days -> base.location
settle_days -> runtime.opening.calendars
single -> base.errors
status -> kernel.locks.records
tick -> kernel.locks.records
times -> base.suggest
watching -> base.errors
"""
"""Modules of the core that the scheduler imports past the doors."""

PACKAGE_CIRCLES = """
aetherflow.scheduler.calendars aetherflow.scheduler.schedule aetherflow.scheduler.slots
aetherflow.scheduler.chains aetherflow.scheduler.paths aetherflow.scheduler.settle aetherflow.scheduler.settle_days
aetherflow_builtins_db.checking aetherflow_builtins_db.steps
aetherflow_builtins_db.formats aetherflow_builtins_db.widening
aetherflow_builtins_reports.fill aetherflow_builtins_reports.shift
"""
"""Folders that import each other, one circle a line."""

FILE_CIRCLES = """
aetherflow.scheduler.calendars aetherflow.scheduler.schedule aetherflow.scheduler.slots
aetherflow.scheduler.chains aetherflow.scheduler.paths aetherflow.scheduler.settle aetherflow.scheduler.settle_days
aetherflow_builtins_db.checking aetherflow_builtins_db.steps.check
aetherflow_builtins_db.connectors.duckdb aetherflow_builtins_db.connectors.duckdb_lines aetherflow_builtins_db.connectors.duckdb_memory aetherflow_builtins_db.connectors.duckdb_rows aetherflow_builtins_db.connectors.duckdb_transaction
aetherflow_builtins_db.connectors.mysql aetherflow_builtins_db.connectors.mysql_rows
aetherflow_builtins_db.connectors.postgres aetherflow_builtins_db.connectors.postgres_copy
aetherflow_builtins_db.connectors.server aetherflow_builtins_db.connectors.server_transaction
aetherflow_builtins_db.connectors.sqlalchemy aetherflow_builtins_db.connectors.sqlalchemy_rows
aetherflow_builtins_db.connectors.sqlite3 aetherflow_builtins_db.connectors.sqlite3_rows aetherflow_builtins_db.connectors.sqlite3_transaction
aetherflow_builtins_transfer.connectors.download aetherflow_builtins_transfer.connectors.files aetherflow_builtins_transfer.connectors.transfer aetherflow_builtins_transfer.connectors.transfer_batch
"""
"""Files that import each other, one circle a line."""
