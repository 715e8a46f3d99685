import re

from aetherflow.scheduler.schedule.spec import ItemOptions, SchedulerFileSpec, SchedulerItemSpec
from docs_pages import ROOT


def test_the_page_of_exports_names_every_key() -> None:
    """So that a new key is not dropped by an export without a word."""
    page = (ROOT / "docs/reference/scheduler-exports.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    named = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    keys = {*ItemOptions.model_fields, *SchedulerItemSpec.model_fields, *SchedulerFileSpec.model_fields}
    assert named == keys
