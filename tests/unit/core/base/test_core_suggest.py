"""What is suggested for an unknown name is a name that could be meant; else all names are listed."""

import pytest

from aetherflow.core.base.suggest import did_you_mean, nearest

KEYS = [
    "version",
    "timeout_seconds",
    "backoff_seconds",
    "max_backoff_seconds",
    "max_attempts",
    "source_path",
    "command",
]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("comand", "command"),
        ("ocmmand", "command"),
        ("Command", "command"),
        ("max-attempts", "max_attempts"),
        ("attempts", "max_attempts"),
        ("timeout", "timeout_seconds"),
        ("timout_seconds", "timeout_seconds"),
        ("path", "source_path"),
        ("backoff", "backoff_seconds"),
        ("command_line", "command"),
        ("permissions", None),  # as like to `version` as a name with two typing errors
        ("delay_seconds", None),  # as like to three of them
        ("seconds", None),  # a part of three of them
        ("retries", None),
        ("", None),
    ],
)
def test_what_could_be_meant(word: str, meant: str | None) -> None:
    assert nearest(word, KEYS) == meant


def test_what_is_there_is_listed_and_not_suggested() -> None:
    assert did_you_mean("comand", KEYS) == "did you mean 'command'?"
    listed = did_you_mean("comand", KEYS, given=["command"])
    assert listed == f"known keys: {', '.join(sorted(KEYS))}"
