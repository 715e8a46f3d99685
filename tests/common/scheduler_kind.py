"""Helpers shared by the unit and the system tests of test_scheduler_kind.py."""

import pytest

from aetherflow.core.cli import main

FLOW = "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: []}}]}]\n"


GOOD = 'timezone: UTC\nitems: [{id: a, cron: "0 2 * * *", flow: flow.yaml}]\n'


def validate(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["validate", *arguments])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return code, captured.out + captured.err
