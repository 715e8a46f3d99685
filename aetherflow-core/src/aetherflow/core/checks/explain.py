"""Explaining a flow: every value of the section `flow`, the resources and the settings, with its origin."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from aetherflow.core.base.errors import PluginError, ResolverError, SpecError
from aetherflow.core.base.location import DocPath, Location, format_path
from aetherflow.core.base.redact import MIN_LENGTH
from aetherflow.core.base.secret_names import is_secret_name
from aetherflow.core.checks.checked import Checked
from aetherflow.core.checks.environment import static_work_root
from aetherflow.core.checks.explained import Explained, ExplainedResource, Value, signing_values
from aetherflow.core.checks.places import places_of
from aetherflow.core.checks.report import check_flow, skipped_text
from aetherflow.core.checks.values import MIN_DECLARED, Shower, leaves, tokens_of
from aetherflow.core.checks.view import jobs, resources, steps
from aetherflow.core.contracts.fields import SameAs
from aetherflow.core.contracts.written import plain, value_at
from aetherflow.core.host.connecting import is_secret_type, models_of, secret_values_of
from aetherflow.core.host.insecure import field_of, gives_up
from aetherflow.core.kernel.resolver.scope import CONSTANT_ROOTS
from aetherflow.core.kernel.yaml.flow import FlowMetaSpec
from aetherflow.core.runtime.environment.decode import SECTIONS, decode_paths
from aetherflow.core.runtime.environment.origin import Link, links_of
from aetherflow.core.runtime.environment.settings import PREFIX, PROJECT_KEYS
from aetherflow.core.runtime.environment.snapshot import Snapshot, with_work_root
from aetherflow.core.runtime.workspace.places import in_server, work_root
from aetherflow.core.runtime.workspace.store_places import STATE_RESOURCE

EXPLAIN_SCHEMA = 1
_TEXT_SETTINGS = ("env_files_json", "profiles_json")
"""Settings that are whole documents, which may contain secrets."""


def explain_flow(path: str | Path, snapshot: Snapshot) -> Explained:
    """Explain a flow, also one with errors; SpecError if it cannot be parsed or is not a map."""
    checked = check_flow(path, snapshot)
    if checked.document is None or checked.merged is None or not isinstance(checked.document.data, dict):
        raise SpecError(list(checked.problems))
    root = static_work_root(checked.document.data, snapshot)
    return Explainer(checked, with_work_root(snapshot, root)).explain()


class Explainer:
    """Explains a flow; a subclass explains another kind of document with resources."""

    word = "flow"
    """The name of the document in chains."""

    def __init__(self, checked: Checked, snapshot: Snapshot) -> None:
        assert checked.document is not None  # noqa: S101 checked by explain_flow
        assert checked.merged is not None  # noqa: S101 likewise
        assert checked.catalog is not None  # noqa: S101 likewise
        self.document, self.merged = checked.document, checked.merged
        self.checked = checked
        self.snapshot = snapshot
        self.shower = Shower(snapshot)
        self.catalog = checked.catalog
        self.models: dict[DocPath, type[BaseModel]] = {
            ("resources", part.name or "", section): model
            for part in resources(self.merged.data)
            for section, model in models_of(self._connector(part.data))
        }
        self.decoded: set[DocPath] = set()

    def explain(self) -> Explained:
        """The values of the document, each with its chain."""
        self._learn()
        found = {part.name or "": self._resource(part.name or "", part.data) for part in resources(self.merged.data)}
        return Explained(
            checked=self.checked,
            shower=self.shower,
            flow=dict(self.main()),
            resources=found,
            settings=self._settings(),
            not_evaluated=(*self.snapshot.not_evaluated, *map(skipped_text, self.snapshot.skipped_plugins)),
            others=dict(self.others()),
        )

    def insecure(self) -> list[Value]:
        """The values that give up a protection; without one, as in most documents, no value is explained."""
        found = [value for value in self._settings().values() if value.insecure]
        parts = [(part.name or "", part.data) for part in resources(self.merged.data)]
        given = (each for part in parts for each in self._values(*part))
        if any(self._is_insecure(path, self._plain(path, value)) for path, value, _ in given):
            self._learn()
            found += [value for part in parts for value in self._resource(*part).values.values() if value.insecure]
        return found

    # Secrets are collected before anything is shown, since one value may contain another

    def _learn(self) -> None:
        for part in resources(self.merged.data):
            for section in SECTIONS:
                values = part.get(section, dict) or {}
                self._learn_section(part.name or "", section, values, part.data)
            settings = {section: part.get(section, dict) or {} for section in SECTIONS}
            for value in secret_values_of(self._connector(part.data), settings):
                self.shower.learn(value, secret=True)
        for path, value in leaves(self.document.data):
            if path[0] != "resources":
                self.shower.learn(value, secret=self._is_secret(path))

    def _learn_section(self, name: str, section: str, values: dict[str, Any], data: dict[str, Any]) -> None:
        at: DocPath = ("resources", name, section)
        try:
            paths = decode_paths(data.get("decode") or {})[section]
            if (data.get("profile") or "") not in {"", *self.checked.profiles.by_name}:
                paths = {()}  # an unknown profile may decode anything
        except (ResolverError, AttributeError, TypeError):
            paths = {()}  # with an invalid `decode` anything may be a secret
        self.decoded |= {(*at, *path) for path in paths}
        self.shower.learn_names(values)
        for path, value in leaves(values, at):
            self.shower.learn(
                value, secret=self._is_secret(path), least=MIN_DECLARED if self._is_declared(path) else MIN_LENGTH
            )

    def _connector(self, data: dict[str, Any]) -> Any:
        try:
            return self.catalog.connector(str(data.get("kind")), str(data.get("driver")))
        except PluginError:
            return None

    def _is_secret(self, path: DocPath) -> bool:
        if self._is_declared(path):
            return True
        if path[:2] == ("flow", "params"):
            return path[3:4] == ("default",) and is_secret_name(str(path[2]))
        if len(path) > 3 and path[:3] in self.models and self._field(path) is None:
            return True  # unknown to the connector: perhaps a misspelt name of a secret
        start = 3 if path[0] == "resources" else 1
        return any(is_secret_name(part) for part in path[start:] if isinstance(part, str))

    def _is_declared(self, path: DocPath) -> bool:
        """True for a value that is decoded or that its connector declares as secret."""
        info = self._field(path)
        return any(path[: len(target)] == target for target in self.decoded) or (
            info is not None and is_secret_type(info[1].annotation)
        )

    def _field(self, path: DocPath) -> tuple[str, Any] | None:
        model = self.models.get(path[:3])
        if model is None or len(path) < 4:
            return None
        return field_of(model, path[3])

    # Resources

    def _resource(self, name: str, data: dict[str, Any]) -> ExplainedResource:
        values: dict[DocPath, Value] = {}
        for path, value, is_default in self._values(name, data):
            chain = [Link("default", None)] if is_default else self._resource_chain(path, value, data.get("profile"))
            values[path] = self.value(path, value, chain)
        decode = data.get("decode")
        return ExplainedResource(
            kind=_text(data, "kind"),
            driver=_text(data, "driver"),
            profile=_text(data, "profile"),
            decode=self.shower.masked(decode) if isinstance(decode, dict) else {},
            values=values,
        )

    def _values(self, name: str, data: dict[str, Any]) -> Iterator[tuple[DocPath, Any, bool]]:
        """Path and value of what a resource is given, and of what it has by default; the last says which."""
        for section in SECTIONS:
            at: DocPath = ("resources", name, section)
            given = data.get(section)
            for path, value in leaves(given, at) if isinstance(given, dict) and given else ():
                yield path, value, False
            for path, value in self._defaults(at, given if isinstance(given, dict) else {}):
                yield path, value, True

    def _resource_chain(self, path: DocPath, value: Any, profile: Any) -> list[Link]:
        secret = self._is_secret(path)
        chain = []
        document = self.checked.profiles.document
        inner: DocPath = (str(profile), *path[2:])
        if profile is not None and document is not None and inner in document.source.values:
            text = self.shower.written(value_at(document.data, inner), secret=secret)
            chain.append(Link(f"profile {profile}", document.source.value(inner), text))
        if path in self.document.source.values or not chain:
            text = self.shower.written(value_at(self.document.data, path), secret=secret)
            chain.append(Link(self.word, self.document.source.value(path), text))
        return chain + self._links(value, secret=secret)

    def _defaults(self, at: DocPath, given: Mapping[str, Any]) -> Iterator[tuple[DocPath, Any]]:
        model = self.models.get(at)
        fields = model.model_fields if model is not None else {}
        others = {
            name: each.path for name, info in fields.items() for each in info.metadata if isinstance(each, SameAs)
        }
        named = {others[name] for name in others.keys() & given.keys()}
        for name, info in fields.items():
            choices = getattr(info.validation_alias, "choices", (info.validation_alias,))
            if name in others or info.is_required() or given.keys() & {name, info.alias, *choices}:
                continue
            default = info.get_default(call_default_factory=True)
            if isinstance(default, BaseModel):
                default = " ".join(f"{key}={value!r}" for key, value in default if f"{name}.{key}" not in named)
            default = list(default) if isinstance(default, tuple) else default
            is_plain = isinstance(default, str | int | float | bool | list | dict | None)
            yield (*at, name), default if is_plain else str(default)

    # The section `flow`

    def main(self) -> Iterator[tuple[DocPath, Value]]:
        """The values that are shown first: for a flow those of its section `flow`."""
        data = self.document.data.get("flow")
        given = data if isinstance(data, dict) else {}
        for path, value in leaves(given, ("flow",)) if given else ():
            yield path, self.value(path, value, self.written_chain(path, value))
        for name, info in FlowMetaSpec.model_fields.items():
            if info.is_required() or name in ("params", "description"):
                continue
            default = info.get_default(call_default_factory=True)
            section = default.model_dump() if isinstance(default, BaseModel) else default
            for path, value in leaves(section, ("flow", name)):
                if value not in (None, {}) and not _holds(given, path[1:]):
                    yield path, self.value(path, value, [Link("default", None)])
        yield from self._places(given)

    def _places(self, given: dict[str, Any]) -> Iterator[tuple[DocPath, Value]]:
        settings, env = self.snapshot.settings, self.snapshot.env
        if not _holds(given, ("workspace", "root")):
            chain = [self._setting_link("work_root", "default: the platform's data folder")]
            yield (
                ("flow", "workspace", "root"),
                self.value(("flow", "workspace", "root"), str(work_root(None, settings, env)), chain),
            )
        if not _holds(given, ("state", "path")):
            yield from self._state()

    def _state(self) -> Iterator[tuple[DocPath, Value]]:
        path: DocPath = ("flow", "state", "path")
        if (where := places_of(self.document, self.snapshot).state_path) is None:
            return
        chain, project = (
            [self._setting_link("state_root", "default: the platform's state folder")],
            self.snapshot.project,
        )
        if in_server(where) and project.document is not None:
            own: DocPath = ("flow", "state", "resource")
            written = isinstance(value_at(self.document.data, own, None), str)
            source = self.document.source if written else project.document.source
            chain = [Link(self.word if written else "project file", source.value(own if written else STATE_RESOURCE))]
        yield path, self.value(path, str(where), chain)

    def _setting_link(self, name: str, default: str) -> Link:
        source = self.snapshot.setting_sources[name]
        if source == "default":
            return Link(default, None)
        return Link(f"setting {name} from {source}", self._setting_place(name), "")

    def written_chain(self, path: DocPath, value: Any) -> list[Link]:
        """The chain of a value that is written in the document itself."""
        secret = self._is_secret(path)
        text = self.shower.written(value, secret=secret)
        return [Link(self.word, self.document.source.value(path), text), *self._links(value, secret=secret)]

    def others(self) -> Iterator[tuple[DocPath, Value]]:
        """The values that are shown only when they are requested by path."""
        for key, section in self.document.data.items():
            if key in ("flow", "resources"):
                continue
            for path, value in leaves(section, (key,)):
                yield path, self.value(path, value, self.written_chain(path, value))
        yield from self._step_defaults()

    def _step_defaults(self) -> Iterator[tuple[DocPath, Value]]:
        """Settings that steps have from `flow.defaults`."""
        data = self.document.data
        if self.checked.spec is None:
            return
        for step in (step for job in jobs(data) for step in steps(job)):
            inputs = step.get("inputs", dict) or {}
            own = {key for key in ("retry", "timeout_seconds") if step.data.get(key) is not None or inputs.get(key)}
            given = {name: value for name, value in data["flow"].get("defaults", {}).items() if name not in own}
            for path, leaf in leaves(given, ("flow", "defaults")) if given else ():
                if leaf is not None:
                    link = Link("flow.defaults", self.document.source.value(path), str(leaf))
                    at = (*step.path, *path[2:])
                    yield at, self.value(at, leaf, [link])

    # Settings

    def _settings(self) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for name in type(self.snapshot.settings).model_fields:
            value = getattr(self.snapshot.settings, name)
            source = self.snapshot.setting_sources[name]
            shown = "(set)" if name in _TEXT_SETTINGS and value else self.shower.masked(value)
            links = [Link("default" if source == "default" else f"setting from {source}", self._setting_place(name))]
            insecure = name == "strict_sandbox" and value is False
            found[name] = Value(f"settings.{name}", shown, tuple(links), insecure)
        about_bundle = self.word == "manifest" or self.snapshot.bundle is not None
        return found | (signing_values(self.snapshot.policy) if about_bundle else {})

    def _setting_place(self, name: str) -> Location | None:
        source = self.snapshot.setting_sources[name]
        if source == "environment":
            return self.snapshot.origins[PREFIX + name.upper()].location
        document = self.snapshot.project.document
        if source == "project file" and document is not None:
            return document.source.value(PROJECT_KEYS.get(name, ()))
        return None

    # Common

    def _links(self, value: Any, *, secret: bool) -> list[Link]:
        found = links_of(value, self.snapshot, dict.fromkeys(CONSTANT_ROOTS))
        if secret:  # the text of a link may contain a default value
            return [Link(link.what, link.location, link.text.partition(": ")[0]) for link in found]
        return [Link(link.what, link.location, str(self.shower.masked(link.text))) for link in found]

    def value(self, path: DocPath, value: Any, chain: list[Link]) -> Value:
        """The value at a path in the form to show: rendered, with secrets masked."""
        value = self._plain(path, value)
        at_start = any(token.path[0] != "env" for token in tokens_of(value))
        shown = self.shower.shown(value, secret=self._is_secret(path))
        return Value(format_path(path), shown, tuple(chain), self._is_insecure(path, value), at_start)

    def _plain(self, path: DocPath, value: Any) -> Any:
        """A value in the form that the connector gets."""
        return plain(self.document.source.texts.get(path, value))

    def _is_insecure(self, path: DocPath, value: Any) -> bool:
        if self._field(path) is None:
            return False
        return gives_up(self.models[path[:3]], path[3:], self.shower.rendered(value))


def _text(data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(key)
    return value if isinstance(value, str) else None


def _holds(data: Any, path: DocPath) -> bool:
    missing = object()
    for part in path:
        data = data.get(part, missing) if isinstance(data, Mapping) else missing
    return data is not missing and data is not None
