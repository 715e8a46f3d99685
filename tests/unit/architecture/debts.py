"""What does not hold yet of the rules in test_rooms.py. A line that is paid is struck out; none is added."""

# ruff: noqa: E501 one debt, one line

LIMITS = {
    "upward in aetherflow.core": 24,
    "out of the kernel": 20,
    "circles of packages": 2,
    "circles of files": 5,
}

UPWARD = {
    "aetherflow.core": """
        kernel.locks.run_locks -> runtime.logs.events
        kernel.sequencing.attempt -> runtime.connectors.connections
        kernel.sequencing.attempt -> runtime.processes.processes
        kernel.sequencing.definitions -> host.conditions
        kernel.sequencing.definitions -> host.metadata
        kernel.sequencing.definitions -> host.names
        kernel.sequencing.definitions -> runtime.environment.bundle_layer
        kernel.sequencing.definitions -> runtime.environment.resources
        kernel.sequencing.definitions -> runtime.environment.snapshot
        kernel.sequencing.definitions -> runtime.opening.prepare
        kernel.sequencing.execution -> runtime.processes.output
        kernel.sequencing.inner -> runtime.context.context
        kernel.sequencing.scope_locks -> runtime.context.parts
        kernel.sequencing.sequence -> runtime.opening.prepare
        kernel.sequencing.sequence -> runtime.processes.output
        kernel.sequencing.steps -> host.catalog
        kernel.sequencing.steps -> runtime.context.context
        kernel.sequencing.steps -> runtime.context.parts
        kernel.sequencing.steps -> runtime.processes.output
        kernel.sequencing.stopping -> runtime.processes.processes
        runtime.environment.bundle_layer -> bundle.manifest_spec
        runtime.opening.opening -> runtime.hooks.around
        runtime.opening.prepare -> checks.report
        runtime.subflow -> checks.subflows
    """,
}
"""Imports from a room that stands above."""

PACKAGE_CIRCLES = """
aetherflow.core.bundle aetherflow.core.runtime.environment aetherflow.core.runtime.workspace
aetherflow.core.checks aetherflow.core.kernel.sequencing aetherflow.core.runtime.context aetherflow.core.runtime.hooks aetherflow.core.runtime.opening
"""
"""Folders that import each other, one circle a line."""

FILE_CIRCLES = """
aetherflow.core.base.errors aetherflow.core.base.problems
aetherflow.core.checks.report aetherflow.core.checks.subflows
aetherflow.core.contracts.context aetherflow.core.contracts.step
aetherflow.core.kernel.locks.lease aetherflow.core.kernel.locks.renewal
aetherflow.core.runtime.context.context aetherflow.core.runtime.context.file_effects aetherflow.core.runtime.context.parts
"""
"""Files that import each other, one circle a line."""
