import re

from aetherflow.scheduler.importing.drafts import Difference
from docs_pages import ROOT


def test_the_page_of_imports_names_every_code() -> None:
    """So that whoever reads the report of a machine finds each one."""
    page = (ROOT / "docs/reference/scheduler-imports.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", page))
    assert {code.value for code in Difference} <= named
