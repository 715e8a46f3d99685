import pytest

from docs_pages import ROOT, blocks

EXAMPLES = ROOT / "docs/examples"
COPIES = [
    ("docs/10-flow-yaml-guide.md", "monthly/flow.yaml", "monthly/flow.yaml"),
    ("docs/10-flow-yaml-guide.md", "monthly/holidays.yaml", "monthly/holidays.yaml"),
    ("docs/93-flow-in-15-minutes.md", "flow.yaml", "tour/flow.yaml"),
    ("docs/how-to/file-chores.md", "flow.yaml", "chores/flow.yaml"),
    ("docs/how-to/deliver-a-file.md", "flow.yaml", "deliver/flow.yaml"),
    ("docs/how-to/load-a-file-into-a-new-table.md", "flow.yaml", "new-table/flow.yaml"),
    ("docs/how-to/prove-that-a-load-arrived.md", "flow.yaml", "reconcile/flow.yaml"),
    ("docs/how-to/load-a-file-into-a-new-table.md", "orders.csv", "new-table/orders.csv"),
    ("docs/how-to/locks.md", "flow.yaml", "locks/flow.yaml"),
    ("docs/how-to/mail-a-report.md", "flow.yaml", "mail-report/flow.yaml"),
    ("docs/how-to/mail-a-report.md", "report.html", "mail-report/report.html"),
    ("docs/how-to/send-notifications.md", "aetherflow.yaml", "notify/aetherflow.yaml"),
    ("docs/how-to/send-notifications.md", "flow.yaml", "notify/flow.yaml"),
    ("docs/how-to/repeat-and-retry.md", "flow.yaml", "repeat/flow.yaml"),
    ("docs/how-to/repeat-and-retry.md", "report.sh", "repeat/report.sh"),
    ("docs/how-to/sub-flows.md", "city.yaml", "sub-flows/city.yaml"),
    ("docs/how-to/sub-flows.md", "parallel.yaml", "sub-flows/parallel.yaml"),
    ("docs/how-to/sub-flows.md", "flow.yaml", "sub-flows/flow.yaml"),
    ("docs/how-to/unpack-deliveries.md", "flow.yaml", "deliveries/flow.yaml"),
    ("docs/how-to/write-a-step.md", "flow.yaml", "word-count/flow.yaml"),
    ("docs/how-to/write-a-step.md", "pyproject.toml", "word-count/pyproject.toml"),
    ("docs/how-to/write-a-step.md", "run_here.py", "word-count/run_here.py"),
    ("docs/how-to/write-a-step.md", "src/word_count/step.py", "word-count/src/word_count/step.py"),
]


@pytest.mark.parametrize(("page", "name", "example"), COPIES)
def test_a_page_shows_the_example_as_it_is(page: str, name: str, example: str) -> None:
    shown = next(block.text for block in blocks(ROOT / page) if block.file == name)
    assert shown == (EXAMPLES / example).read_text(encoding="utf-8").rstrip("\n")
