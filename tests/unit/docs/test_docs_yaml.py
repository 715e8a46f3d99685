import re
from functools import cache
from pathlib import Path

import pytest

from docs_pages import ROOT, Block, blocks, pages, same_output, shown_name, validate_block

validated = cache(validate_block)
YAML = [block for page in pages() for block in blocks(page, "yaml")]


def answer(block: Block) -> Block | None:
    """The text block that follows, if nothing but it follows at once."""
    found = blocks(block.page)
    after = found[found.index(block) + 1 :]
    return after[0] if after and after[0].language == "text" and after[0].first - block.last <= 4 else None


@pytest.mark.parametrize("block", YAML, ids=lambda block: block.label)
def test_a_block_is_what_its_page_says(block: Block) -> None:
    code, printed = validated(block)
    if block.wrong:
        assert code == 2
        assert f"INVALID: {shown_name(block)}" in printed
    else:
        assert code == 0, f"validate says:\n{printed}\nif that is meant, mark the block: <!-- wrong -->"
        assert ("warning" in printed) or not block.warning


@pytest.mark.parametrize(
    "block", [block for block in YAML if block.wrong or block.warning], ids=lambda block: block.label
)
def test_a_mistake_gets_the_answer_that_its_page_shows(block: Block) -> None:
    shown = answer(block)
    if shown is None:
        assert block.file, "a wrong block needs its answer in a text block, or a file name for a console block"
        return
    _, printed = validated(block)
    assert same_output(shown.text, printed), f"the program prints:\n{printed}\n(python tests/docs/refresh.py)"


OTHERS = ("holidays.yaml", "compose.yaml", "kubernetes.yaml")
"""A calendar is a list of days that a flow names; what containers are started by, tests/system/deploy looks at."""
EXAMPLES = sorted(path for path in ROOT.glob("docs/examples/**/*.yaml") if path.name not in OTHERS)


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_examples_validate(page: object, capsys: pytest.CaptureFixture[str]) -> None:
    from aetherflow.core.cli import main

    code = main(["validate", str(page)])
    printed = capsys.readouterr().out
    # these use plugins of their own, which test_docs_examples and the packaging tests install
    unknown = {
        "word-count": ["AF2101"],
        "acme-remote": ["AF2101", "AF1304", "AF2101"],
        "acme-firebird": ["AF2101"],
        "acme-post": ["AF2101", "AF1304"],
        "acme-signed": ["AF2101", "AF1304"],
    }
    if (expected := unknown.get(Path(str(page)).parent.name)) is not None:
        assert re.findall(r"AF\d{4}", printed) == expected
    else:
        assert code == 0, printed
