"""The commands that pages show do what the pages show, and so do those that they print."""

from pathlib import Path

import pytest

from docs_pages import FIRST_HOUR, Sandbox, blocks, name_of, pages, run_page
from typed_hints import Typed, type_hints
from warm import forking, shims

WITH_COMMANDS = sorted(
    (page for page in pages() if blocks(page, "bash", "console") and page != FIRST_HOUR),
    key=lambda page: -len(blocks(page, "console")),
)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_commands_do_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path, forking(), shims())
    typed: list[Typed] = []
    wrong = [
        f"{ran.block.label}: $ {ran.command}\n--- the page shows\n{ran.shown}\n"
        f"--- exit code {ran.code}, printed\n{ran.printed}"
        for ran in run_page(page, sandbox, lambda ran: typed.extend(type_hints(ran, sandbox)))
        if not ran.agrees
    ]
    assert wrong == [], "\n\n".join(wrong) + "\n\n(python tests/docs/refresh.py)"
    misleading = [f"{each.where}: {each.command}\n{each.code}: {each.printed}" for each in typed if each.misleads]
    assert misleading == [], "\n\n".join(misleading)
