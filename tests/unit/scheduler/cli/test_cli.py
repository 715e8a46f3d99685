import sys
from importlib.metadata import version

import pytest

from aetherflow.scheduler.cli import main


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"aetherflow-scheduler {version('aetherflow-scheduler')}\n"


def test_only_none_falls_back_to_the_process_arguments(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["aetherflow-scheduler", "--version"])
    assert main() == 0
    assert "1." in capsys.readouterr().out
    assert main([]) == 2
    assert "Usage: aetherflow-scheduler" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--nope"], ["flow.yaml"]])
def test_bad_usage_is_two_without_a_traceback(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Error: " in captured.err
    assert "Traceback" not in captured.err
