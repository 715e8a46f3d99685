"""The threat model names the tests that show what it says: each is there, and each attack is named."""

import ast
import re

from docs_pages import ROOT

PAGE = (ROOT / "docs/explanation/threat-model.md").read_text(encoding="utf-8")
ATTACKS = "tests/system/packaging/test_lock_down.py"
ACTORS = {
    "index": "The owner of a name on the package index",
    "author": "An author of flows",
    "co-author": "Another author of the same account",
    "account": "Another account of the machine",
    "database user": "A user of a database",
    "server": "A server",
    "network": "An attacker on the network",
    "bundle": "An account that holds an old bundle, or may write to its source",
}
"""Actor of an attack to the part of the page about him."""


def functions(path: str) -> dict[str, ast.FunctionDef]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def attacks() -> dict[str, str]:
    """Name of each attack to its actor."""
    found = {}
    for name, node in functions(ATTACKS).items():
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "attack":
                found[name] = str(ast.literal_eval(decorator.args[0]))
    return found


def shown(part: str) -> set[str]:
    """What stands in the last column of the tables of a part."""
    rows = [line for line in part.splitlines() if line.startswith("| ") and line.count("|") == 4]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[3])}


def test_every_named_test_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 25
    assert [f"{path}::{name}" for path, name in named if name not in functions(path)] == []


def test_every_attack_is_named_where_its_actor_is() -> None:
    parts = dict(re.findall(r"^### (.+?)\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL))
    missing = [f"{actor}: {name}" for name, actor in attacks().items() if name not in shown(parts[ACTORS[actor]])]
    assert missing == []
    named = set().union(*(shown(parts[heading]) for heading in ACTORS.values()))
    unknown = {name for name in named if "/" not in name} - attacks().keys()
    assert unknown == set()


def test_there_are_thirty_attacks_by_all_actors() -> None:
    assert len(attacks()) >= 30
    assert {*attacks().values()} == {*ACTORS}


def test_one_unit_for_both_pages() -> None:
    """A second unit, shown on a page, would be the weaker one."""
    unit = "deploy/systemd/aetherflow-scheduler.service"
    lock_down = (ROOT / "docs/how-to/lock-down.md").read_text(encoding="utf-8")
    assert unit in lock_down
    assert "ExecStart" not in lock_down
    assert "deploy/systemd/*.service" in (ROOT / "docs/how-to/install.md").read_text(encoding="utf-8")
