"""The first screen of the README: what it shows runs, and what it claims is measured."""

import re

import engine
from docs_pages import ROOT, blocks

README = ROOT / "README.md"
SCREEN = README.read_text(encoding="utf-8").partition("\n## ")[0]
ROW = re.compile(r"^\| \w+ \| .*::\w+` \| T\d \| ([\d,]+) \| ([\d,]+) \|", re.MULTILINE)


def test_it_shows_the_two_commands_first() -> None:
    first = blocks(README)[0]
    assert first.text.split("\n") == ["make demo", "make test"]
    assert first.last <= 15


def test_it_says_hello_in_five_lines_and_what_each_command_is_for() -> None:
    _, hello, commands = blocks(README)[:3]
    assert len(hello.text.split("\n")) == 5
    assert [line.split()[1] for line in commands.text.split("\n")] == ["validate", "plan", "run", "run", "status"]
    assert all("#" in line and len(line) <= 100 for line in commands.text.split("\n"))
    assert len([line for line in SCREEN.split("\n") if line.strip()]) <= 40


def test_the_numbers_of_its_proof_are_those_of_the_matrix_and_of_the_benchmarks() -> None:
    found = ROW.findall((ROOT / "docs/reference/reliability.md").read_text(encoding="utf-8"))
    cases, violations = (sum(int(row[at].replace(",", "")) for row in found) for at in (0, 1))
    claimed = re.search(r"more than ([\d,]+) cases .* (\d+)\s+violations", SCREEN, re.DOTALL)
    assert claimed is not None
    assert (len(found) > 40, cases >= int(claimed[1].replace(",", "")), violations) == (True, True, int(claimed[2]))
    assert f"at most {engine.STEP_LIMIT} times" in SCREEN
    assert f"behind {engine.FINISHED:,}" in SCREEN
    assert engine.RESUME_LIMIT == 1  # "at most a second later"


def test_its_example_is_that_of_the_docs_but_for_the_folders() -> None:
    """`/tmp` is as good as any on a machine of one's own."""
    shown = next(block.text for block in blocks(README) if block.file == "flow.yaml")
    example = (ROOT / "docs/examples/hello/flow.yaml").read_text(encoding="utf-8").rstrip("\n")
    assert shown.replace("/tmp/", "") == example
    assert "Not on a shared machine" in README.read_text(encoding="utf-8")
