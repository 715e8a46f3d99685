from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest

from docs_pages import Ran, Sandbox, blocks, name_of, pages, run_page
from warm import shims

Runs: TypeAlias = Mapping[Path, Future[list[Ran]]]

WITH_COMMANDS = sorted(
    (page for page in pages() if blocks(page, "bash", "console")), key=lambda page: -len(blocks(page, "console"))
)


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
