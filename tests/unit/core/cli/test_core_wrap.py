"""A wrapped command line: what it prints, what is remembered, that nothing of it is left behind."""

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from core_project import Project


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--", "true"), "no --id is given"),
        (("--id", "x"), "no command is given"),
        (("--id", "../x", "--", "true"), "is not an id"),
        (("--id", "x", "--if-busy", "perhaps", "--", "true"), "--if-busy 'perhaps' is not known"),
        (("--id", "x", "--no-lock", "--lock", "k", "--", "true"), "--no-lock excludes --lock"),
        (("--id", "x", "--", os.fsdecode(b"\xff")), "not UTF-8"),
        (("--id", "x", "--nonsense", "--", "true"), "No such option"),
    ],
)
def test_what_cannot_be(project: "Project", arguments: tuple[str, ...], told: str) -> None:
    found = project.cli("wrap", *arguments)
    assert found.code == 2
    assert told in found.err
    assert not (project.states / "x.sqlite").exists()
