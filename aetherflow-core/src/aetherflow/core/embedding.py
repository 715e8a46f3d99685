"""Names of the core that first-party programs, such as the scheduler, use beyond `api`.

This is not a public API: any version may change or remove a name, so a program that imports from here pins the version
of aetherflow-core exactly. Each name is imported on first access, so a program loads only what it uses.
"""

# ruff: noqa: PLC0414 `import X as X` marks a re-export, from which mypy knows the types

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aetherflow.core.base import durable as durable
    from aetherflow.core.base.actor import actor as actor
    from aetherflow.core.base.actor import hostname as hostname
    from aetherflow.core.base.engine_files import LEDGERS as LEDGERS
    from aetherflow.core.base.engine_files import engine_folder as engine_folder
    from aetherflow.core.base.errors import LostOwnershipError as LostOwnershipError
    from aetherflow.core.base.errors import PluginLoadError as PluginLoadError
    from aetherflow.core.base.location import DocPath as DocPath
    from aetherflow.core.base.location import format_path as format_path
    from aetherflow.core.base.problems import Problems as Problems
    from aetherflow.core.base.problems import Severity as Severity
    from aetherflow.core.base.redact import masked_by_name as masked_by_name
    from aetherflow.core.base.said import Reason as Reason
    from aetherflow.core.base.said import ReasonCode as ReasonCode
    from aetherflow.core.base.said import code_of as code_of
    from aetherflow.core.base.said import read_reason as read_reason
    from aetherflow.core.base.said import said as said
    from aetherflow.core.base.secret_names import is_secret_name as is_secret_name
    from aetherflow.core.base.suggest import did_you_mean as did_you_mean
    from aetherflow.core.base.suggest import nearest as nearest
    from aetherflow.core.base.times import iso as iso
    from aetherflow.core.bundle.detached import sign_text as sign_text
    from aetherflow.core.bundle.detached import why_not_signed as why_not_signed
    from aetherflow.core.bundle.signing import PASSPHRASE as PASSPHRASE
    from aetherflow.core.checks.checked import Checked as Checked
    from aetherflow.core.checks.kinds import Environment as Environment
    from aetherflow.core.checks.kinds import check_document as check_document
    from aetherflow.core.checks.kinds import check_in_memory as check_in_memory
    from aetherflow.core.checks.notify import check_notify as check_notify
    from aetherflow.core.checks.stores import why_not_written as why_not_written
    from aetherflow.core.console.commands import LazyGroup as LazyGroup
    from aetherflow.core.console.findings import verdict as verdict
    from aetherflow.core.console.outcome import exit_code as exit_code
    from aetherflow.core.console.outcome import hide_memory as hide_memory
    from aetherflow.core.console.outcome import show_error as show_error
    from aetherflow.core.console.pages import made_here as made_here
    from aetherflow.core.console.pages import require_pages as require_pages
    from aetherflow.core.console.pages import write_page as write_page
    from aetherflow.core.console.since import is_span as is_span
    from aetherflow.core.console.since import span_ms as span_ms
    from aetherflow.core.console.streams import dropped_lines as dropped_lines
    from aetherflow.core.console.streams import print_json as print_json
    from aetherflow.core.console.streams import recorded as recorded
    from aetherflow.core.console.streams import reserve_stdout as reserve_stdout
    from aetherflow.core.console.streams import unhindered as unhindered
    from aetherflow.core.console.table import table as table
    from aetherflow.core.host.faults import message_with_place as message_with_place
    from aetherflow.core.host.faults import note_place as note_place
    from aetherflow.core.host.importing import import_target as import_target
    from aetherflow.core.host.metadata import installed_in as installed_in
    from aetherflow.core.kernel.locks.alive import AliveFile as AliveFile
    from aetherflow.core.kernel.locks.alive import is_dead as is_dead
    from aetherflow.core.kernel.locks.alive import living_files as living_files
    from aetherflow.core.kernel.locks.lease import Lease as Lease
    from aetherflow.core.kernel.locks.records import Holder as Holder
    from aetherflow.core.kernel.locks.records import Owner as Owner
    from aetherflow.core.kernel.locks.store import LockStore as LockStore
    from aetherflow.core.kernel.resolver.params import ParamError as ParamError
    from aetherflow.core.kernel.resolver.params import as_given as as_given
    from aetherflow.core.kernel.resolver.params import settle_params as settle_params
    from aetherflow.core.kernel.state.unusable import aside as aside
    from aetherflow.core.kernel.state.unusable import newer as newer
    from aetherflow.core.kernel.state.unusable import unreadable as unreadable
    from aetherflow.core.kernel.yaml.binder import bind as bind
    from aetherflow.core.kernel.yaml.loader import Document as Document
    from aetherflow.core.kernel.yaml.loader import RawString as RawString
    from aetherflow.core.records.acts import Act as Act
    from aetherflow.core.records.registry_file import subject_of as subject_of
    from aetherflow.core.records.trouble import Trouble as Trouble
    from aetherflow.core.runtime.child_elsewhere import CHILD_RUNS as CHILD_RUNS
    from aetherflow.core.runtime.child_elsewhere import piece as piece
    from aetherflow.core.runtime.environment.administrator import administrator as administrator
    from aetherflow.core.runtime.environment.administrator import beside_policy as beside_policy
    from aetherflow.core.runtime.environment.allowed import usable_in as usable_in
    from aetherflow.core.runtime.environment.documents import load_document as load_document
    from aetherflow.core.runtime.environment.policing import place_findings as place_findings
    from aetherflow.core.runtime.environment.project_file import find_project as find_project
    from aetherflow.core.runtime.environment.snapshot import build_snapshot as build_snapshot
    from aetherflow.core.runtime.environment.spec.notify import NotifySpec as NotifySpec
    from aetherflow.core.runtime.environment.spec.span import seconds_of as seconds_of
    from aetherflow.core.runtime.environment.trust import findings as findings
    from aetherflow.core.runtime.late_run import late_run as late_run
    from aetherflow.core.runtime.late_run import late_run_commands as late_run_commands
    from aetherflow.core.runtime.notify.start import SendRequest as SendRequest
    from aetherflow.core.runtime.notify.start import may_have_rules as may_have_rules
    from aetherflow.core.runtime.notify.start import start_sender as start_sender
    from aetherflow.core.runtime.opening.calendars import FIX as FIX
    from aetherflow.core.runtime.opening.calendars import read_calendar as read_calendar
    from aetherflow.core.runtime.processes.fork_server import ForkedProcess as ForkedProcess
    from aetherflow.core.runtime.processes.fork_server import ForkServer as ForkServer
    from aetherflow.core.runtime.proof.evidence import chain_findings as chain_findings
    from aetherflow.core.runtime.proof.evidence import evidence_of as evidence_of
    from aetherflow.core.runtime.proof.evidence import root_chains as root_chains
    from aetherflow.core.runtime.proof.evidence import root_tail as root_tail
    from aetherflow.core.runtime.proof.evidence import state_chains as state_chains
    from aetherflow.core.runtime.resuming import Resumes as Resumes
    from aetherflow.core.runtime.resuming import stands_in_no_file as stands_in_no_file
    from aetherflow.core.runtime.resuming import wrapped_path as wrapped_path
    from aetherflow.core.runtime.run_record import Healed as Healed
    from aetherflow.core.runtime.run_record import Place as Place
    from aetherflow.core.runtime.run_record import RunRecords as RunRecords
    from aetherflow.core.runtime.run_record import WantedRun as WantedRun
    from aetherflow.core.runtime.run_record import acknowledged as acknowledged
    from aetherflow.core.runtime.run_record import resolved as resolved
    from aetherflow.core.runtime.run_record import run_record as run_record
    from aetherflow.core.runtime.sending.sender import is_needed as is_needed
    from aetherflow.core.runtime.sending.sender import note_ledger as note_ledger
    from aetherflow.core.runtime.unreadable import require_readable as require_readable
    from aetherflow.core.runtime.workspace.engine_files import EngineFiles as EngineFiles
    from aetherflow.core.runtime.workspace.engine_files import make_engine_folder as make_engine_folder
    from aetherflow.core.runtime.workspace.places import schedule_note as schedule_note
    from aetherflow.core.runtime.workspace.state_root import find_state_root as find_state_root
    from aetherflow.core.runtime.workspace.state_root import host_root as host_root

_HOMES = {
    "base": "durable",
    "base.actor": "actor hostname",
    "base.engine_files": "LEDGERS engine_folder",
    "base.errors": "LostOwnershipError PluginLoadError",
    "base.location": "DocPath format_path",
    "base.problems": "Problems Severity",
    "base.redact": "masked_by_name",
    "base.said": "Reason ReasonCode code_of read_reason said",
    "base.secret_names": "is_secret_name",
    "base.suggest": "did_you_mean nearest",
    "base.times": "iso",
    "bundle.detached": "sign_text why_not_signed",
    "bundle.signing": "PASSPHRASE",
    "checks.kinds": "Environment check_document check_in_memory",
    "checks.checked": "Checked",
    "checks.notify": "check_notify",
    "checks.stores": "why_not_written",
    "console.since": "is_span span_ms",
    "console.commands": "LazyGroup",
    "console.findings": "verdict",
    "console.outcome": "exit_code hide_memory show_error",
    "console.pages": "made_here require_pages write_page",
    "console.streams": "dropped_lines print_json recorded reserve_stdout unhindered",
    "console.table": "table",
    "host.faults": "message_with_place note_place",
    "host.importing": "import_target",
    "host.metadata": "installed_in",
    "kernel.locks.alive": "AliveFile is_dead living_files",
    "kernel.locks.lease": "Lease",
    "kernel.locks.records": "Holder Owner",
    "kernel.locks.store": "LockStore",
    "kernel.resolver.params": "ParamError as_given settle_params",
    "records.acts": "Act",
    "kernel.state.unusable": "aside newer unreadable",
    "kernel.yaml.binder": "bind",
    "kernel.yaml.loader": "Document RawString",
    "records.registry_file": "subject_of",
    "records.trouble": "Trouble",
    "runtime.child_elsewhere": "CHILD_RUNS piece",
    "runtime.environment.administrator": "administrator beside_policy",
    "runtime.environment.allowed": "usable_in",
    "runtime.environment.documents": "load_document",
    "runtime.environment.policing": "place_findings",
    "runtime.environment.project_file": "find_project",
    "runtime.environment.snapshot": "build_snapshot",
    "runtime.environment.spec.notify": "NotifySpec",
    "runtime.environment.spec.span": "seconds_of",
    "runtime.environment.trust": "findings",
    "runtime.sending.sender": "is_needed note_ledger",
    "runtime.late_run": "late_run late_run_commands",
    "runtime.notify.start": "SendRequest may_have_rules start_sender",
    "runtime.opening.calendars": "FIX read_calendar",
    "runtime.processes.fork_server": "ForkServer ForkedProcess",
    "runtime.proof.evidence": "chain_findings evidence_of root_chains root_tail state_chains",
    "runtime.resuming": "Resumes stands_in_no_file wrapped_path",
    "runtime.run_record": "Healed Place RunRecords WantedRun acknowledged resolved run_record",
    "runtime.unreadable": "require_readable",
    "runtime.workspace.engine_files": "EngineFiles make_engine_folder",
    "runtime.workspace.places": "schedule_note",
    "runtime.workspace.state_root": "find_state_root host_root",
}
"""Module, relative to `aetherflow.core`, to the names that are re-exported from it."""
_MODULES = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # `durable` is itself a module: `__import__` with a fromlist imports it, importlib.import_module(parent) does not
    found = getattr(__import__(f"aetherflow.core.{_MODULES[name]}", fromlist=[name]), name)
    globals()[name] = found
    return found
