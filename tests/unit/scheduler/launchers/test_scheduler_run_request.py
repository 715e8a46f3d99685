"""What a launcher gives the program: the parameters of a run arrive by stdin as they were arguments."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from aetherflow.core.kernel.yaml.loader import parse_document
from aetherflow.scheduler.launchers import RunRequest

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def request(*arguments: str) -> RunRequest:
    return RunRequest("i", "r", "2026-11-25T01:00:00Z", arguments, Path("/srv"), Path("/log"))


@given(st.dictionaries(TEXT.filter(lambda name: name and "=" not in name), TEXT, min_size=1, max_size=4))
def test_any_parameter_arrives(params: dict[str, str]) -> None:
    found = request("run", "f.yaml", *(part for each in params.items() for part in ("--param", "=".join(each))))
    assert found.shown_arguments == ("run", "f.yaml", "--param", "-")
    assert found.stdin is not None
    assert parse_document(found.stdin.decode(), "stdin").data == params


def test_arguments_without_parameters_stay() -> None:
    for arguments in (
        ("run", "--flow-yaml", "--param"),
        ("wrap", "--id", "i", "--", "tool", "--param", "a=b"),
        (),
    ):
        found = request(*arguments)
        assert (found.shown_arguments, found.stdin) == (arguments, None)
