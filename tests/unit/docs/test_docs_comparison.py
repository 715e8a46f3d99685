"""The comparison: dated, and each row of its tables says how it is known."""

import re

from docs_pages import ROOT

TEXT = (ROOT / "docs/explanation/comparison.md").read_text(encoding="utf-8")
TOOLS = ["AetherFlow 1.1", "cron", "systemd timers", "Dagu", "Airflow", "Kestra", "Prefect"]


def test_it_has_a_date() -> None:
    assert re.search(r"Written on \d{1,2} [A-Z][a-z]+ 20\d\d\.", TEXT)


def test_every_row_says_how_it_is_known() -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.split("\n") if line[:2] == "| "]
    heads = [row for row in rows if row[0] == "Tool"]
    assert len(heads) >= 3
    assert {row[-1] for row in heads} == {"Known by"}
    assert [row[0] for row in rows if row[0] != "Tool"] == TOOLS * len(heads)
    for row in rows:
        assert all(row), row
        assert re.search(r"Known by|tried|documentation of \d|docs\.dagu\.sh|man pages, .*\d", row[-1]), row
