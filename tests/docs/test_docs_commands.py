import re
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from docs_pages import NOT_RUN, ROOT, Ran, Sandbox, blocks, is_run, name_of, pages, run_page
from warm import shims

Runs: TypeAlias = Mapping[Path, Future[list[Ran]]]

WITH_COMMANDS = sorted(
    (page for page in pages() if blocks(page, "bash", "console")), key=lambda page: -len(blocks(page, "console"))
)
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


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Every page's commands, two pages at a time: some commands wait for a moment on purpose."""
    sandboxes = {page: Sandbox(tmp_path_factory.mktemp("page"), programs=shims()) for page in WITH_COMMANDS}
    with ThreadPoolExecutor(2) as pool:
        yield {page: pool.submit(run_page, page, sandbox) for page, sandbox in sandboxes.items()}


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_commands_do_what_the_page_shows(page: Path, runs: Runs) -> None:
    wrong = [
        f"{ran.block.label}: $ {ran.command}\n--- the page shows\n{ran.shown}\n"
        f"--- exit code {ran.code}, printed\n{ran.printed}"
        for ran in runs[page].result()
        if not ran.agrees
    ]
    assert wrong == [], "\n\n".join(wrong) + "\n\n(python tests/docs/refresh.py)"


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
