"""Every command line of ours that is printed or shown is one that the real command tree takes."""

import re
import shlex
from collections.abc import Callable, Iterable

import pytest

from advice import COMMANDS
from advised_options import advised_options, module_of
from core_hints import CORE
from docs_pages import ROOT
from scheduler_hints import SCHEDULER
from shown_commands import VALUE, Shown, in_examples, in_line, in_pages, in_sources, refusal


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("next: aetherflow resume r --flow f", ["aetherflow resume r --flow f"]),
        ("  fix: aetherflow runs show r; or: aetherflow status", ["aetherflow runs show r", "aetherflow status"]),
        ("`aetherflow resume r`, or the next run takes it over", ["aetherflow resume r"]),
        ("aetherflow resume r, or the next run", ["aetherflow resume r"]),
        ("aetherflow runs list 2>/dev/null | aetherflow status -q", ["aetherflow runs list", "aetherflow status -q"]),
        ("AETHERFLOW_MODE=x aetherflow run 'a b.yaml'  # again", ["aetherflow run 'a b.yaml'"]),
        ("              aetherflow runs show {{run.id}}", ["aetherflow runs show 1"]),
        ("aetherflow wrap --id x -- COMMAND …", ["aetherflow wrap --id x -- COMMAND '…'"]),
        ("pip install aetherflow-core; see aetherflow.yaml", []),
        ("application_name: aetherflow", []),
    ],
)
def test_command_lines_are_found_in_a_line(line: str, expected: list[str]) -> None:
    assert [shown.text for shown in in_line("here", line)] == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("aetherflow status r", "UsageError"),
        ("aetherflow runs shwo r", "UsageError"),
        ("aetherflow bundle sync --always", "MissingParameter"),
        ("aetherflow runs list --limit many", "BadParameter"),
        ("aetherflow runs resolve r --as settled --reason x", "BadParameter"),
        ("aetherflow resume r --step a", "NoSuchOption"),
        ("aetherflow runs resolve r --as", "BadOptionUsage"),
        ("aetherflow-scheduler backfill s.yaml item", "MissingParameter"),
    ],
)
def test_a_command_line_that_cannot_be_typed_is_refused(text: str, why: str) -> None:
    assert (refusal(Shown("here", text, whole=True)) or "").partition(":")[0] == why


@pytest.mark.parametrize(
    "text",
    [
        "aetherflow runs resolve RUN_ID --as done --reason TEXT",
        "aetherflow runs list --limit N",
        "aetherflow --version",
    ],
)
def test_one_with_placeholders_is_taken(text: str) -> None:
    assert refusal(Shown("here", text, whole=True)) is None


def test_a_name_of_a_command_stands_for_itself() -> None:
    assert refusal(Shown("here", "aetherflow runs show", whole=False)) is None
    assert refusal(Shown("here", "aetherflow runs shown", whole=False)) is not None
    assert refusal(Shown("here", "aetherflow runs show --stpe x", whole=False)) is not None


@pytest.mark.parametrize(
    ("collect", "least"), [(in_pages, 400), (in_examples, 7), (in_sources, 150)], ids=["pages", "examples", "sources"]
)
def test_every_command_line_is_taken(collect: Callable[[], Iterable[Shown]], least: int) -> None:
    shown = list(collect())
    assert len(shown) > least
    assert [f"{each.where}: {each.text}: {why}" for each in shown if (why := refusal(each)) is not None] == []


TYPED_BY = {
    "core/bundle/using": "tests/system/core/bundle/test_core_bundle_run.py",
    "core/checks/changes": "tests/system/docs/test_docs_upgrade.py",
    "core/cli/retaining": "tests/unit/core/cli/test_core_retention.py",
    "core/host/locked": "tests/system/core/host/test_core_plugins_lock.py",
    "scheduler/audit/late": "tests/system/scheduler/audit/test_scheduler_late.py",
    "scheduler/audit/needs": "tests/system/scheduler/runs/test_scheduler_truth.py",
    "scheduler/cli/audit_statement": "tests/system/scheduler/audit/test_scheduler_audit_statement.py",
    "scheduler/cli/prune": "tests/unit/scheduler/cli/test_scheduler_retention.py",
    "scheduler/ledger/document_owner": "tests/system/scheduler/ledger/test_scheduler_document_owner.py",
    "scheduler/ledger/places": "tests/system/scheduler/loop/test_scheduler_state_server.py",
    "scheduler/ledger/pruning": "tests/system/scheduler/ledger/test_scheduler_prune.py",
    "scheduler/runs/notifying": "tests/torture/test_torture_telling.py",
}
"""Modules whose commands are typed by tests of their own."""
NOT_TYPED = {
    ("transfer/pickups", "aetherflow runs resolve"): "the description of an input",
    ("core/builtins/file_find", "aetherflow runs resolve"): "the description of an input",
    ("core/bundle/manifest_spec", "aetherflow plugins list"): "the description of a key",
    ("core/kernel/yaml/flow", "aetherflow plugins list"): "the description of a key",
    ("core/cli/resume", "aetherflow status"): "says where a person looks next",
    ("core/cli/app", "aetherflow resume"): "the last line of the help",
    ("core/cli/runs", "aetherflow runs list"): "of a run that is removed while it is read",
    ("core/records/resolving", "aetherflow runs list"): "of a run that is removed while it is settled",
    ("core/testing/state_base", "aetherflow run flow.yaml"): "what a run of the test kit writes down",
    (
        "core/kernel/state/unusable",
        "aetherflow doctor 1 --connect",
    ): "test_core_state_server.py types it",
    ("scheduler/export/target", "aetherflow-scheduler run"): "the name of a program in a comment of an exported file",
    ("scheduler/ledger/known", "aetherflow status"): "says what `status` will not show",
    (
        "scheduler/loop/single",
        "aetherflow-scheduler next 1 1",
    ): "each cron that is taken has a slot within forty years",
}
"""Commands that no test types, and why."""


def is_of(made: str, literal: str) -> bool:
    """Whether a command line can have been made of a literal: it has all its words, in their order."""
    words = iter(shlex.split(made))
    return all(any(one in (word, VALUE) for word in words) for one in shlex.split(literal.replace("=1", "")))


def test_every_command_that_is_printed_is_typed() -> None:
    """A new message with a command needs a row in core_hints.py or scheduler_hints.py, or a reason here."""
    typed = {(f"core/{module}", text) for case in CORE for module in case.modules for text in case.typed}
    typed |= {(f"scheduler/{module}", text) for module, texts in SCHEDULER.items() for text in texts}
    printed = {(module_of(shown.where), shown.text) for shown in in_sources() if shown.printed}
    assert len(printed) > 60
    untyped = {
        (module, literal)
        for module, literal in printed
        if module not in TYPED_BY and not any(module == other and is_of(made, literal) for other, made in typed)
    }
    assert untyped == NOT_TYPED.keys()
    assert all((ROOT / path).is_file() for path in TYPED_BY.values())
    idle = {module for module, _ in typed} - {module for module, _ in printed}
    assert idle <= MADE_OF_PARTS


MADE_OF_PARTS = {"core/runtime/resuming", "core/cli/lookup", "core/cli/needs"}
"""Modules that make commands of words which are not literals."""


NOT_FOLLOWED = {
    ("core/builtins/file_move", "--from-step"): "of a file that somebody takes between two attempts",
    ("core/bundle/signing", "--version"): "tests/unit/core/bundle/test_core_bundle_sign.py follows it",
    ("core/cli/bundle_sign", "--signers"): "the same",
    ("core/cli/state", "--reason"): "tests/unit/core/cli/test_core_status.py gives the reason",
    ("core/cli/state_accept", "--reason"): "tests/system/core/kernel/state/test_core_older_state.py gives the reason",
    ("core/records/older", "--run-id"): "the same test starts it under another id",
    ("core/runtime/opening/opening", "--run-id"): "core_hints.py types the command in it",
    ("core/runtime/opening/opening", "--flow-job"): "the same",
    ("core/runtime/opening/opening", "--from-step"): "the same",
    ("scheduler/cli/next_slots", "--until"): "of a hundred thousand slots",
    ("scheduler/schedule/differences", "--until"): "of two million slots",
    ("scheduler/export/crontab", "--item"): "of a line that cron cuts, below a path of a thousand letters",
    ("scheduler/export/kubernetes", "--prefix"): "a prefix is made a label",
    (
        "scheduler/export/target_zone",
        "--zone",
    ): "of a machine whose /etc/localtime is no link",
}
"""Advice that no row of advice.py follows, and why."""


def test_advice_that_names_an_option_is_followed() -> None:
    """New advice with an option needs a row in advice.py, or a reason here; that with a command is typed anyway."""
    found = [each for each in advised_options() if not any(in_line("", each.text))]
    assert len(found) > 40
    left = {
        (each.module, option)
        for each in found
        if not any(each.is_in(advice.fix) for advice in COMMANDS)
        for option in each.options
    }
    assert left == NOT_FOLLOWED.keys()


OF_THE_SYSTEM = {
    "core/base/owners": "tests/system/docs/test_docs_advice.py types it",
    "core/bundle/store": "the same",
    "core/checks/places": "the same",
    "core/kernel/state/unusable": "tests/system/core/cli/test_core_unusable_stores.py types it",
    "core/host/installing": "tests/system/packaging/test_hostile_index.py types it",
    "core/cli/plugins_new": "the same",
    "core/builtins/process_child": "says how it is done, not for which file",
    "core/base/durable/places": "the name of a failpoint",
    "core/testing/file_transfer": "what a check of the test kit is called",
}
"""Modules whose messages name a command of the system, and what types it."""
_SYSTEM = re.compile(r"\b(?:chmod|chown|mkdir|mv|pip install) [-+{'a-z]")


def test_a_command_of_the_system_is_typed() -> None:
    sources = ((path, path.read_text(encoding="utf-8")) for path in ROOT.glob("aetherflow-*/src/**/*.py"))
    shipped = (each for each in sources if "plugin_template" not in each[0].parts)
    assert {module_of(path.as_posix()) for path, text in shipped if _SYSTEM.search(text)} == OF_THE_SYSTEM.keys()
