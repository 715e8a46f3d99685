"""What `validate` refuses by its models the schema refuses, what `validate` accepts the schema accepts.

Known differences, each asserted to be one: the schema refuses `true` where a number or an id is meant, and a list with
a template in place of a single value; `validate` finds what only code of a model can tell.
"""

import copy
import importlib.util
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator as AnyNumbers
from jsonschema_rs import Draft202012Validator

from aetherflow.core.base.problems import Problem
from aetherflow.core.checks.schema.write import schema_for
from aetherflow.core.contracts.written import plain
from aetherflow.core.host.catalog import installed_catalog
from aetherflow.core.kernel.yaml.loader import Document, parse_document
from aetherflow.core.kernel.yaml.source_map import SourceMap
from aetherflow.core.runtime.environment.snapshot import Snapshot, build_snapshot

CHECKS = Path(__file__).parents[1]
BY_SCHEMA = {"AF1101", "AF1102", "AF1103", "AF1104", "AF1206", "AF2101"}
BY_CODE = {"schema:value_error", "semantic:external_process_log_file", "semantic:inputs", "semantic:setting"}
TEMPLATE = "{{env.HOME}}"
STRIDE = 4 if os.environ.get("AETHERFLOW_TORTURE_TIER", "T0") == "T0" else 1
"""Each so many-th mutation is tried; no divisor of the number of values, so that every kind of value has its turn."""
VALUES = [
    *(7, -1, 0, 1.5, "x", "7", "0", "-7", "yes", "a b", True, False, None),
    *([], {}, [7], ["x"], {"a": 1}, TEMPLATE, [TEMPLATE]),
]


def _module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"schema_uses_{name}", CHECKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


typos = _module("test_core_typos")
sample = _module("test_core_validate")


@cache
def schema(kind: str) -> dict[str, Any]:
    return schema_for(kind, installed_catalog()).document


@cache
def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(schema(kind))


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    ambient = {"HOME": "/x", "AETHERFLOW_PROFILES_JSON": typos.PROFILES}
    return build_snapshot(tmp_path_factory.mktemp("schema"), ambient=ambient, config=None)


def judged(kind: str, document: Document, snapshot: Snapshot) -> tuple[list[Problem], bool]:
    """What `validate` finds that a schema could find, and whether the schema refuses."""
    found = [each for each in typos.problems_of(kind, document, snapshot) if each.af in BY_SCHEMA]
    return found, not validator(kind).is_valid(document.data)


def documents() -> Iterator[tuple[str, Any]]:
    yield "flow", copy.deepcopy(sample.SAMPLE)
    for kind, text in typos.DOCUMENTS.items():
        yield kind, plain(parse_document(text, "x.yaml").data)


def written(data: Any) -> Document:
    """The document of these data as JSON, which is not parsed again: all is on its first line."""
    source = SourceMap("x.yaml")
    source.words = {path: "null" for path, value in typos.walk(data) if value is None and type(path[-1]) is int}
    return Document("x.yaml", data, source, json.dumps(data))


@pytest.mark.parametrize(("kind", "data"), list(documents()))
def test_the_documents_are_good(kind: str, data: Any, snapshot: Snapshot) -> None:
    assert judged(kind, written(data), snapshot) == ([], False)


def test_misspelt_keys_and_choices_are_refused(snapshot: Snapshot) -> None:
    slips = []
    for kind, data in documents():
        for find in (typos.key_slips, typos.choice_slips):
            slips += [(kind, slip) for slip in find(data, random.Random(7))]
    for path, model in sample.MODELS.items():
        for key in model.model_fields:
            for wrong in set(sample.misspellings(key)) - sample.known_keys(model):
                data = typos.with_key(sample.SAMPLE, (*path, key), wrong)
                slips.append(("flow", typos.Slip(key, wrong, (*path, wrong), True, data)))
    refused = 0
    for kind, slip in slips[:: STRIDE - 1 or 1]:
        found, by_schema = judged(kind, written(slip.data), snapshot)
        assert bool(found) == by_schema, (slip.path, slip.wrong, found)
        refused += by_schema
    assert refused > 300


def test_values_of_every_kind_in_every_place(snapshot: Snapshot) -> None:
    count: Counter[str] = Counter()
    for kind, data in documents():
        for path, value, change in islice(changes(data), 0, None, STRIDE):
            found, by_schema = judged(kind, written(change()), snapshot)
            what = (path, value, [each.message for each in found])
            if bool(found) == by_schema:
                count["refused" if by_schema else "accepted"] += 1
            elif by_schema:
                assert isinstance(value, bool) or value == [TEMPLATE], what
                count["stricter"] += 1
            else:
                assert {each.code for each in found} <= BY_CODE, what
                count["code only"] += 1
    assert count["refused"] > 3_000 / STRIDE
    assert count["accepted"] > 1_000 / STRIDE
    assert count["stricter"] < 0.04 * count.total()
    assert count["code only"] < 0.01 * count.total()


def changes(data: Any) -> Iterator[tuple[Any, Any, Callable[[], Any]]]:
    for path, _ in typos.walk(data):
        if not path:
            continue
        for value in VALUES:
            yield path, value, partial(typos.with_value, data, path, value)
        yield path, "(removed)", partial(without, data, path)


def without(data: Any, path: Any) -> Any:
    owner = copy.copy(typos.at_path(data, path[:-1]))
    del owner[path[-1]]
    return typos.with_value(data, path[:-1], owner)


@pytest.mark.parametrize("written", ["1.10", "007", "-0", "1e3", "0x1F", ".inf", "True", "null", "~", "2026-01-01"])
def test_what_is_written_in_text_fields(written: str, snapshot: Snapshot) -> None:
    key = "x" if written in ("null", "~") else written  # after a key a null is a value that is missing
    step = f"{{id: s, type: external.process, inputs: {{command: [a, {written}], env: {{A: {key}}}}}}}"
    text = f"flow: {{id: f, description: {key}}}\njobs: [{{id: a, description: {key}, steps: [{step}]}}]\n"
    document = parse_document(text, "x.yaml")
    assert [each.message for each in typos.problems_of("flow", document, snapshot)] == []
    assert AnyNumbers(schema("flow")).is_valid(document.data)  # the quick one knows no numbers that keep their text


# Random flows that `validate` accepts

TEMPLATES = st.sampled_from([TEMPLATE, "{{ params.x }}", "a{{env.HOME:b c}}d", "{{run.id}}\n{{env.HOME}}"])
WORDS = st.text("abcXYZ019_-. \n:#", max_size=8)
PLAIN = WORDS | TEMPLATES
FLAGS = st.booleans() | st.sampled_from(["true", "FALSE", "Yes", " no ", "on", "off", "1", "0", 1, 0]) | TEMPLATES
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | PLAIN,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
)


def numbers(least: float, *, whole: bool = False, templates: bool = True) -> st.SearchStrategy[Any]:
    found = st.integers(int(least), 1_000)
    texts = found.map(str) | found.map("+{}".format) | found.map(" {}.0 ".format)
    if not whole:
        texts |= found.map("{}e0".format) | found.map("{}.".format)
        return found | st.floats(least, 1_000) | texts | (TEMPLATES if templates else st.nothing())
    return found | texts | (TEMPLATES if templates else st.nothing())


def maps(required: dict[str, Any] | None = None, **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required or {}, optional=optional)


def one_of_two(first: str, second: str, value: st.SearchStrategy[Any], rest: Any) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda key, value, rest: {**rest, **({key: value} if key else {})},
        st.sampled_from([first, second, ""]),
        value,
        rest,
    )


ARGUMENTS = st.lists(PLAIN | st.integers(0, 9) | st.floats(0, 9), min_size=1, max_size=3)
WHOLE = numbers(0, whole=True)
COUNT = numbers(1, whole=True)
NAMES = st.lists(PLAIN, max_size=2)
LOG = maps(stdout=st.sampled_from(["inherit", "capture", "discard", TEMPLATE]), max_capture_kb=COUNT)
CODES = maps(exit_codes=WHOLE | st.lists(WHOLE, max_size=2))
SUCCESS = one_of_two("require_files", "required_files", NAMES | PLAIN, CODES)
RETRY = one_of_two("backoff_seconds", "sleep_seconds", numbers(0), maps(max_attempts=COUNT, retry_on_timeout=FLAGS))
PROCESS = st.builds(
    lambda key, command, rest: {key: command, **rest},
    st.sampled_from(["command", "cmd"]),
    ARGUMENTS | st.sampled_from(["ls", TEMPLATE]) | st.integers(0, 9),
    maps(
        args=ARGUMENTS | TEMPLATES,
        inherit_env=FLAGS,
        cwd=st.none() | PLAIN,
        env=st.dictionaries(WORDS, st.none() | PLAIN | st.integers(0, 9), max_size=2) | TEMPLATES,
        timeout_seconds=st.none() | numbers(1),
        kill_grace_seconds=numbers(0),
        log=LOG | TEMPLATES,
        success=SUCCESS | TEMPLATES,
        retry=RETRY | TEMPLATES,
        outputs=st.dictionaries(st.sampled_from(["a", "b"]), ANY, max_size=2) | TEMPLATES,
    ),
)
ITEMS = maps({"items": st.lists(ANY, max_size=3) | st.sampled_from(["a, b", "[1]", TEMPLATE])}, min_count=WHOLE)
FETCH = maps(
    {"resource": st.sampled_from(["r", TEMPLATE]), "sql": PLAIN},
    params=st.none() | st.dictionaries(WORDS, ANY, max_size=2) | TEMPLATES,
    fetch_size=COUNT,
    on_empty=st.sampled_from(["skip", "ok", None, TEMPLATE]),
)
KINDS = {"external.process": PROCESS, "check_items": ITEMS, "db_fetch_small": FETCH}
CALLS = st.one_of([maps({"type": st.just(name), "inputs": inputs}) for name, inputs in KINDS.items()])
LOCKED = maps(
    {
        "type": st.just("with_lock"),
        "inputs": maps(
            {"lock_key": st.sampled_from(["k", TEMPLATE]), "step": CALLS | TEMPLATES}, ttl_seconds=numbers(1)
        ),
    }
)
BARE = {"templates": False}
SETTINGS = maps(
    description=st.none() | PLAIN,
    outputs=st.dictionaries(st.sampled_from(["x", "y"]), ANY, max_size=2),
    for_each=st.none() | st.lists(ANY, max_size=2) | TEMPLATES,
    retry=st.none() | maps(max_attempts=numbers(1, whole=True, **BARE), backoff_multiplier=numbers(1, **BARE)),
    timeout_seconds=st.none() | numbers(1, **BARE),
    on_no_data=st.none() | st.just("skip_job"),
)
STEPS = st.lists(st.builds(lambda call, settings: {**call, **settings}, CALLS | LOCKED, SETTINGS), max_size=2)
RESOURCES: st.SearchStrategy[dict[str, Any]] = st.just({}) | maps(
    {"kind": st.just("db"), "driver": st.just("sqlite3")},
    config=maps(
        path=st.none() | st.sampled_from(["x.db", TEMPLATE]), read_only=st.sampled_from([False, "no", 0, TEMPLATE])
    ),
    options=maps(busy_timeout_seconds=numbers(0), pragmas=st.dictionaries(st.sampled_from(["a", "b.c"]), numbers(0))),
    profile=st.none() | st.just("production"),
)
FLOWS = st.builds(
    lambda steps, resource, flow, version: {
        **version,
        "flow": {"id": "f", **flow},
        "resources": {"r": resource or {"kind": "db", "driver": "sqlite3"}},
        "jobs": [{"id": "a", "steps": [{"id": f"s{n}", **step} for n, step in enumerate(steps)]}],
    },
    STEPS,
    RESOURCES,
    maps(
        description=st.none() | PLAIN,
        locks=maps(ttl_seconds=numbers(1, whole=True, **BARE), wait_seconds=numbers(0, **BARE)),
        workspace=maps(cleanup_policy=st.sampled_from(["always", "never"]), layout=st.just({"scratch": TEMPLATE})),
        params=st.just({}) | st.just({"x": {"type": "string", "default": "a"}}),
    ),
    maps(version=st.just(1)),
)


@given(data=FLOWS)
def test_random_flows_are_accepted_by_both(data: Any, snapshot: Snapshot) -> None:
    found, by_schema = judged("flow", parse_document(json.dumps(data), "x.yaml"), snapshot)
    assert {each.code for each in found} <= BY_CODE, [each.message for each in found]
    assert not by_schema, [each.message for each in validator("flow").iter_errors(data)]
