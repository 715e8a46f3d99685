"""`aetherflow schema`: what it writes, and what an editor makes of it."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from core_schema import _ACME, ACME, ENTRIES, write
from jsonschema import Draft7Validator, Draft202012Validator

from aetherflow.core.checks.kinds import KINDS
from aetherflow.core.checks.schema.write import SCHEMAS
from warm import true_start

if TYPE_CHECKING:
    from core_project import Project


@pytest.fixture
def acme(project: "Project") -> dict[str, Any]:
    if not _ACME:
        project.plugin("acme", ENTRIES)
        project.module("acme", ACME)
        _ACME.update(write(project, "flow"))
    return _ACME


def is_valid(schema: dict[str, Any], inputs: Any, type_: str = "acme") -> bool:
    step = {"id": "s", "type": type_, "inputs": inputs}
    flow = {"flow": {"id": "f"}, "jobs": [{"id": "a", "steps": [step]}]}
    return Draft202012Validator(schema).is_valid(flow)


def test_every_kind_of_document_has_a_schema(project: "Project") -> None:
    assert SCHEMAS.keys() == KINDS.keys()
    for kind in KINDS:
        document = write(project, kind)
        assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert document["title"].startswith("AetherFlow ")
        assert '"$id"' not in json.dumps(document)


def test_it_is_the_same_text_every_time(project: "Project") -> None:
    project.plugin("acme", ENTRIES)
    project.module("acme", ACME)
    hashed = true_start("the order of sets is drawn when an interpreter starts")
    texts = {project.command("schema", "flow", env={"PYTHONHASHSEED": seed}, by=hashed).out for seed in ("1", "2", "3")}
    assert len(texts) == 1
    text = texts.pop()
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def test_names_come_with_their_description(acme: dict[str, Any]) -> None:
    types = {each["const"]: each for each in acme["$defs"]["step_type"]["anyOf"]}
    assert types["acme"]["description"] == "Do what Acme does."
    assert {"check_items", "external.process", "with_lock", "old.step"} <= types.keys()
    assert {"box", "db", "mail"} <= set(acme["$defs"]["ResourceSpec"]["properties"]["kind"]["enum"])
    inputs = acme["$defs"]["step.acme"]
    assert inputs["description"] == "Do what Acme does.\n\nMore about it."
    assert inputs["examples"] == [{"colour": "blue"}]
    colour = inputs["properties"]["colour"]
    assert (colour["description"], colour["default"], colour["examples"]) == ("Of the thing", "red", ["blue"])
    assert {"enum": ["red", "blue"], "type": "string"} in [colour["anyOf"][0], acme["$defs"]["step.acme.Colour"]]
    assert inputs["properties"]["tags"]["default"] == ["a", "b", "c"]
    share = inputs["properties"]["share"]
    assert share["description"] == "The same as `rate`. A share"
    assert share["doNotSuggest"] is True


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"colour": "blue", "size": 2, "day": "2026-11-24"},
        {"day": 1_700_000_000},
        {"tree": {"name": "a", "more": [{"name": "b", "more": []}, "{{params.node}}"]}},
        {"tree": "{{params.tree}}"},
        {"place": {"x": 5}},
        {"place": {"x": "5"}},
        {"place": "text"},
        {"pair": [1, "2"]},
        {"pair": ["{{params.pair}}"]},
        {"tags": ["a", "a"]},
        {"rate": "0.5"},
        {"share": "{{params.rate}}"},
        {"plain": "off"},
        {"code": "{{env.CODE}}"},
        {"colour": "{{env.COLOUR:red}}"},
        {"size": "{{ params.size }}"},
        {"weird": [{"a": None}], "call": 7},
    ],
)
def test_what_a_plugins_model_takes(acme: dict[str, Any], inputs: dict[str, Any]) -> None:
    assert is_valid(acme, inputs)


@pytest.mark.parametrize(
    "inputs",
    [
        {"color": "blue"},
        {"colour": "green"},
        {"size": 3},
        {"size": "1"},
        {"tree": {"nme": "a"}},
        {"tree": {"name": "a", "more": [{"name": [5]}]}},
        {"place": {"y": 5}},
        {"place": {"x": -1}},
        {"place": {"x": "{{ bad"}},
        {"pair": [1]},
        {"pair": [1, 2, 3]},
        {"rate": 2},
        {"rate": "-0.5"},
        {"rate": 0.1, "share": 0.1},
        {"plain": "perhaps"},
        {"code": "ab"},
        "{{params.inputs}}",
    ],
)
def test_what_a_plugins_model_refuses(acme: dict[str, Any], inputs: Any) -> None:
    assert not is_valid(acme, inputs)


def test_steps_without_models(acme: dict[str, Any]) -> None:
    assert is_valid(acme, {"what": 1, "more": 2}, "old.step")
    assert not is_valid(acme, {"more": 2}, "old.step")
    assert is_valid(acme, {"anything": 1}, "no_schema")


def test_inner_steps_are_steps(acme: dict[str, Any]) -> None:
    def locked(step: Any) -> bool:
        return is_valid(acme, {"lock_key": "k", "step": step}, "with_lock")

    inner = {"type": "acme", "inputs": {"size": 2}}
    assert locked(inner)
    assert locked("{{params.step}}")
    assert locked({"type": "acme", "inputs": "{{params.inputs}}"})
    assert locked({"type": "with_lock", "inputs": {"lock_key": "l", "step": inner}})
    assert not locked({"type": "acme", "inputs": {"sice": 2}})
    assert not locked({"type": "acmee"})
    assert not locked({"type": "old.step"})
    assert not locked({"type": "with_lock", "inputs": {"lock_key": "l", "step": {"type": "acmee"}}})


def test_verify_is_a_step(acme: dict[str, Any]) -> None:
    def verified(verify: Any) -> bool:
        step = {"id": "s", "type": "acme", "effect": "once", "verify": verify}
        flow = {"flow": {"id": "f"}, "jobs": [{"id": "a", "steps": [step]}]}
        return Draft202012Validator(acme).is_valid(flow)

    assert verified({"type": "check_items", "inputs": {"items": "a,b"}})
    assert not verified({"type": "check_items", "inputs": {"itms": []}})
    assert not verified({"type": "check_items"})
    assert not verified({"type": "nothing"})


@pytest.mark.parametrize(
    ("resource", "good"),
    [
        ({"kind": "box", "driver": "acme", "config": {"host": "h"}}, True),
        ({"kind": "box", "driver": "acme", "config": {"host": "h", "tls": "{{env.TLS}}"}}, True),
        ({"kind": "box", "driver": "acme", "config": {"host": "h"}, "options": {"seconds": "2.5"}}, True),
        ({"kind": "box", "driver": "acme"}, False),
        ({"kind": "box", "driver": "acme", "config": {}}, False),
        ({"kind": "box", "driver": "acme", "profile": None}, False),
        ({"kind": "box", "driver": "acme", "profile": "p"}, True),
        ({"kind": "box", "driver": "acme", "profile": "p", "config": {"tls": False}}, True),
        ({"kind": "box", "driver": "acme", "profile": "p", "config": {"tsl": False}}, False),
        ({"kind": "box", "driver": "acme", "config": {"host": "h", "tls": "maybe"}}, False),
        ({"kind": "box", "driver": "acme", "config": {"host": "h"}, "options": {"seconds": 0}}, False),
        ({"kind": "box", "driver": "sqlite3"}, False),
        ({"kind": "bx", "driver": "acme"}, False),
        ({"kind": "db", "driver": "sqlite3"}, True),
        ({"kind": "db", "driver": "acme"}, False),
        ({"kind": "db", "driver": "sqlite3", "config": {"path": "x", "pth": "x"}}, False),
        ({"kind": "db", "driver": "sqlite3", "options": {"pragmas": {"a b": 1}}}, False),
    ],
)
def test_resources(acme: dict[str, Any], resource: dict[str, Any], good: bool) -> None:
    flow = {"flow": {"id": "f"}, "resources": {"r": resource}, "jobs": []}
    assert Draft202012Validator(acme).is_valid(flow) is good


def test_plugins_that_cannot_be_used_are_left_out_with_a_note(project: "Project") -> None:
    project.plugin("acme", "[aetherflow.steps]\nacme = acme:Acme\nbroken = nowhere:A\nno_schema = acme:NoSchema\n")
    project.plugin("rival", "[aetherflow.steps]\nacme = rival:Acme\n[aetherflow.connectors]\nbox.x = nowhere:B\n")
    project.module("acme", ACME)
    result = project.command("schema", "flow")
    assert result.code == 0
    notes = result.err.splitlines()
    assert [note.partition(" is left out: ")[0] for note in notes if "left out" in note] == [
        "note: step 'acme'", "note: step 'broken'", "note: connector 'box:x'",
    ]  # fmt: skip
    assert "note: the inputs of step 'no_schema' are not described: LookupError: no schema" in notes
    assert [note.split()[6] for note in notes if "left out" in note] == ["AF2103", "AF2102", "AF2102"]
    document = json.loads(result.out)
    types = [each["const"] for each in document["$defs"]["step_type"]["anyOf"]]
    assert "no_schema" in types
    assert not {"acme", "broken"} & set(types)
    project.write("plugins: {prefer: {steps.acme: acme}}", "aetherflow.yaml").chmod(0o600)
    assert '"acme"' in project.command("schema", "flow").out
    project.write("policy: {mode: enterprise}", "strict.yaml").chmod(0o600)
    result = project.command("schema", "flow", "--config", "strict.yaml")
    assert "AF2104" in result.err
    assert '"no_schema"' not in result.out


def test_folder_plugins_are_described_when_they_may_run(project: "Project") -> None:
    (project.folder / "plugins").mkdir()
    project.write(
        """\
        from aetherflow.core.api import Step, register_step

        @register_step("shout")
        class Shout(Step):
            required_inputs = {"text"}
            def run(self): pass
        """,
        "plugins/shout.py",
    )
    project.write("plugins: {paths: [plugins]}", "aetherflow.yaml").chmod(0o600)
    result = project.command("schema", "flow")
    assert '"shout"' not in result.out
    assert result.err.endswith("plugins is not loaded; --run-hooks does it\n")
    result = project.command("schema", "flow", "--run-hooks")
    assert (result.code, result.err) == (0, "")
    schema = json.loads(result.out)
    assert is_valid(schema, {"text": "hello"}, "shout")
    assert not is_valid(schema, {}, "shout")


def test_editors_that_know_draft_7_only_read_the_same(acme: dict[str, Any]) -> None:
    Draft7Validator.check_schema(acme)
    notes = {"$ref", "description", "default", "examples", "doNotSuggest"}
    beside = [each.keys() - notes for each in maps_in(acme) if isinstance(each.get("$ref"), str)]
    assert len(beside) > 100
    assert not any(beside), "draft 7 ignores what stands beside a reference"


def maps_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from maps_in(each)


def test_no_other_command_imports_it(project: "Project") -> None:
    project.flow("jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n")
    for command in (["validate", "flow.yaml"], ["run", "flow.yaml"], ["--help"]):
        out = project.python(
            f"""
            import sys
            from aetherflow.core.cli import main
            code = main({command!r})
            print(code, [name for name in sys.modules if name.startswith("aetherflow.core.checks.schema")])
            """
        )
        assert out.splitlines()[-1] == "0 []"
