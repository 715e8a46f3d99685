"""What counts as one cause."""

import pytest

from aetherflow.core.runtime.sending.cause import cause


def of(message: str, *ids: str, event: str = "failed", code: str = "AF5101", step: str = "s") -> str:
    return cause(event, code, "a", step, message, *ids)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("row 17 of 2,300 is wrong", "row 9 of 12 is wrong"),
        ("/srv/f/a/run-1/artifacts/in.csv: no such file", "/srv/f/a/run-22/artifacts/in.csv: no such file"),
        ("timeout after 1.5 s at 2026-11-24T01:00:00Z", "timeout after 30 s at 2026-11-25T01:00:07+01:00"),
        ("upload 3f9c1a70e2 is refused", "upload 77ab01cc4f is refused"),
        ("key 5e1f8a8e-6b5e-4a0e-9d7a-0f1c2b3d4e5f is there", "key 0e1f8a8e-6b5e-4a0e-9d7a-0f1c2b3d4e50 is there"),
        ("temperature -3 is low", "temperature +12 is low"),
    ],
)
def test_numbers_are_no_difference(one: str, other: str) -> None:
    assert of(one) == of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("wrong password", "changed host key"),
        ("in.csv: no such file", "out.csv: no such file"),
        ("the server is dead", "the server is fed"),
    ],
)
def test_words_are(one: str, other: str) -> None:
    assert of(one) != of(other)


def test_so_are_event_code_and_step() -> None:
    assert len({of("x"), of("x", event="unknown"), of("x", code="AF5102"), of("x", step="t")}) == 4


def test_the_ids_of_the_run_are_left_out_as_words_only() -> None:
    assert of("run nightly-x failed", "nightly-x") == of("run nightly-y failed", "nightly-y")
    assert of("exit code of a program", "a") != of("exit code of  progrm", "a")
    assert of("exit code", "x") == of("exit code", "c"), "letters of words are no ids"
