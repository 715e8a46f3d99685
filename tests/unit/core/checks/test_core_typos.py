"""A thousand and more slips of the pen: every key, choice and reference of good documents misspelt once."""

import copy
import os
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from misspelt import in_block_style, misspelt

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.location import DocPath
from aetherflow.core.base.problems import Problem, Problems
from aetherflow.core.checks.report import check_flow_document
from aetherflow.core.host.catalog import installed_catalog
from aetherflow.core.kernel.resolver.template import parse_template
from aetherflow.core.kernel.resolver.when import parse_when, paths_of
from aetherflow.core.kernel.yaml.binder import bind
from aetherflow.core.kernel.yaml.loader import Document, parse_document
from aetherflow.core.runtime.environment.profiles import bind_profiles
from aetherflow.core.runtime.environment.snapshot import Snapshot, build_snapshot
from aetherflow.core.runtime.environment.spec.project_file import ProjectFileSpec

SEED = 20261124
ROUNDS = 1 if os.environ.get("AETHERFLOW_TORTURE_TIER", "T0") == "T0" else 5
FLOW = """\
version: 1
flow:
  id: orders
  description: "of {{params.country}} on {{run.date.iso}}"
  workspace:
    root: "w/{{params.country}}"
    cleanup_policy: on_success
    layout: {artifacts: a, scratch: s, manifests: m}
  state: {backend: sqlite, path: state.sqlite}
  params:
    country: {type: string, default: DE, description: text}
    least: {type: integer, default: 1}
    since: {type: datetime, default: null}
  data_date: {timezone: UTC, shift: -1bd, calendar: null}
  on_failure: continue
  locks: {scope: none, ttl_seconds: 60}
resources:
  warehouse:
    kind: db
    driver: sqlite3
    profile: production
    config: {path: "{{params.country}}.db"}
    options: {}
    decode: {config: {path: false}}
jobs:
  - id: extract
    description: text
    depends_on: []
    steps:
      - id: fetch
        type: external.process
        description: text
        inputs:
          command: [cat, "{{params.country}}", "{{run.data_date.compact}}"]
          args: ["{{run.id}}"]
          shell: false
          cwd: .
          inherit_env: true
          env: {COUNTRY: "{{params.country}}"}
          kill_grace_seconds: 1
          log: {stdout: capture, stderr: discard, file_path: x.log, max_capture_kb: 8}
          success: {exit_codes: [0], require_files: []}
          outputs: {}
        outputs: {code: "{{result.exit_code}}", text: "{{result.stdout}}"}
        for_each: null
        retry:
          {max_attempts: 3, backoff_seconds: 1, backoff_multiplier: 2, max_backoff_seconds: 9, max_elapsed_seconds: 60}
        timeout_seconds: 5
        effect: once
        verify: {type: check_items, inputs: {items: ["{{params.country}}"]}}
        on_no_data: skip_job
      - id: count
        type: db_fetch_small
        inputs:
          resource: warehouse
          sql: SELECT 1
          params: {text: "{{steps.fetch.stdout}}", code: "{{steps.fetch.exit_code}}", own: "{{job.outputs.code}}"}
        outputs: {number: "{{result.rows}}"}
  - id: report
    depends_on: [extract]
    when: jobs.extract.outputs.number > 0 and jobs.extract.status == "SUCCESS" and params.least > 0
    steps:
      - id: look
        type: check_items
        inputs: {items: ["{{jobs.extract.outputs.code}}", "{{jobs.extract.status}}", "{{job.id}}"], min_count: 1}
      - id: each
        type: check_items
        for_each: ["{{steps.look.count}}"]
        inputs: {items: ["{{item}}"]}
"""
PROFILES = """\
production: {config: {path: "{{env.HOME}}"}, options: {}, decode: {config: {path: false}}}
"""
PROJECT = """\
version: 1
roots: {work: w, state: s}
log: {level: INFO, format: text}
env_files:
  - {type: dotenv, path: .env, optional: true, prefix: P_}
  - {type: json, path: x.json, optional: true}
profiles_file: profiles.yaml
plugins: {paths: [p], prefer: {}, allow: []}
policy: {mode: internal_fast, strict_sandbox: true, zip_drivers: [pyzipper], child_env: []}
limits: {flow_bytes: 1000, flow_nodes: 1000}
paths: {read: [], write: []}
secrets: {module: m, path: p, add: [], ignore: []}
timezone: UTC
retention: {runs: 90d, logs: 30d, failed_workspaces: 7d, slots: 400d}
notify:
  - {events: [failed], to: a, format: slack, flows: [x], min_failures: 2, quiet: "22:00-06:00", repeat: 12h}
  - {to: b, recipients: [a@example.com], digest: "07:00", attach: log}
"""
FREE = {"params", "env", "resources", "prefer", "items"}
"""Maps whose keys are names that the author chooses; `outputs` and `inputs` of them are looked at below."""
CHOICES = {
    "cleanup_policy", "backend", "type", "on_failure", "scope", "kind", "driver", "stdout", "stderr", "effect",
    "on_no_data", "level", "format", "mode", "attach",
}  # fmt: skip


class Slip(NamedTuple):
    """One document with one mistake: the original word, the wrong one, where it stands, the mistaken document."""

    word: str
    wrong: str
    path: DocPath
    is_key: bool
    data: Any


def misspellings(word: str, random_: random.Random) -> list[str]:
    """A letter missing, doubled, swapped, strange or added; another case; a dash for an underscore."""
    at = random_.randrange(max(1, len(word) - 1))
    found = [word[:at] + word[at] + word[at:], word + random_.choice("sxe"), word.upper()]
    if len(word) > 3:
        inner = random_.randrange(1, len(word) - 1)
        found += [
            word[:inner] + word[inner + 1 :],
            word[:inner] + word[inner + 1] + word[inner] + word[inner + 2 :],
            word[:inner] + random_.choice("kqz") + word[inner + 1 :],
        ]
    if "_" in word:
        found += [word.replace("_", ""), word.replace("_", "-")]
    return [slip for slip in dict.fromkeys(found) if slip != word]


def walk(value: Any, path: DocPath = ()) -> Iterator[tuple[DocPath, Any]]:
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from walk(item, (*path, key))


def at_path(data: Any, path: DocPath) -> Any:
    for part in path:
        data = data[part]
    return data


def with_value(data: Any, path: DocPath, new: Any) -> Any:
    """A copy of what is on the way to the value; the rest is shared with `data`."""
    if not path:
        return new
    changed = copy.copy(data)
    changed[path[0]] = with_value(data[path[0]], path[1:], new)
    return changed


def with_key(data: Any, path: DocPath, new: str) -> Any:
    owner = at_path(data, path[:-1])
    return with_value(data, path[:-1], {new if key == path[-1] else key: value for key, value in owner.items()})


def is_name(path: DocPath) -> bool:
    """True for a key that the author chooses, so that another one is no mistake where it stands."""
    if len(path) < 2:
        return path[0] not in ("version", "flow", "resources", "jobs") and len(path) == 1 and path[0] == "production"
    owner = path[-2]
    promoted = owner == "outputs" and isinstance(path[-3], int)
    decoded = "decode" in path[:-1]
    return owner in FREE or path[:2] == ("production", "config") or promoted or decoded


def key_slips(data: Any, random_: random.Random) -> Iterator[Slip]:
    for path, _ in walk(data):
        if path and isinstance(path[-1], str) and not is_name(path):
            siblings = at_path(data, path[:-1])
            for wrong in misspellings(path[-1], random_):
                if wrong not in siblings:
                    yield Slip(path[-1], wrong, (*path[:-1], wrong), True, with_key(data, path, wrong))


def choice_slips(data: Any, random_: random.Random) -> Iterator[Slip]:
    for path, value in walk(data):
        named = path and (path[-1] in CHOICES or path[-1] in ("resource", "profile") or path[-2:-1] == ("depends_on",))
        if named and isinstance(value, str):
            for wrong in misspellings(value, random_):
                if path[-1] in ("level", "type") and wrong.lower() == value.lower():
                    continue  # these may be written in any case
                yield Slip(value, wrong, path, False, with_value(data, path, wrong))


def words_in(path: DocPath, text: str) -> Iterator[tuple[str, int]]:
    """The words of the references in a text, each with its offset."""
    if path[-1] == "when":
        found = paths_of(parse_when(text))
    elif "{{" in text:
        found = [(token.path, token.offset + 2) for token in parse_template(text).tokens]
    else:
        return
    for names, offset in found:
        for index, name in enumerate(names):
            if names[0] != "env":
                yield name, offset + sum(len(earlier) + 1 for earlier in names[:index])


def reference_slips(data: Any, random_: random.Random) -> Iterator[Slip]:
    for path, value in walk(data):
        if not path or not isinstance(value, str):
            continue
        for word, offset in words_in(path, value):
            for wrong in misspellings(word, random_):
                if "-" in wrong:
                    continue  # a syntax error, which has tests of its own
                text = value[:offset] + wrong + value[offset + len(word) :]
                yield Slip(word, wrong, path, False, with_value(data, path, text))


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    folder = tmp_path_factory.mktemp("typos")
    return build_snapshot(folder, ambient={"HOME": "/x", "AETHERFLOW_PROFILES_JSON": PROFILES}, config=None)


def problems_of(kind: str, document: Document, snapshot: Snapshot) -> list[Problem]:
    if kind == "flow":
        return check_flow_document(document, snapshot, Problems(), installed_catalog()).problems.errors
    if kind == "project":
        return bind(ProjectFileSpec, document.data, document.source)[1]
    try:
        bind_profiles(document)
    except SpecError as error:
        return error.problems
    return []


DOCUMENTS = {"flow": FLOW, "profiles": PROFILES, "project": PROJECT}


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_the_documents_are_good(kind: str, snapshot: Snapshot) -> None:
    assert problems_of(kind, parse_document(DOCUMENTS[kind], "x.yaml"), snapshot) == []


def written(slip: Slip, good: Document) -> str:
    """The text of a good document with the slip in it."""
    if slip.is_key:
        return misspelt(good, good.source.key((*slip.path[:-1], slip.word)), slip.word, slip.wrong)
    return misspelt(good, good.source.value(slip.path), at_path(good.data, slip.path), at_path(slip.data, slip.path))


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_a_thousand_typos_are_caught_at_their_line_with_the_right_suggestion(snapshot: Snapshot, seed: int) -> None:
    random_ = random.Random(seed)
    total, missed, unhelpful = 0, [], []
    for kind, text in DOCUMENTS.items():
        good = in_block_style(parse_document(text, "x.yaml").data)
        for slips in (key_slips, choice_slips, reference_slips):
            for slip in slips(good.data, random_):
                total += 1
                document = parse_document(written(slip, good), "x.yaml")
                assert document.data == slip.data
                source = document.source
                line = (source.key(slip.path) if slip.is_key else source.value(slip.path)).line
                here = [item for item in problems_of(kind, document, snapshot) if item.location.line == line]
                if not here:
                    missed.append((kind, slip.path, slip.wrong))
                elif not any(
                    repr(slip.word) in item.fix or f":{slip.word}'" in item.fix or f"'{slip.word}:" in item.fix
                    for item in here
                ):
                    unhelpful.append((kind, slip.path, slip.word, slip.wrong, [item.fix for item in here]))
    assert missed == []
    assert total >= 1_000
    assert len(unhelpful) <= 0.05 * total, unhelpful
