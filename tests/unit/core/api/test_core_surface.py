"""The public surface of each released version is still there, and docs/reference/compatibility.md says what is not."""

import copy
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.contracts import hookspecs
from surface import Tree, broken, surface

if TYPE_CHECKING:
    from core_project import Project

ROOT = Path(__file__).parents[4]
RECORDED = sorted(ROOT.glob("tests/data/*/surface.json"))
PAGE = (ROOT / "docs/reference/compatibility.md").read_text(encoding="utf-8")
GONE = {f"/aetherflow.core.testing/SqlSuite/{name}: gone" for name in ("has_returning", "undoes_tables")} | {
    f"/commands/aetherflow/{command}/--from: gone" for command in ("plan", "run")
}


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.parent.name)
def test_nothing_of_a_released_version_is_missing(recorded: Path, project: "Project") -> None:
    assert set(broken(json.loads(recorded.read_text()), surface(project.folder))) == GONE


def test_the_first_release_is_recorded() -> None:
    assert RECORDED[0].parent.name == "1.0.0"


def test_the_page_names_what_has_gone() -> None:
    rows = PAGE.partition("## What has gone")[2].partition("\n## ")[0]
    names = {f"aetherflow.core.testing/{name.replace('.', '/')}" for name in re.findall(r"`(\w+\.\w+)`", rows)}
    options = {
        f"commands/{b.replace(' ', '/')}/{a}" for a, b in re.findall(r"`(--[\w-]+)` of `(aetherflow[\w -]*)`", rows)
    }
    assert {f"/{name}: gone" for name in names | options} == GONE


def test_the_page_lists_the_hooks_that_warn() -> None:
    rows = PAGE.partition("## What is deprecated")[2].partition("\n## ")[0]
    warning = {
        name
        for name, found in vars(hookspecs).items()
        if (options := getattr(found, "aetherflow_spec", None)) and options.get("warn_on_impl")
    }
    assert set(re.findall(r"^\| hook `(\w+)`", rows, re.MULTILINE)) == warning != set()


BEFORE: Tree = {
    "api": {"f": {"takes": {"a": "required", "b": "optional"}}, "E": {"code": "AF1", "is a": {"Error": ""}}},
    "steps": {"s": {"takes inputs": {"x": "optional"}, "outputs": {"n": ""}}},
    "--json": {"run": {"schema": "1", "keys": {"ok": ""}}},
}


def changed(*path: str, to: Any = None) -> Tree:
    """BEFORE with another value at a path, or without it."""
    found = copy.deepcopy(BEFORE)
    here: Any = found
    for name in path[:-1]:
        here = here[name]
    if to is None:
        del here[path[-1]]
    else:
        here[path[-1]] = to
    return found


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (changed("api", "f"), ["/api/f: gone"]),
        (changed("api", "f", "takes", "b"), ["/api/f/takes/b: gone"]),
        (changed("api", "f", "takes", "b", to="required"), ["/api/f/takes/b: 'optional' is 'required'"]),
        (changed("api", "f", "takes", "c", to="required"), ["/api/f/takes/c: new, and required"]),
        (changed("api", "E", "code", to="AF2"), ["/api/E/code: 'AF1' is 'AF2'"]),
        (changed("api", "E", "is a", to={"Other": ""}), ["/api/E/is a/Error: gone"]),
        (changed("api", "f", to="text"), ["/api/f: has no names"]),
        (
            changed("steps", "s", "takes inputs", "x", to="required"),
            ["/steps/s/takes inputs/x: 'optional' is 'required'"],
        ),
        (changed("steps", "s", "outputs", "n"), ["/steps/s/outputs/n: gone"]),
        (changed("--json", "run", "schema", to="2"), ["/--json/run/schema: '1' is '2'"]),
        (changed("api", "f", "takes", "a", to="optional"), []),
        (changed("api", "f", "takes", "c", to="optional"), []),
        (changed("steps", "s", "outputs", "m", to=""), []),
        (changed("steps", "t", to={"takes inputs": {"y": "required"}}), []),
    ],
)
def test_what_breaks_others_is_told(now: Tree, told: list[str]) -> None:
    assert list(broken(BEFORE, now)) == told
