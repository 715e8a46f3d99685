"""The public API for plugins and embedding programs; `core.runner` and `core.testing` are documented beside it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aetherflow.core.base.claim_errors import ClaimBusyError, ClaimedFileError, ClaimsLostError
    from aetherflow.core.base.durable.hashing import BackgroundHash
    from aetherflow.core.base.durable.stores import StoreConflictError
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
        UntrustedError,
        UsageError,
    )
    from aetherflow.core.base.problems import Problem
    from aetherflow.core.base.run_id import new_run_id
    from aetherflow.core.contracts.backoff import Backoff
    from aetherflow.core.contracts.bundle_source import BundleSource, BundleSourceConfig, BundleSourceInit
    from aetherflow.core.contracts.connector import (
        ClearTextError,
        ConnectorBase,
        ConnectorInit,
        Connectors,
        RemoteFileMeta,
        is_loopback,
    )
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
        Arguments,
        AssetFile,
        AssetPath,
        ConnectorConfig,
        ConnectorOptions,
        Flag,
        Holds,
        InsecureWhen,
        PlainText,
        PlainValue,
        ReadPath,
        ResourceRef,
        SameAs,
        StepInputs,
        StepOutputs,
        WritePath,
        parse_bool,
    )
    from aetherflow.core.contracts.graph import DocumentGraph, GraphEdge, GraphNode
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
    from aetherflow.core.contracts.hook_base import HookBase, PluginSettings
    from aetherflow.core.contracts.hookspecs import hookimpl
    from aetherflow.core.contracts.kinds.archive import (
        ArchiveConnector,
        ArchiveFormat,
        ArchiveInput,
        ArchiveWork,
        ExtractLimits,
        ExtractRules,
        Packing,
        ProgramTools,
        Unpacked,
    )
    from aetherflow.core.contracts.kinds.files import (
        AppendsFiles,
        EntryKind,
        FileConnector,
        HashesFiles,
        PreparedFile,
        RemoteEntry,
        RemoteFileError,
        SetsMode,
        SetsMtime,
        WritesTogether,
    )
    from aetherflow.core.contracts.kinds.http import HttpCall, HttpConnector, SendsCalls
    from aetherflow.core.contracts.kinds.local import WritesLocally
    from aetherflow.core.contracts.kinds.mail import (
        Envelope,
        FindsMails,
        MailConnector,
        MailError,
        MailReceipt,
        MailUnknownError,
    )
    from aetherflow.core.contracts.kinds.names import DbResource
    from aetherflow.core.contracts.kinds.sql import (
        Column,
        ColumnKind,
        ColumnType,
        Row,
        Rows,
        SqlConnector,
        SqlDialect,
        SqlTransaction,
    )
    from aetherflow.core.contracts.kinds.sql_capabilities import (
        ArrowRows,
        ArrowSource,
        CsvBlocks,
        CsvFormat,
        CsvQuoting,
        CsvSource,
        JsonSource,
        LateDatabase,
        LeanSource,
        NeedsMemoryError,
        ScriptResult,
        ScriptRunner,
    )
    from aetherflow.core.contracts.kinds.sql_loading import (
        BulkLoader,
        FieldMap,
        LoadBatch,
        LoadFile,
        LoadJob,
        RowsRefusedError,
        SqlLoader,
        SqlTable,
        TableColumn,
        TableMaker,
    )
    from aetherflow.core.contracts.lacks import Lack
    from aetherflow.core.contracts.needs_person import Acknowledged, NeedsPerson
    from aetherflow.core.contracts.opening import open_file
    from aetherflow.core.contracts.state_backend import ServerFacts, StateBackend
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
    from aetherflow.core.host.compatible import API_VERSION
    from aetherflow.core.host.connecting import class_place, wrong_result
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
        StateSpec,
        StepSpec,
        WorkspaceSpec,
    )
    from aetherflow.core.kernel.yaml.spec import ResourceSpec
    from aetherflow.core.runtime.environment.settings import Settings
    from aetherflow.core.runtime.processes.guard import guarded_programs

__all__ = [
    "API_VERSION", "STEP_SKIPPED", "STEP_SUCCESS", "Acknowledged", "AetherflowError", "AppendsFiles",
    "ArchiveConnector", "ArchiveFormat", "ArchiveInput", "ArchiveWork", "Arguments", "ArrowRows", "ArrowSource",
    "AssetFile", "AssetPath", "BackgroundHash", "Backoff", "BulkLoader", "BundleSource", "BundleSourceConfig",
    "BundleSourceInit", "ChangedDefinitionError", "Claim", "ClaimBusyError", "ClaimedFileError", "ClaimsLostError",
    "CleanupPolicy", "ClearTextError", "Column", "ColumnKind", "ColumnType", "ConnectorBase", "ConnectorConfig",
    "ConnectorError", "ConnectorInit", "ConnectorOptions", "Connectors", "CsvBlocks", "CsvFormat", "CsvQuoting",
    "CsvSource", "DbResource", "Difference", "DocumentGraph", "DocumentKind", "EntryKind", "Envelope", "ExtractLimits",
    "ExtractRules", "FieldMap", "FileConnector", "FindsMails", "Flag", "FlowMetaSpec", "FlowResult", "FlowSpec",
    "GraphEdge", "GraphNode", "HashesFiles", "HeldLock", "Holds", "HookBase", "HttpCall", "HttpConnector",
    "InsecureWhen", "JobInfo", "JobSpec", "JsonSource", "Lack", "LateDatabase", "LeanSource", "LeaseLostError",
    "Ledger", "LimitExceededError", "LoadBatch", "LoadFile", "LoadJob", "LockBusyError", "LockInfo", "LockScope",
    "LocksSpec", "MailConnector", "MailError", "MailReceipt", "MailUnknownError", "NeedsMemoryError", "NeedsPerson",
    "Outcome", "OutputError", "Packing", "ParquetSupportMissing", "PathError", "PlainText", "PlainValue", "PlanInfo",
    "PlannedJob", "PlannedStep", "PluginSettings", "PreparedFile", "Problem", "ProcessError", "ProgramTools",
    "ReadPath", "RemoteEntry", "RemoteFileError", "RemoteFileMeta", "ReportTooLargeError", "ResolverMissingKeyError",
    "ResolverSyntaxError", "ResourceRef", "ResourceSpec", "ResumableWriter", "Row", "Rows", "RowsRefusedError",
    "RunBusyError", "RunContext", "RunFailedError", "RunInfo", "RunInterruptedError", "RunUnknownError", "SameAs",
    "ScriptResult", "ScriptRunner", "SendsCalls", "ServerFacts", "SetsMode", "SetsMtime", "Settings", "SpecError",
    "SqlConnector", "SqlDialect", "SqlLoader", "SqlTable", "SqlTransaction", "StateBackend", "StateError", "StateSpec",
    "Step", "StepCancelledError", "StepError", "StepInfo", "StepInputError", "StepInputs", "StepOutputs", "StepResult",
    "StepSpec", "StepTimeoutError", "StoreConflictError", "TableColumn", "TableMaker", "UndecidedStepError", "Unpacked",
    "UntrustedError", "UsageError", "WorkspaceSpec", "WritePath", "WritesLocally", "WritesTogether", "class_place",
    "get_connector", "get_step", "guarded_programs", "hookimpl", "install_command", "is_loopback", "list_connectors",
    "list_steps", "new_run_id", "open_file", "parse_bool", "register_connector", "register_step", "require",
    "require_attr", "wrong_result",
]  # fmt: skip


_ROWS = """
base.claim_errors: ClaimBusyError ClaimedFileError ClaimsLostError
base.durable.hashing: BackgroundHash
base.durable.stores: StoreConflictError
base.errors: AetherflowError ChangedDefinitionError ConnectorError LeaseLostError LimitExceededError LockBusyError
base.errors: OutputError PathError ProcessError ResolverMissingKeyError ResolverSyntaxError RunBusyError SpecError
base.errors: StateError StepCancelledError StepError StepInputError StepTimeoutError UndecidedStepError
base.errors: UntrustedError UsageError
base.problems: Problem
base.run_id: new_run_id
contracts.backoff: Backoff
contracts.bundle_source: BundleSource BundleSourceConfig BundleSourceInit
contracts.connector: ClearTextError ConnectorBase ConnectorInit Connectors RemoteFileMeta is_loopback
contracts.context: RunContext
contracts.data_errors: ParquetSupportMissing ReportTooLargeError
contracts.document_kind: DocumentKind
contracts.events: JobInfo LockInfo Outcome PlanInfo PlannedJob PlannedStep RunInfo StepInfo
contracts.fields: Arguments AssetFile AssetPath ConnectorConfig ConnectorOptions Flag Holds InsecureWhen ResourceRef
contracts.fields: PlainText PlainValue ReadPath SameAs StepInputs StepOutputs WritePath parse_bool
contracts.graph: DocumentGraph GraphEdge GraphNode
contracts.handles: Claim FlowResult HeldLock Ledger ResumableWriter STEP_SKIPPED STEP_SUCCESS StepResult
contracts.hook_base: HookBase PluginSettings
contracts.hookspecs: hookimpl
contracts.lacks: Lack
contracts.kinds.archive: ArchiveConnector ArchiveFormat ArchiveInput ArchiveWork ExtractLimits ExtractRules Packing
contracts.kinds.archive: ProgramTools Unpacked
contracts.kinds.files: AppendsFiles EntryKind FileConnector HashesFiles PreparedFile RemoteEntry RemoteFileError
contracts.kinds.files: SetsMode SetsMtime WritesTogether
contracts.kinds.http: HttpCall HttpConnector SendsCalls
contracts.kinds.mail: Envelope FindsMails MailConnector MailError MailReceipt MailUnknownError
contracts.kinds.local: WritesLocally
contracts.kinds.names: DbResource
contracts.kinds.sql: Column ColumnKind ColumnType Row Rows SqlConnector SqlDialect SqlTransaction
contracts.kinds.sql_capabilities: ArrowRows ArrowSource CsvBlocks CsvFormat CsvQuoting CsvSource JsonSource LateDatabase
contracts.kinds.sql_capabilities: LeanSource NeedsMemoryError ScriptResult ScriptRunner
contracts.kinds.sql_loading: BulkLoader FieldMap LoadBatch LoadFile LoadJob RowsRefusedError SqlLoader SqlTable
contracts.kinds.sql_loading: TableColumn TableMaker
contracts.needs_person: Acknowledged NeedsPerson
contracts.opening: open_file
contracts.state_backend: ServerFacts StateBackend
contracts.step: Step
contracts.upgrade: Difference
host.catalog: get_connector get_step list_connectors list_steps register_connector register_step
host.compatible: API_VERSION
host.connecting: class_place wrong_result
host.installing: install_command
host.require: require require_attr
kernel.sequencing.run_errors: RunFailedError RunInterruptedError RunUnknownError
kernel.yaml.flow: CleanupPolicy FlowMetaSpec FlowSpec JobSpec LockScope LocksSpec StateSpec StepSpec WorkspaceSpec
kernel.yaml.spec: ResourceSpec
runtime.environment.settings: Settings
runtime.processes.guard: guarded_programs
"""
_LATE = {
    name: module for module, _, names in (row.partition(":") for row in _ROWS.splitlines()) for name in names.split()
}
"""Modules of the names, imported on first access: a plugin's module, or a limited child, pays for what it uses."""


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"aetherflow.core.{_LATE[name]}"), name)
    return found
