"""The code that the pages on plugins show is code of what is tested: of the scaffolds, the examples, whole files."""

import shlex
from functools import cache
from textwrap import dedent

import pytest

from aetherflow.core import api, testing
from aetherflow.core.cli.plugins_new import TEMPLATES, files_of, filled, scaffolds, words_of
from docs_pages import ELISION, ROOT, Block, blocks, name_of, pages

PAGES = [
    ROOT / f"docs/how-to/{name}.md"
    for name in (
        "test-a-plugin", "write-a-bundle-source", "write-a-database-connector", "write-a-file-connector",
        "write-a-launcher", "write-a-mail-connector", "write-a-plugin", "write-an-archive-connector",
        "write-an-http-connector",
    )
]  # fmt: skip
ALONE = {
    "class FirebirdLoader(SqlLoader):": "no scaffold has ways of its own to load rows",
    "from aetherflow.core.testing import CommandSuite": "a command is written by hand",
    "from typing import Any": "no scaffold has a step that is killed",
    'pytest_plugins = ["aetherflow.core.testing.fixtures"]': "a line",
}
"""First line of the code that is of no file, and why: it is executed by itself."""
SHOWN = [block for page in PAGES for block in blocks(page, "python") if block.file is None]


def written() -> dict[str, str]:
    """Distribution to its kind: those that the pages tell to write."""
    commands = [command for page in pages() for block in blocks(page, "console") for command, _ in block.commands]
    found = [shlex.split(each) for each in commands if each.startswith("aetherflow plugins new acme-")]
    return {words[3]: words[5] if len(words) > 4 else "remote" for words in found if len(words) in (4, 6)}


@cache
def sources() -> list[str]:
    """The lines of all files that code is taken from."""
    texts = [path.read_text(encoding="utf-8") for path in ROOT.glob("docs/examples/**/*.py")]
    texts += [block.text for page in pages() for block in blocks(page, "python") if block.file is not None]
    for name, kind in written().items():
        words = words_of(name, kind)
        templates = [TEMPLATES / f"{template}.tmpl" for template in files_of(kind).values() if template]
        texts += [filled(path.read_text(encoding="utf-8"), words) for path in templates]
    return [f"\n{text}\n" for text in texts]


def parts(block: Block) -> list[str]:
    """What stands between the cuts, and between lines that are empty."""
    found, lines = [], block.text.split("\n")
    for line in [*lines, ELISION]:
        if line.strip() in (ELISION, ""):
            found.append("")
        elif found and found[-1]:
            found[-1] += f"{line}\n"
        else:
            found.append(f"{line}\n")
    return [each for each in found if each]


@pytest.mark.parametrize("block", SHOWN, ids=lambda block: block.label)
def test_what_a_page_shows_is_code_of_a_tested_file(block: Block) -> None:
    if block.text.split("\n")[0] in ALONE:
        config = dict.fromkeys(("Config", "Options"), api.ConnectorConfig)
        names = {name: getattr(api, name) for name in api.__all__} | vars(testing) | config
        exec(compile(dedent(block.text), block.label, "exec"), names)
        return
    files = [text for text in sources() if all(f"\n{part}" in text for part in parts(block))]
    assert files, f"no tested file holds all of:\n{block.text}"


def test_every_kind_has_a_page_that_begins_with_its_scaffold() -> None:
    shown = {
        command: name_of(page)
        for page in pages()
        for block in blocks(page, "console")
        for command, _ in block.commands
        if command.startswith("aetherflow plugins new acme-")
    }
    kinds = {kind for kind in scaffolds() for command in shown if command.endswith(f" --kind {kind}")}
    assert kinds == scaffolds().keys()
    parts = (ROOT / "docs/how-to/write-a-plugin.md").read_text(encoding="utf-8").split("\n\n")
    (table,) = (part for part in parts if part.startswith("| `--kind` |"))
    assert {line.split("`")[1] for line in table.split("\n")[2:]} == scaffolds().keys()


def test_every_reason_for_code_of_no_file_is_used() -> None:
    assert {block.text.split("\n")[0] for block in SHOWN} >= ALONE.keys()
