import re
import tomllib
from typing import Any

import pytest

from docs_pages import NOT_RUN, ROOT, blocks, is_run, pages

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
