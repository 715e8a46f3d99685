import inspect
import json
import re
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from aetherflow.core import api
from aetherflow.core.cli import main
from aetherflow.core.contracts import kinds
from aetherflow.core.host.names import KINDS
from aetherflow.core.kernel.state.reasons import StateReason
from aetherflow.core.kernel.yaml.flow import (
    FlowMetaSpec,
    FlowSpec,
    JobSpec,
    RetrySpec,
    StepSpec,
    VerifySpec,
)
from aetherflow.core.kernel.yaml.spec import ResourceSpec
from docs_api import API_PAGE, api_page
from docs_catalogue import CATALOG, catalogue
from docs_kinds import KINDS_PAGE, contracts, kinds_page
from docs_pages import ROOT, blocks
from docs_state import STATE_MARK, STATE_PAGE, TRANSITIONS_MARK, TRANSITIONS_PAGE, state_tables, transitions

ERRORS, GUIDE = ROOT / "docs/reference/errors.md", ROOT / "docs/10-flow-yaml-guide.md"


def found_in(files: list[Path], pattern: str) -> set[str]:
    return {match for file in files for match in re.findall(pattern, file.read_text(encoding="utf-8"))}


def test_codes_that_pages_name_exist() -> None:
    known = set(re.findall(r"^### (AF\d{4})$", ERRORS.read_text(encoding="utf-8"), re.MULTILINE))
    named = found_in([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")], r"\bAF\d{4}\b")
    assert named - known == set()


# Keys of a flow


def keys(model: type[BaseModel], prefix: str = "") -> dict[str, tuple[bool, list[str]]]:
    """Key to whether it is required, and its choices if there are some."""
    found: dict[str, tuple[bool, list[str]]] = {}
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if prefix and isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found |= keys(annotation, f"{prefix}{name}.")
        else:
            members = [annotation, *get_args(annotation)]
            choices = [str(c) for each in members if get_origin(each) is Literal for c in get_args(each)]
            found[prefix + name] = (field.is_required(), choices)
    return found


@pytest.mark.parametrize(
    ("heading", "model", "prefix"),
    [
        ("Top level", FlowSpec, ""),
        ("flow", FlowMetaSpec, "flow."),
        ("resources.NAME", ResourceSpec, ""),
        ("jobs[]", JobSpec, ""),
        ("steps[]", StepSpec, ""),
        ("retry", RetrySpec, ""),
        ("verify", VerifySpec, ""),
    ],
)
def test_the_guide_lists_every_key_of_a_flow(heading: str, model: type[BaseModel], prefix: str) -> None:
    section = GUIDE.read_text(encoding="utf-8").partition(f"### {heading}\n")[2].partition("\n#")[0]
    rows = {
        cells[1].strip(" `"): cells
        for line in section.split("\n")
        if line.startswith("| `") and (cells := line.split("|"))
    }
    expected = keys(model, prefix)
    assert rows.keys() == expected.keys()
    for key, (required, choices) in expected.items():
        assert (rows[key][3].strip() == "required") is required, key
        if key != "version":  # of which only one exists
            assert [choice for choice in choices if f"`{choice}`" not in rows[key][2]] == [], key


# Generated parts


def test_the_catalogue_is_what_the_plugins_say() -> None:
    assert CATALOG.read_text(encoding="utf-8") == catalogue(), "python tests/docs/refresh.py"


def test_the_api_page_is_what_the_docstrings_say() -> None:
    assert API_PAGE.read_text(encoding="utf-8") == api_page(), "python tests/docs/refresh.py"


def test_the_page_of_the_kinds_is_what_the_docstrings_say() -> None:
    assert KINDS_PAGE.read_text(encoding="utf-8") == kinds_page(), "python tests/docs/refresh.py"


def test_the_page_of_the_kinds_has_all_that_contracts_ask_of_an_author() -> None:
    """Every abstract method in its contract's section, every capability, every other public name of the kinds."""
    sections = re.split(r"^## ", KINDS_PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    by_name = {section.partition("\n")[0]: section for section in sections}
    for contract in contracts():
        for name in getattr(contract, "__abstractmethods__", ()):
            assert f"- `{name}(" in by_name[contract.__name__], f"{contract.__name__}.{name}"
    public = {
        name
        for name in api.__all__
        if inspect.isclass(found := getattr(api, name)) and found.__module__.startswith(kinds.__name__)
    }
    assert len(public) > 40
    told = set(re.findall(r"^#### (\w+)$", "".join(sections), re.MULTILINE))
    linked = set(re.findall(r"\[(\w+)\]\(api\.md#", "".join(sections)))
    assert public - told - linked - by_name.keys() == set()


def test_the_catalogue_has_the_names_that_plugins_list_prints(capsys: pytest.CaptureFixture[str]) -> None:
    main(["plugins", "list", "--json"])
    plugins = json.loads(capsys.readouterr().out)["plugins"]
    own = [
        each for each in plugins if each["distribution"].startswith("aetherflow-") and each["kind"] in KINDS.values()
    ]
    ours = {(each["kind"], each["name"]) for each in own}
    kinds = "|".join(KINDS.values())
    headings = re.findall(rf"^## ({kinds}) `(.+)`$", CATALOG.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(headings) == ours
    assert len(headings) == len(ours)


def test_the_tables_of_the_state_are_the_real_ones() -> None:
    text = STATE_PAGE.read_text(encoding="utf-8")
    assert f"{STATE_MARK}\n```text\n{state_tables()}\n```" in text, "python tests/docs/refresh.py"


def test_the_legal_transitions_are_those_of_the_engine() -> None:
    text = TRANSITIONS_PAGE.read_text(encoding="utf-8")
    assert f"{TRANSITIONS_MARK}\n```text\n{transitions()}\n```" in text, "python tests/docs/refresh.py"


def test_every_command_has_its_help_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    shown = {command for block in blocks(ROOT / "docs/reference/cli.md", "console") for command, _ in block.commands}
    main(["--help"])
    listing = capsys.readouterr().out.partition("Commands:\n")[2]
    for name in re.findall(r"^  (\w+)  ", listing, re.MULTILINE):
        assert {f"aetherflow {name} --help", f"aetherflow {name} list --help"} & shown, name


def test_the_page_names_every_reason() -> None:
    page = (ROOT / "docs/reference/state.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", page.partition("<!-- reasons -->")[2], re.MULTILINE)
    assert rows == sorted((str(code), code.words) for code in StateReason)
