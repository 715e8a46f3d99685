"""Step types, connectors, and the inputs and settings that their models accept."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from aetherflow.core.base.errors import PluginError, PluginNotFoundError
from aetherflow.core.base.location import DocPath, format_path
from aetherflow.core.base.problems import Problem, Problems
from aetherflow.core.base.suggest import did_you_mean
from aetherflow.core.base.typed import typed_here
from aetherflow.core.checks.lacks import unwritten
from aetherflow.core.checks.values import Shower, known_values, leaves
from aetherflow.core.checks.view import Part, jobs, resources, steps
from aetherflow.core.contracts.kinds.names import ARCHIVE, SAFE_ARCHIVE_DRIVERS
from aetherflow.core.contracts.lacks import Lack
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.connecting import class_place, clear_text_of, models_of, resource_fields
from aetherflow.core.host.first_party import driver_extra, extra_for
from aetherflow.core.host.installing import driver_command, is_installed, missing_drivers
from aetherflow.core.host.names import CONNECTORS, STEPS
from aetherflow.core.kernel.resolver.template import has_template
from aetherflow.core.kernel.yaml.binder import MISSING_KEY, UNKNOWN_KEY, bind
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.environment.snapshot import Snapshot


def check_plugins(document: Document, catalog: Catalog, snapshot: Snapshot, problems: Problems) -> None:
    """Check that every step type and connector can be loaded, and that its model accepts the inputs or settings."""
    _Plugins(document, catalog, snapshot, problems).check()


def check_resources(document: Document, catalog: Catalog, snapshot: Snapshot, problems: Problems) -> None:
    """Check that the connector of every resource can be loaded, and that its models accept the settings."""
    _Plugins(document, catalog, snapshot, problems).check_resources()


def _with_code_of_the_step(problem: Problem, path: str, codes: Mapping[str, str]) -> Problem:
    """The problem with the code from the step's `problem_codes` for this input, if there is one."""
    name = problem.loc.removeprefix(path).lstrip(".")
    keys = [f"{name}:missing"] if problem.af == MISSING_KEY else [name, name.partition("[")[0]]
    code = next((codes[key] for key in keys if key in codes), None)
    return problem if code is None or problem.af == UNKNOWN_KEY else replace(problem, code=code)


def with_hooks(path: str | Path) -> str:
    """The command that checks a flow with the code beside it."""
    return typed_here("validate", "--run-hooks", str(path))


class _Plugins:
    def __init__(self, document: Document, catalog: Catalog, snapshot: Snapshot, problems: Problems) -> None:
        self.document = document
        self.catalog = catalog
        self.snapshot = snapshot
        self.problems = problems
        self.shower = Shower(snapshot)
        self.kinds: dict[str, Any] = {}
        self.classes: dict[str, Any] = {}
        """The connector classes of the resources, as far as they could be loaded."""

    def check_resources(self) -> None:
        for resource in resources(self.document.data):
            self.kinds[resource.name or ""] = resource.data.get("kind")
            self._resource(resource)

    def check(self) -> None:
        self.check_resources()
        for job in jobs(self.document.data):
            for step in steps(job):
                self._step(job, step)
                if verify := step.get("verify", dict):
                    self._verify(step)
                    self._step(job, Part((*step.path, "verify"), verify, step.name))

    def _resource(self, resource: Part) -> None:
        kind, driver = resource.get("kind", str), resource.get("driver", str)
        if kind is None or driver is None:
            return
        self._archive_driver(resource, kind, driver)
        try:
            cls = self.catalog.connector(kind, driver)
        except PluginNotFoundError as error:
            if self.catalog.may_be_skipped(CONNECTORS, f"{kind}.{driver}"):
                self._not_evaluated(f"connector {kind}:{driver}", (*resource.path, "driver"))
                return
            known = {name.partition(".")[0] for name in self.catalog.names(CONNECTORS)}
            key = "driver" if kind in known or extra_for(CONNECTORS, f"{kind}.{driver}") else "kind"
            self._plugin_error(error, (*resource.path, key), "semantic:unknown_connector")
            return
        except PluginError as error:
            self._plugin_error(error, (*resource.path, "driver"), "semantic:unknown_connector")
            return
        self.classes[resource.name or ""] = cls
        if missing := missing_drivers(cls):
            name, path = f"{kind}.{driver}", (*resource.path, "driver")
            text = f"resource {resource.name}: the driver of {kind}:{driver} is not installed ({', '.join(missing)})"
            fix = driver_command(name, missing, self._owner(name))
            self._add("AF2105", text, path, "missing_driver", fix, driver_extra(name))
        for lack in unwritten(cls):
            self._lack(lack, cls, f"{kind}.{driver}", (*resource.path, "driver"))
        for section, model in models_of(cls):
            path = (*resource.path, section)
            try:
                self._bind(model, resource.data.get(section, {}), path)
            except Exception as error:  # noqa: BLE001 the model is the plugin's own code
                self._fault(f"connector {kind}:{driver} cannot check {format_path(path)}", error, path)

    def _owner(self, connector: str) -> str:
        try:
            return self.catalog.find(CONNECTORS, connector).distribution
        except PluginError:  # registered in this process
            return ""

    def _archive_driver(self, resource: Part, kind: str, driver: str) -> None:
        allowed = sorted(self.snapshot.project.spec.policy.zip_drivers or SAFE_ARCHIVE_DRIVERS)
        if self.snapshot.settings.mode == "enterprise" and kind == ARCHIVE and driver not in allowed:
            message = f"Enterprise mode requires archive driver in {allowed}; got {driver!r}"
            fix = did_you_mean(driver, allowed, what="allowed drivers")
            self._add("AF1212", message, (*resource.path, "driver"), "semantic:enterprise_archive_driver", fix)

    def _step(self, job: Part, step: Part) -> None:
        name = step.get("type", str)
        if name is None:
            return
        try:
            cls = self.catalog.step(name)
        except PluginError as error:
            if isinstance(error, PluginNotFoundError) and self.catalog.may_be_skipped(STEPS, name):
                self._not_evaluated(f"step {name!r}", (*step.path, "type"))
                return
            where = f"; job {job.name!r}, step {step.name!r}" if job.name and step.name else ""
            self._plugin_error(error, (*step.path, "type"), "semantic:unknown_step_type", where)
            return
        inputs = step.data.get("inputs", {})
        if not isinstance(inputs, dict):
            return  # reported by the schema check
        path = (*step.path, "inputs")
        try:
            self._inputs(cls, inputs, path)
        except Exception as error:  # noqa: BLE001 the models and the check are the plugin's own code
            self._fault(f"step {name!r} cannot check its inputs", error, path)
        for key, roots in cls.inner_steps.items():
            if "lock" in roots:
                self._locked_twice(job, inputs, path)
            if isinstance(inner := inputs.get(key), dict):
                self._step(job, Part((*path, key), inner, step.name))

    def _locked_twice(self, job: Part, inputs: Mapping[str, Any], path: DocPath) -> None:
        """Report a step that takes the lock that its job holds already."""
        lock = job.get("lock", dict) or {}
        if lock.get("key") is None or inputs.get("lock_key") != lock["key"]:
            return
        line, at = self.document.source.value((*job.path, "lock", "key")).line, (*path, "lock_key")
        message = f"{format_path(at)}: the job holds the lock {lock['key']!r} already, by its `lock` on line {line}"
        self._add("AF1218", message, at, "semantic:lock_twice", "take the inner step out of this one")

    def _verify(self, step: Part) -> None:
        effect = step.get("effect", str)
        try:
            effect = effect or self.catalog.step(step.get("type", str) or "").effect_of(step.get("inputs", dict) or {})
        except PluginError:
            return  # the step's own effect is not known
        if effect != "once":
            path = (*step.path, "verify")
            message = f"{format_path(path)} is never asked: the step is repeated when it was interrupted"
            fix = "add `effect: once` to the step, or remove `verify`"
            at = self.document.source.key(path)
            self.problems.add(Problem("AF1214", message, at, format_path(path), "semantic:verify_without_once", fix))

    def _inputs(self, cls: Any, inputs: dict[str, Any], path: DocPath) -> None:
        if cls.Inputs is not None:
            self._bind(cls.Inputs, inputs, path, cls.problem_codes)
            self._resource_names(cls, inputs, path)
        for missing in sorted(cls.required_inputs - inputs.keys()):
            self._add(
                "AF1102", f"{format_path(path)} lacks the key {missing!r}", path, "schema:missing", f"add `{missing}:`"
            )
        for module, command in cls.libraries(inputs).items():
            if not is_installed(module):
                message = f"{format_path(path)} need the library {module}, which is not installed"
                self._add("AF2105", message, path, "missing_driver", command)
        for message in cls.check(inputs):
            self._add("AF1103", f"{format_path(path)}: {message}", path, "semantic:inputs", "see the step's page")
        for message in cls.remarks(inputs):
            at, text = self.document.source.value(path), f"{format_path(path)}: {message}"
            self.problems.add(Problem("AF1216", text, at, format_path(path), "semantic:remark", "", "warning"))

    def _bind(
        self, model: type[BaseModel], data: Any, path: DocPath, codes: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        _, found = bind(model, data, self.document.source, at=path, ignore=self._is_templated)
        self.problems.extend(_with_code_of_the_step(problem, format_path(path), codes) for problem in found)

    def _is_templated(self, path: DocPath) -> bool:
        """True if the value at `path`, or a value that contains it, is known only after rendering."""
        value = self.document.data
        for part in path:
            if isinstance(value, str):
                break
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return False
        return has_template(value) if isinstance(value, str | list) else False

    def _resource_names(self, cls: Any, inputs: Mapping[str, Any], path: DocPath) -> None:
        for name, ref in resource_fields(cls.Inputs):
            value = inputs.get(name)
            if not isinstance(value, str) or has_template(value):
                continue
            here = (*path, name)
            same_kind = [known for known, kind in self.kinds.items() if ref.kind in (None, kind)]
            if value not in self.kinds:
                of_kind = "" if ref.kind is None else f" of kind `{ref.kind}`"
                fix = did_you_mean(value, same_kind, what=f"name a resource{of_kind}")
                if not same_kind:
                    fix = f"add a resource named `{value}`{of_kind} under `resources:`"
                self._add("AF1209", f"no resource {value!r} in this flow", here, "semantic:unknown_resource", fix)
            elif ref.kind not in (None, self.kinds[value]):
                message = f"resource {value!r} is of kind {self.kinds[value]!r}, this step needs kind {ref.kind!r}"
                fix = did_you_mean("", same_kind, what=f"name a resource of kind `{ref.kind}`")
                if not same_kind:
                    fix = f"add a resource of kind `{ref.kind}` under `resources:`, and name it here"
                self._add("AF1210", message, here, "semantic:resource_kind", fix)
            elif isinstance(connector := self.classes.get(value), type):
                for lack in cls.lacks(inputs, connector, name):
                    self._lack(lack, connector, f"resource {value!r}", here)
                self._clear_text(connector, value, inputs, path)

    def _clear_text(self, connector: Any, name: str, inputs: Mapping[str, Any], path: DocPath) -> None:
        """Report inputs that hold a secret in every run, and that the step would send without encryption."""
        data = next(each.data for each in resources(self.document.data) if each.name == name)
        known = {section: known_values(data.get(section) or {}, self.snapshot.env) for section in ("config", "options")}
        if (found := clear_text_of(connector, known)) is None:
            return
        for at, text in leaves(inputs, path):
            shown = self.shower.rendered(text)
            if isinstance(shown, str) and self.shower.redactor.mask(shown) != shown:
                message = f"{format_path(at)}: a secret would go to {found[0]} in clear text, by resource {name!r}"
                self._add("AF5203", message, at, "semantic:clear_text", found[1])

    def _fault(self, what: str, error: Exception, path: DocPath) -> None:
        from aetherflow.core.host.faults import fault_problem  # for what fails; every run imports this module

        self.problems.add(fault_problem(what, error, self.document.source.value(path), path))

    def _lack(self, lack: Lack, connector: Any, what: str, path: DocPath) -> None:
        """Report what a connector class lacks, by the class's place."""
        message, at = f"{what}: {class_place(connector)} {lack.text}", self.document.source.value(path)
        if lack.refused:
            fix = "name a resource whose connector has it, or add it to the class"
            self._add("AF2106", message, path, "semantic:connector_lacks", fix)
        else:
            fix = "add it to the class, or accept this"
            self.problems.add(Problem("AF2107", message, at, format_path(path), "semantic:weaker", fix, "warning"))

    def _not_evaluated(self, what: str, path: DocPath) -> None:
        message = f"{what} is not known: it may be one of the folder plugins beside the flow, which are not evaluated"
        at, fix = self.document.source.value(path), f"check it with: {with_hooks(self.document.file)}"
        self.problems.add(Problem("AF1703", message, at, format_path(path), "hook:not_evaluated", fix, "warning"))

    def _plugin_error(self, error: PluginError, path: DocPath, code: str, where: str = "") -> None:
        self._add(error.code, f"{error.message}{where}", path, code, error.fix, error.extra)

    def _add(self, af: str, message: str, path: DocPath, code: str, fix: str, extra: str = "") -> None:
        at = self.document.source.value(path)
        self.problems.add(Problem(af, message, at, format_path(path), code, fix, extra=extra))
