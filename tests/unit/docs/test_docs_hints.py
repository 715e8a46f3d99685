"""Every command line of ours that is printed or shown is one that the real command tree takes."""

from collections.abc import Callable, Iterator

import pytest

from shown_commands import Shown, in_examples, in_line, in_pages, in_sources, refusal


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("next: aetherflow resume r --flow f", ["aetherflow resume r --flow f"]),
        ("  fix: aetherflow runs show r; or: aetherflow status", ["aetherflow runs show r", "aetherflow status"]),
        ("`aetherflow resume r`, or the next run takes it over", ["aetherflow resume r"]),
        ("aetherflow resume r, or the next run", ["aetherflow resume r"]),
        ("aetherflow runs list 2>/dev/null | aetherflow status -q", ["aetherflow runs list", "aetherflow status -q"]),
        ("AETHERFLOW_MODE=x aetherflow run 'a b.yaml'  # again", ["aetherflow run 'a b.yaml'"]),
        ("              aetherflow runs show {{run.id}}", ["aetherflow runs show 1"]),
        ("aetherflow wrap --id x -- COMMAND …", ["aetherflow wrap --id x -- COMMAND '…'"]),
        ("pip install aetherflow-core; see aetherflow.yaml", []),
        ("application_name: aetherflow", []),
    ],
)
def test_command_lines_are_found_in_a_line(line: str, expected: list[str]) -> None:
    assert [shown.text for shown in in_line("here", line)] == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("aetherflow status r", "UsageError"),
        ("aetherflow runs shwo r", "UsageError"),
        ("aetherflow bundle sync --always", "MissingParameter"),
        ("aetherflow runs list --limit many", "BadParameter"),
        ("aetherflow runs resolve r --as settled --reason x", "BadParameter"),
        ("aetherflow resume r --step a", "NoSuchOption"),
        ("aetherflow runs resolve r --as", "BadOptionUsage"),
        ("aetherflow-scheduler backfill s.yaml item", "MissingParameter"),
    ],
)
def test_a_command_line_that_cannot_be_typed_is_refused(text: str, why: str) -> None:
    assert (refusal(Shown("here", text, whole=True)) or "").partition(":")[0] == why


@pytest.mark.parametrize(
    "text",
    [
        "aetherflow runs resolve RUN_ID --as done --reason TEXT",
        "aetherflow runs list --limit N",
        "aetherflow --version",
    ],
)
def test_one_with_placeholders_is_taken(text: str) -> None:
    assert refusal(Shown("here", text, whole=True)) is None


def test_a_name_of_a_command_stands_for_itself() -> None:
    assert refusal(Shown("here", "aetherflow runs show", whole=False)) is None
    assert refusal(Shown("here", "aetherflow runs shown", whole=False)) is not None
    assert refusal(Shown("here", "aetherflow runs show --stpe x", whole=False)) is not None


@pytest.mark.parametrize(
    ("collect", "least"), [(in_pages, 400), (in_examples, 9), (in_sources, 150)], ids=["pages", "examples", "sources"]
)
def test_every_command_line_is_taken(collect: Callable[[], Iterator[Shown]], least: int) -> None:
    shown = list(collect())
    assert len(shown) > least
    assert [f"{each.where}: {each.text}: {why}" for each in shown if (why := refusal(each)) is not None] == []
