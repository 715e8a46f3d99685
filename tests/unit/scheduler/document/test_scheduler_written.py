"""What a scheduler document hands over to its runs is what is written in it."""

from pathlib import Path

import pytest

from aetherflow.scheduler.document.reading import load_schedule, read_schedule
from aetherflow.scheduler.ledger.records import as_text

ODD = {"a": "007", "b": "1.10", "c": "0x1F", "d": "1e3", "e": "True", "f": "FALSE", "g": "0E0", "h": "true", "i": "7"}
FLOW = """\
version: 1
flow: {id: load, params: {text: {}, whole: {type: integer}, rate: {type: number}, list: {type: list, default: []}}}
jobs: []
"""


def write(folder: Path, text: str) -> Path:
    (folder / "flow.yaml").write_text(FLOW)
    path = folder / "scheduler.yaml"
    path.write_text(text)
    return path


def test_parameters_are_handed_over_as_they_are_written(tmp_path: Path) -> None:
    params = ", ".join(f"{name}: {text}" for name, text in ODD.items())
    text = (
        f"defaults: {{params: {{{params}}}}}\nitems:\n- {{id: x, flow: flow.yaml, cron: '@daily', params: {{z: -0}}}}\n"
    )
    (item,) = load_schedule(write(tmp_path, text)).items
    assert {name: as_text(value) for name, value in item.params.items()} == {**ODD, "z": "-0"}


@pytest.mark.parametrize("number", ["0x1F", "0o37", "031", "+31"])
def test_a_flow_reads_them_by_its_own_types(tmp_path: Path, number: str) -> None:
    from aetherflow.core.kernel.resolver.params import settle_params
    from aetherflow.core.kernel.yaml.flow import ParamSpec

    given = f"{{text: {number}, whole: {number}, rate: {number}, list: [{number}]}}"
    text = f"items:\n- {{id: x, flow: flow.yaml, cron: '@daily', params: {given}}}\n"
    read = read_schedule(write(tmp_path, text))
    assert read.schedule is not None, list(read.problems)
    types = {"text": "string", "whole": "integer", "rate": "number", "list": "list"}
    declared = {name: ParamSpec.model_validate({"type": kind}) for name, kind in types.items()}
    as_texts = {name: as_text(value) for name, value in read.schedule.items[0].params.items()}
    assert settle_params(declared, as_texts) == {"text": number, "whole": 31, "rate": 31.0, "list": [31]}


def test_an_id_that_looks_like_a_truth_value_is_one(tmp_path: Path) -> None:
    text = "items:\n- {id: True, flow: flow.yaml, cron: '@daily', params: {text: a, whole: 1, rate: 1}}\n"
    assert load_schedule(write(tmp_path, text)).items[0].id == "True"
