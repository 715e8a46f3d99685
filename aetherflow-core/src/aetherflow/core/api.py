"""The public API for plugins and embedding programs; `core.runner` and `core.testing` are documented beside it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aetherflow.core.base.claim_errors import ClaimBusyError, ClaimedFileError, ClaimsLostError
    from aetherflow.core.base.errors import (
        AetherflowError,
        ChangedDefinitionError,
        ConnectorError,
        LeaseLostError,
        LimitExceededError,
        LockBusyError,
        OutputError,
        PathError,
        ProcessError,
        ResolverMissingKeyError,
        ResolverSyntaxError,
        RunBusyError,
        SpecError,
        StateError,
        StepCancelledError,
        StepError,
        StepInputError,
        StepTimeoutError,
        UndecidedStepError,
        UsageError,
    )
    from aetherflow.core.base.problems import Problem
    from aetherflow.core.base.run_id import new_run_id
    from aetherflow.core.contracts.backoff import Backoff
    from aetherflow.core.contracts.bundle_source import BundleSource, BundleSourceConfig, BundleSourceInit
    from aetherflow.core.contracts.connector import ConnectorBase, ConnectorInit, Connectors, RemoteFileMeta
    from aetherflow.core.contracts.context import RunContext
    from aetherflow.core.contracts.data_errors import ParquetSupportMissing, ReportTooLargeError
    from aetherflow.core.contracts.document_kind import DocumentKind
    from aetherflow.core.contracts.events import (
        JobInfo,
        LockInfo,
        Outcome,
        PlanInfo,
        PlannedJob,
        PlannedStep,
        RunInfo,
        StepInfo,
    )
    from aetherflow.core.contracts.fields import (
        AssetFile,
        AssetPath,
        ConnectorConfig,
        ConnectorOptions,
        Flag,
        InsecureWhen,
        ResourceRef,
        SameAs,
        StepInputs,
        StepOutputs,
        parse_bool,
    )
    from aetherflow.core.contracts.handles import (
        STEP_SKIPPED,
        STEP_SUCCESS,
        Claim,
        FlowResult,
        HeldLock,
        Ledger,
        ResumableWriter,
        StepResult,
    )
    from aetherflow.core.contracts.hookspecs import hookimpl
    from aetherflow.core.contracts.kinds.names import DbResource
    from aetherflow.core.contracts.needs_person import Acknowledged, NeedsPerson
    from aetherflow.core.contracts.step import Step
    from aetherflow.core.contracts.upgrade import Difference
    from aetherflow.core.host.catalog import (
        get_connector,
        get_step,
        list_connectors,
        list_steps,
        register_connector,
        register_step,
    )
    from aetherflow.core.host.installing import install_command
    from aetherflow.core.host.require import require, require_attr
    from aetherflow.core.kernel.sequencing.run_errors import RunFailedError, RunInterruptedError, RunUnknownError
    from aetherflow.core.kernel.yaml.flow import (
        CleanupPolicy,
        FlowMetaSpec,
        FlowSpec,
        JobSpec,
        LockScope,
        LocksSpec,
        ResourceSpec,
        StateSpec,
        StepSpec,
        WorkspaceSpec,
    )
    from aetherflow.core.runtime.environment.settings import Settings

__all__ = [
    "STEP_SKIPPED",
    "STEP_SUCCESS",
    "Acknowledged",
    "AetherflowError",
    "AssetFile",
    "AssetPath",
    "Backoff",
    "BundleSource",
    "BundleSourceConfig",
    "BundleSourceInit",
    "ChangedDefinitionError",
    "Claim",
    "ClaimBusyError",
    "ClaimedFileError",
    "ClaimsLostError",
    "CleanupPolicy",
    "ConnectorBase",
    "ConnectorConfig",
    "ConnectorError",
    "ConnectorInit",
    "ConnectorOptions",
    "Connectors",
    "DbResource",
    "Difference",
    "DocumentKind",
    "Flag",
    "FlowMetaSpec",
    "FlowResult",
    "FlowSpec",
    "HeldLock",
    "InsecureWhen",
    "JobInfo",
    "JobSpec",
    "LeaseLostError",
    "Ledger",
    "LimitExceededError",
    "LockBusyError",
    "LockInfo",
    "LockScope",
    "LocksSpec",
    "NeedsPerson",
    "Outcome",
    "OutputError",
    "ParquetSupportMissing",
    "PathError",
    "PlanInfo",
    "PlannedJob",
    "PlannedStep",
    "Problem",
    "ProcessError",
    "RemoteFileMeta",
    "ReportTooLargeError",
    "ResolverMissingKeyError",
    "ResolverSyntaxError",
    "ResourceRef",
    "ResourceSpec",
    "ResumableWriter",
    "RunBusyError",
    "RunContext",
    "RunFailedError",
    "RunInfo",
    "RunInterruptedError",
    "RunUnknownError",
    "SameAs",
    "Settings",
    "SpecError",
    "StateError",
    "StateSpec",
    "Step",
    "StepCancelledError",
    "StepError",
    "StepInfo",
    "StepInputError",
    "StepInputs",
    "StepOutputs",
    "StepResult",
    "StepSpec",
    "StepTimeoutError",
    "UndecidedStepError",
    "UsageError",
    "WorkspaceSpec",
    "get_connector",
    "get_step",
    "hookimpl",
    "install_command",
    "list_connectors",
    "list_steps",
    "new_run_id",
    "parse_bool",
    "register_connector",
    "register_step",
    "require",
    "require_attr",
]


_LATE = {
    **dict.fromkeys(("ClaimBusyError", "ClaimedFileError", "ClaimsLostError"), "base.claim_errors"),
    **dict.fromkeys(
        (
            "AetherflowError",
            "ChangedDefinitionError",
            "ConnectorError",
            "LeaseLostError",
            "LimitExceededError",
            "LockBusyError",
            "OutputError",
            "PathError",
            "ProcessError",
            "ResolverMissingKeyError",
            "ResolverSyntaxError",
            "RunBusyError",
            "SpecError",
            "StateError",
            "StepCancelledError",
            "StepError",
            "StepInputError",
            "StepTimeoutError",
            "UndecidedStepError",
            "UsageError",
        ),
        "base.errors",
    ),
    "Problem": "base.problems",
    "new_run_id": "base.run_id",
    "Backoff": "contracts.backoff",
    **dict.fromkeys(("BundleSource", "BundleSourceConfig", "BundleSourceInit"), "contracts.bundle_source"),
    **dict.fromkeys(("ConnectorBase", "ConnectorInit", "Connectors", "RemoteFileMeta"), "contracts.connector"),
    "RunContext": "contracts.context",
    **dict.fromkeys(("ParquetSupportMissing", "ReportTooLargeError"), "contracts.data_errors"),
    "DocumentKind": "contracts.document_kind",
    **dict.fromkeys(
        ("JobInfo", "LockInfo", "Outcome", "PlanInfo", "PlannedJob", "PlannedStep", "RunInfo", "StepInfo"),
        "contracts.events",
    ),
    **dict.fromkeys(
        (
            "AssetFile",
            "AssetPath",
            "ConnectorConfig",
            "ConnectorOptions",
            "Flag",
            "InsecureWhen",
            "ResourceRef",
            "SameAs",
            "StepInputs",
            "StepOutputs",
            "parse_bool",
        ),
        "contracts.fields",
    ),
    **dict.fromkeys(
        ("Claim", "FlowResult", "HeldLock", "Ledger", "ResumableWriter", "STEP_SKIPPED", "STEP_SUCCESS", "StepResult"),
        "contracts.handles",
    ),
    "hookimpl": "contracts.hookspecs",
    "DbResource": "contracts.kinds.names",
    **dict.fromkeys(("Acknowledged", "NeedsPerson"), "contracts.needs_person"),
    "Step": "contracts.step",
    "Difference": "contracts.upgrade",
    **dict.fromkeys(
        ("get_connector", "get_step", "list_connectors", "list_steps", "register_connector", "register_step"),
        "host.catalog",
    ),
    "install_command": "host.installing",
    **dict.fromkeys(("require", "require_attr"), "host.require"),
    **dict.fromkeys(("RunFailedError", "RunInterruptedError", "RunUnknownError"), "kernel.sequencing.run_errors"),
    **dict.fromkeys(
        (
            "CleanupPolicy",
            "FlowMetaSpec",
            "FlowSpec",
            "JobSpec",
            "LockScope",
            "LocksSpec",
            "ResourceSpec",
            "StateSpec",
            "StepSpec",
            "WorkspaceSpec",
        ),
        "kernel.yaml.flow",
    ),
    "Settings": "runtime.environment.settings",
}
"""Modules of the names, imported on first access: a plugin's module, or a limited child, pays for what it uses."""


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"aetherflow.core.{_LATE[name]}"), name)
    return found
