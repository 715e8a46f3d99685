"""The commands that pages show do what the pages show."""

from pathlib import Path

import pytest

from docs_pages import Sandbox, blocks, name_of, pages, run_page
from warm import shims

WITH_COMMANDS = sorted(
    (page for page in pages() if blocks(page, "bash", "console")), key=lambda page: -len(blocks(page, "console"))
)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_commands_do_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    wrong = [
        f"{ran.block.label}: $ {ran.command}\n--- the page shows\n{ran.shown}\n"
        f"--- exit code {ran.code}, printed\n{ran.printed}"
        for ran in run_page(page, Sandbox(tmp_path, programs=shims()))
        if not ran.agrees
    ]
    assert wrong == [], "\n\n".join(wrong) + "\n\n(python tests/docs/refresh.py)"
