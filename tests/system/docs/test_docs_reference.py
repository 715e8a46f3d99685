import re
from pathlib import Path

from aetherflow.core.runtime.environment.settings import PREFIX, Settings
from docs_pages import ROOT
from docs_schedule import SCHEDULE_PAGE, write_parts
from docs_state import STATE_PAGE

ERRORS, GUIDE = ROOT / "docs/reference/errors.md", ROOT / "docs/10-flow-yaml-guide.md"


def sources(tracked: list[str]) -> list[Path]:
    return [ROOT / name for name in tracked if re.fullmatch(r"aetherflow-[\w-]+/src/.*\.py", name)]


def found_in(files: list[Path], pattern: str) -> set[str]:
    return {match for file in files for match in re.findall(pattern, file.read_text(encoding="utf-8"))}


def test_every_error_code_has_a_section_and_no_other(tracked: list[str]) -> None:
    sections = re.findall(r"^### (AF\d{4})$", ERRORS.read_text(encoding="utf-8"), re.MULTILINE)
    assert sections == sorted(set(sections))
    assert set(sections) == found_in(sources(tracked), r"\bAF\d{4}\b")


def test_every_variable_that_the_program_knows_is_in_the_guide(tracked: list[str]) -> None:
    listed = found_in([GUIDE], r"\bAETHERFLOW_[A-Z_]+\b")
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    assert listed == found_in(sources(tracked), r"\bAETHERFLOW_[A-Z_]+\b") | settings


def test_the_keys_and_the_changes_of_the_clock_are_the_schedulers() -> None:
    text = SCHEDULE_PAGE.read_text(encoding="utf-8")
    assert write_parts(text) == text, "python tests/docs/refresh.py"


# The house


def test_the_architecture_page_names_every_part_of_the_kernel(tracked: list[str]) -> None:
    core = ROOT / "aetherflow-core/src/aetherflow/core"
    parts = {
        path.relative_to(core).parts[0].removesuffix(".py") for path in sources(tracked) if path.is_relative_to(core)
    }
    page = STATE_PAGE.read_text(encoding="utf-8")
    assert [part for part in sorted(parts) if not part.startswith("__") and f"`{part}`" not in page] == []
