import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.main import get_command

from docs_pages import NOT_RUN, ROOT, blocks, is_run, pages
from shown_commands import PROGRAMS

LEFT_OUT = [
    (block.label, command)
    for page in pages()
    for block in blocks(page, "bash")
    for command, _ in block.commands
    if not is_run(block, command)
]


def project(name: str) -> dict[str, Any]:
    folder = ROOT if name == "aetherflow" else ROOT / name
    found: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


@pytest.mark.parametrize(("label", "command"), LEFT_OUT, ids=[label for label, _ in LEFT_OUT])
def test_commands_that_are_not_run_exist(label: str, command: str) -> None:
    if command.startswith("make "):
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert command.split()[1] in targets
    else:
        named = re.findall(r"(aetherflow[\w-]*)(?:\[([\w,]+)\])?", command)
        assert named
        for name, extras in named:
            known = project(name).get("optional-dependencies", {})
            assert [extra for extra in extras.split(",") if extra and extra not in known] == []


def test_every_reason_for_not_running_is_used() -> None:
    used = {pattern for pattern in NOT_RUN for _, command in LEFT_OUT if re.fullmatch(pattern, command)}
    assert used == set(NOT_RUN)


def options(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The options of a command and of all below it, each with the words that are typed before it."""
    yield from ((path, each) for each in command.params if each.param_type_name == "option")
    if hasattr(command, "list_commands"):
        context = typer.Context(command)
        for name in command.list_commands(context):
            yield from options(command.get_command(context, name), f"{path} {name}")


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_option_has_one_long_name_and_a_program_one_name_for_its_file(program: str) -> None:
    found = list(options(get_command(PROGRAMS[program]), program))
    assert len(found) > 50
    assert [(path, each.opts) for path, each in found if sum(name.startswith("--") for name in each.opts) > 1] == []
    files = {name for _, each in found for name in each.opts if name in ("--out", "--output")}
    assert files == {"--output" if program == "aetherflow" else "--out"}
