"""The definition of a step, as a text and its hash: a finished step whose hash differs now has changed.

A definition contains the step's own keys, the resources that it names with their profiles, the parameters and
environment variables that it reads, the `result_version` of its class, the code of a folder plugin, and the hashes of
the steps that it refers to. Secrets are masked before the text is hashed. The version of an installed distribution is
not part of it, so that a failed run can be resumed after an update.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from aetherflow.core.base.location import DocPath
from aetherflow.core.base.redact import MASK, Redactor
from aetherflow.core.base.secret_names import is_secret_name
from aetherflow.core.contracts.running import PluginFacts
from aetherflow.core.contracts.written import WRITTEN, WrittenTexts, plain, value_at, with_texts
from aetherflow.core.kernel.resolver.template import parse_template
from aetherflow.core.kernel.resolver.when import parse_when, paths_of
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.kernel.yaml.flow import FlowSpec, JobSpec, StepSpec
from aetherflow.core.kernel.yaml.loader import RawString
from aetherflow.core.kernel.yaml.scalars import plain_scalar

RESULT_KEYS = ("type", "inputs", "outputs", "for_each", "effect", "verify", "on_no_data")
"""Keys of a step on which its result depends; retry, timeout_seconds and description are not among them."""
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode
FOLDER_PLUGIN = "(folder)"
"""Prefix of `plugin` in the definition of a step whose code is part of the definition: a folder plugin."""


class FlowFacts(NamedTuple):
    """The input of `define`: a flow and the values that its definitions contain."""

    data: Mapping[str, Any]
    """The document as parsed: plain maps and lists."""
    texts: WrittenTexts
    """Written form of the values that text fields took, by path."""
    spec: FlowSpec
    resources: Mapping[str, Mapping[str, Any]]
    """Each merged over its profile, not rendered."""
    params: Mapping[str, Any]
    env: Mapping[str, str]
    places: frozenset[str]
    """Environment variables that hold the flow's location; left out, so that moving a flow changes no definition."""
    plugins: PluginFacts


class References:
    """What a step reads: template paths, and every text that could be the name of a resource."""

    def __init__(self) -> None:
        self.paths: set[tuple[str, ...]] = set()
        self.texts: set[str] = set()

    def add(self, value: Any) -> None:
        """Collect from a value, through maps and lists."""
        if isinstance(value, str):
            if "{{" in value and not isinstance(value, RawString):
                self.paths.update(token.path for token in parse_template(value).tokens)
            else:
                self.texts.add(value)
        elif isinstance(value, Mapping):
            for item in value.values():
                self.add(item)
        elif isinstance(value, list):
            for item in value:
                self.add(item)


class StepDefinitions:
    """Hashes and texts of all steps and jobs of a flow, and the references between them."""

    def __init__(self) -> None:
        self.hashes: dict[StepKey, str] = {}
        """Step to the hash of its definition; the key of a job has an empty step id."""
        self.texts: dict[str, str] = {}
        """Text of each definition by its hash."""
        self.references: dict[StepKey, References] = {}
        self.before: dict[StepKey, str] = {}
        """Texts as 1.0 made them, without the written form of numbers; only where they differ."""
        self.uses: dict[StepKey, set[StepKey]] = {}
        """Step to the earlier steps whose outputs it reads."""

    def keep(self, key: StepKey, recorded: str, text: str) -> None:
        """Use the recorded hash of a step whose recorded definition is equivalent to the current one."""
        self.hashes[key], self.texts[recorded] = recorded, text

    def in_use(self) -> dict[str, str]:
        """Hash to text of the definitions that the steps and jobs have."""
        return {found: self.texts[found] for found in self.hashes.values()}


def define(flow: FlowFacts, redactor: Redactor) -> StepDefinitions:
    """Definitions of every step and job of a flow."""
    return _Definer(flow, redactor).define()


def storable(text: str) -> str:
    """The text with lone surrogates escaped: an environment may hold bytes that are not UTF-8, which SQLite refuses."""
    return text.encode(errors="backslashreplace").decode()


class _Definer:
    def __init__(self, flow: FlowFacts, redactor: Redactor) -> None:
        self.flow = flow
        self.redactor = redactor
        self.found = StepDefinitions()
        self.texts = _texts_by_part(flow.texts)
        self.resource_paths = {name: set(_paths(spec)) for name, spec in flow.resources.items()}
        self.promoters: dict[tuple[str, str], StepKey] = {}

    def define(self) -> StepDefinitions:
        for at, (data, job) in enumerate(zip(self.flow.data["jobs"], self.flow.spec.jobs, strict=True)):
            for number, (raw, step) in enumerate(zip(data["steps"], job.steps, strict=True)):
                self._step(StepKey(job.id, step.id), raw, step, self.texts.get(("jobs", at, "steps", number), {}))
            self._job(job)
        return self.found

    def _step(self, key: StepKey, raw: Mapping[str, Any], step: StepSpec, texts: WrittenTexts) -> None:
        if step.loop is not None:  # the names of items, and whether others are tried, decide about no result
            loop = raw["for_each"]
            raw = {**raw, "for_each": loop["items"] if isinstance(loop, Mapping) else loop}
        references = self._references(raw)
        named = sorted(references.texts & self.flow.resources.keys())
        uses = set(self._uses(key, references.paths))
        own = {name: raw[name] for name in RESULT_KEYS if raw.get(name) is not None}
        text: dict[str, Any] = {
            "step": _as_written(own, texts),
            **self.flow.plugins.of_step(step.type),
            **dict(self._values(references.paths.union(*(self.resource_paths[name] for name in named)))),
        }
        if named:
            text["resources"] = {name: self._resource(name) for name in named}
        if uses:
            text["uses"] = {str(other): self.found.hashes[other] for other in sorted(uses)}
        self.found.references[key], self.found.uses[key] = references, uses
        self._add(key, text)
        if before := self._before(text, _as_1_0_read(own, texts)):
            self.found.before[key] = self._encoded({**text, **before})
        for output in step.outputs:
            self.promoters[key.job, output] = key

    def _references(self, raw: Mapping[str, Any]) -> References:
        references = References()
        for name in RESULT_KEYS:
            references.add(raw.get(name))
        for condition in self.flow.plugins.conditions_of(raw):
            references.paths.update(names for names, _ in paths_of(parse_when(condition)))
        return references

    def _values(self, paths: set[tuple[str, ...]]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The values of the parameters and environment variables that are read; a root without any is left out."""
        for root, values in (("params", self.flow.params), ("env", self.flow.env)):
            if names := sorted({path[1] for path in paths if path[0] == root and len(path) > 1} - self.flow.places):
                yield root, {name: MASK if is_secret_name(name) else values.get(name) for name in names}

    def _before(self, text: Mapping[str, Any], step: dict[str, Any]) -> dict[str, Any]:
        """The parts of a text that 1.0 made differently, in its form."""
        before: dict[str, Any] = {} if text["step"] == step else {"step": step}
        resources = text.get("resources", {})
        if any(("resources", name) in self.texts for name in resources):
            before["resources"] = {
                name: _as_1_0_read(found, self.texts.get(("resources", name), {})) for name, found in resources.items()
            }
        return before

    def _job(self, job: JobSpec) -> None:
        text: dict[str, Any] = {
            "when": job.when,
            "depends_on": job.depends_on,
            "steps": [step.id for step in job.steps],
        }
        if job.on_dependency_skipped != "block":
            text["on_dependency_skipped"] = job.on_dependency_skipped
        self._add(StepKey(job.id, ""), text)

    def _add(self, key: StepKey, text: Mapping[str, Any]) -> None:
        masked = self._encoded(text)
        digest = hashlib.sha256(masked.encode()).hexdigest()[:32]
        self.found.hashes[key] = digest
        self.found.texts[digest] = masked

    def _encoded(self, text: Mapping[str, Any]) -> str:
        return storable(self.redactor.mask(encode(text)))

    def _uses(self, key: StepKey, paths: set[tuple[str, ...]]) -> Iterator[StepKey]:
        for path in paths:
            if path[0] == "steps":
                names = path[1:2] or [other.step for other in self.found.hashes if other.job == key.job]
                found = [StepKey(key.job, name) for name in names]
            elif path[:2] == ("job", "outputs") or path[0] == "jobs":
                job = key.job if path[0] == "job" else path[1] if len(path) > 1 else None
                output = path[2] if path[0] == "job" and len(path) > 2 else path[3] if len(path) > 3 else None
                found = list(self._promoters(job, output))
            else:
                continue
            yield from (other for other in found if other in self.found.hashes and other != key)

    def _promoters(self, job: str | None, output: str | None) -> Iterator[StepKey]:
        """The steps that promote an output of a job; None means any job or any output."""
        if job is not None and output is not None:  # nearly always; a search for each would be quadratic
            if (promoter := self.promoters.get((job, output))) is not None:
                yield promoter
            return
        for (of, name), promoter in self.promoters.items():
            if job in (None, of) and output in (None, name):
                yield promoter

    def _resource(self, name: str) -> dict[str, Any]:
        spec = self.flow.resources[name]
        return {**spec, **self.flow.plugins.of_connector(spec["kind"], spec["driver"])}


def jobs_read_by(job: JobSpec) -> set[str]:
    """Ids of the jobs that a job's `when` reads."""
    paths = paths_of(parse_when(job.when)) if job.when and job.when.strip() else []
    return {names[1] for names, _ in paths if names[0] == "jobs" and len(names) > 1}


def _texts_by_part(texts: WrittenTexts) -> dict[DocPath, WrittenTexts]:
    """Split texts by the path of their resource or step; the inner keys are paths below it."""
    found: dict[DocPath, WrittenTexts] = {}
    for path, text in texts.items():
        part = 2 if path[0] == "resources" else 4
        found.setdefault(path[:part], {})[path[part:]] = text
    return found


def _as_written(step: dict[str, Any], texts: WrittenTexts) -> dict[str, Any]:
    # a number whose text is its `str()` stays a number, so that the hash is that of 1.0
    own = {path: text for path, text in texts.items() if isinstance(value_at(step, path), WRITTEN)}
    found: dict[str, Any] = with_texts(step, own)
    # the fields that use an item are not known here, so every number counts in its written form
    return {**found, "for_each": _all_as_written(found["for_each"])} if "for_each" in found else found


def _as_1_0_read(part: dict[str, Any], texts: WrittenTexts) -> dict[str, Any]:
    numbers = {path: plain(plain_scalar(text)) for path, text in texts.items() if value_at(part, path) is not None}
    read = {path: value for path, value in numbers.items() if type(value) in (int, float)}
    found: dict[str, Any] = with_texts(part, read)
    return found


def _all_as_written(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _all_as_written(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_all_as_written(item) for item in value]
    return value.text if isinstance(value, WRITTEN) else value


def _paths(value: Any) -> set[tuple[str, ...]]:
    found = References()
    found.add(value)
    return found.paths
