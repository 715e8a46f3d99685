"""`on_error` of `excel_read` and `file_convert`, through flows."""

import json
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from aetherflow.core.testing import FlowProject


@pytest.fixture
def flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlowProject:
    found = FlowProject(tmp_path / "project")
    monkeypatch.chdir(found.folder)
    found.write(f"version: 1\npaths: {{write: ['{found.folder}/out']}}\n", "aetherflow.yaml")
    made = openpyxl.Workbook()
    sheet = made.active
    assert sheet is not None
    for row in (["a", "b"], [1, 2], [3, 4]):
        sheet.append(row)
    for cell, text in (("A2", "#DIV/0!"), ("B3", "#N/A")):
        sheet[cell].value, sheet[cell].data_type = text, "e"
    made.save(found.folder / "book.xlsx")
    return found


def read(flows: FlowProject, **inputs: Any) -> Any:
    path = str(flows.folder / "book.xlsx")
    flows.flow({"id": "s", "type": "excel_read", "inputs": {"source_path": path, "output": "o.csv", **inputs}})
    return flows.run()


def convert(flows: FlowProject, **given: Any) -> Any:
    path = str(flows.folder / "book.xlsx")
    flows.flow({"id": "s", "type": "file_convert", "inputs": {"path": path, "output": "o.csv", "read": given}})
    return flows.run()


NULLS, TEXTS = "a,b\n,2\n3,\n", "a,b\n#DIV/0!,2\n3,#N/A\n"
WAYS = [({}, NULLS), ({"on_error": "null"}, NULLS), ({"on_error": None}, NULLS), ({"on_error": "text"}, TEXTS)]


@pytest.mark.parametrize(("given", "expected"), WAYS)
def test_error_cells_are_read_as_asked_for(flows: FlowProject, given: dict[str, Any], expected: str) -> None:
    done = read(flows, **given)
    assert done.error is None, done.error
    outputs = json.loads(json.dumps(dict(done["s"].outputs)))
    assert Path(outputs["output"]).read_text() == expected
    assert outputs["errors"] == {
        "a": {"count": 1, "first": "A2", "text": "#DIV/0!"},
        "b": {"count": 1, "first": "B3", "text": "#N/A"},
    }


@pytest.mark.parametrize(("given", "expected"), WAYS)
def test_error_cells_are_converted_as_asked_for(flows: FlowProject, given: dict[str, Any], expected: str) -> None:
    done = convert(flows, **given)
    assert done.error is None, done.error
    assert Path(done["s"].outputs["output"]).read_text() == expected


@pytest.mark.parametrize("way", [read, convert])
def test_error_cells_fail_the_step(flows: FlowProject, way: Any) -> None:
    done = way(flows, on_error="fail")
    message = str(done.error.message)
    assert "column 'a': 1, first #DIV/0! in A2" in message
    assert "column 'b': 1, first #N/A in B3" in message
    assert "on_error" in str(done.error.fix)


@pytest.mark.parametrize("way", [read, convert])
def test_another_word_is_refused(flows: FlowProject, way: Any) -> None:
    with pytest.raises(Exception, match="on_error"):
        way(flows, on_error="skip")
