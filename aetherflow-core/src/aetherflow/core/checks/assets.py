"""The check of the files that belong to a flow: each is there, and where the run may read it."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from aetherflow.core.base.errors import AetherflowError, PathError, SpecError
from aetherflow.core.base.location import DocPath, format_path
from aetherflow.core.base.problems import Problem, Problems, Severity
from aetherflow.core.base.redact import Redactor
from aetherflow.core.checks.environment import static_work_root
from aetherflow.core.checks.values import known_text
from aetherflow.core.checks.view import jobs, resources, steps
from aetherflow.core.contracts.fields import AssetFile
from aetherflow.core.host.asset_fields import assets_in
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.connecting import models_of
from aetherflow.core.host.step_inputs import inputs_of
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.environment.merged_source import MergedSource
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.environment.trust import findings
from aetherflow.core.runtime.workspace.assets import Assets, expanded, is_there, other_file
from aetherflow.core.runtime.workspace.sandbox import Sandbox

MISSING, OTHER = "semantic:asset", "semantic:other_file"


class AssetChecks:
    """The files that one document names; the checks of called flows and of the calendar use it too."""

    def __init__(self, document: Document, catalog: Catalog, snapshot: Snapshot, problems: Problems) -> None:
        folder = Path(document.file).absolute().parent
        bundle = snapshot.bundle
        self.rule = Assets.of(snapshot, folder)
        self._document = document
        self._catalog = catalog
        self._snapshot = snapshot
        self._problems = problems
        root = static_work_root(document.data, snapshot)
        self._sandbox = Sandbox.of(snapshot, root, bundle.folder if bundle else folder, ())

    def check(self) -> None:
        """Check every marked value of all steps and resources."""
        data = self._document.data
        for resource in resources(data):
            for path, model, settings in self._settings(resource.data, resource.path):
                for at, value, mark in _marked(model, settings, path):
                    self._setting(at, value, mark)
        for job in jobs(data):
            for step in steps(job):
                for path, cls, inputs in inputs_of(step.data, step.path, self._catalog):
                    for at, value, mark in _marked(cls.Inputs, inputs, path) if cls.Inputs is not None else ():
                        if (text := self.known(value)) is not None and not mark.is_content(text):
                            self._input(at, text, mark)

    def known(self, value: Any) -> str | None:
        """The value as a run will have it; None if only a run knows that."""
        return known_text(value, self._snapshot.env)

    def masked(self, text: str) -> str:
        """The text without secrets of the environment, which a path may hold."""
        return self._redactor.mask(text)

    @cached_property
    def _redactor(self) -> Redactor:
        return self._snapshot.redactor()  # needed only for findings, of which there may be many

    def find(self, text: str) -> Path:
        """As `Assets.find`, for the run to come."""
        return self.rule.find(text, self._sandbox)

    def calendar(self, text: str, at: DocPath) -> None:
        """Check a calendar and its days."""
        from aetherflow.core.runtime.opening.calendars import find_calendar  # few flows need it

        try:
            find_calendar(text, self.rule, self._sandbox, self._document.source.value(at), format_path(at))
        except SpecError as error:
            for each in error.problems:
                self._problems.add(replace(each, message=self.masked(each.message)))
        else:
            self.other_meaning(text, self.find(text), at)

    def other_meaning(self, text: str, path: Path, at: DocPath, profiles: Path | None = None) -> None:
        """Warn if another version, or the current folder, would mean another file than `path`, which exists."""
        if expanded(text).is_absolute():
            return
        base = profiles or self.rule.folder
        top = "the bundle's folder" if self.rule.in_bundle else "the project's folder"
        olds = [
            (self.rule.from_top(text), top, "in a bundle 1.0"),
            (self.rule.folder / text if profiles else None, "the flow's folder", "1.0"),
        ]
        for old, where, who in olds:
            if old is None or not is_there(old, folder=path.is_dir()) or old.resolve() == (base / text).resolve():
                continue
            if old.resolve() == path.resolve():
                message = f"{text} is found in {where} only, not beside this file"
                self._warn(message, at, f"write the path relative to this file: {_relative(path, base)}")
                return
            if other_file(path, old):
                message = f"{text} is the file beside this one; {who} took another one, from {where}"
                self._warn(message, at, f"if that one is meant, write {_relative(old, base)}; else rename one of them")
                return
        if (here := self._in_current_folder(text, path)) is not None:
            message = f"{text} is the file beside this one; the current folder has another one of that name"
            self._warn(message, at, f"if that one is meant, write {_relative(here, base)}; 0.x took it")

    def missing_fix(self, text: str, path: Path, at: DocPath) -> str:
        """What to do about a file that is not there."""
        named_in = Path(self._document.source.value(at).file)
        if not expanded(text).is_absolute() and (here := self._in_current_folder(text, path)) is not None:
            relative = _relative(here, named_in.absolute().parent)
            return f"it is in the current folder only; write the path relative to this file: {relative}"
        return f"the path is relative to {named_in}; looked for {_shown(path)}"

    @property
    def outside_fix(self) -> str:
        """What to do about a file that may not be read."""
        widens = "`paths.read` of the project file widens that"
        if self.rule.in_bundle or not self._sandbox.enterprise:
            widens = "the project file aetherflow.yaml widens that to its own folder, and to those of its `paths.read`"
        return f"name a file, no link, in {_shown(self.rule.root)} or below; {widens}"

    def _settings(
        self, resource: Mapping[str, Any], path: DocPath
    ) -> Iterator[tuple[DocPath, type[BaseModel], dict[str, Any]]]:
        kind, driver = resource.get("kind"), resource.get("driver")
        if not isinstance(kind, str) or not isinstance(driver, str):
            return
        try:
            cls = self._catalog.connector(kind, driver)
        except AetherflowError:
            return  # reported where connectors are checked
        for section, model in models_of(cls):
            if isinstance(given := resource.get(section), dict):
                yield (*path, section), model, given

    def _input(self, at: DocPath, text: str, mark: AssetFile) -> None:
        try:
            path = self.find(text)
        except PathError as error:
            self._add(error.message, at, self.outside_fix)
            return
        if is_there(path, folder=mark.folder):
            self.other_meaning(text, path, at)
            self._problems.extend(findings(path, "what is run", strict=self._sandbox.enterprise))
        else:
            self._missing(at, text, path, mark, elsewhere="warning")

    def _setting(self, at: DocPath, value: str, mark: AssetFile) -> None:
        text = self.known(value)
        if text is None or mark.is_content(text):
            return
        source = self._document.source
        profiles = source.folder_of_profiles(at) if isinstance(source, MergedSource) else None
        path = self.rule.locate(text, profiles)
        if not self.rule.holds(path, text, profiles):
            message = f"{text} is outside of the flow's folder, so a bundle has no such file"
            fix = f"put it in {_shown(profiles or self.rule.root)} or below, or write an absolute path"
            self._add(message, at, fix, "warning")
            return
        if is_there(path, folder=mark.folder):
            self.other_meaning(text, path, at, profiles)
            self._problems.extend(findings(path, "whom connections trust", strict=True))
        else:
            self._missing(at, text, path, mark, elsewhere=None)

    def _missing(self, at: DocPath, text: str, path: Path, mark: AssetFile, elsewhere: Severity | None) -> None:
        """Report a missing file; one that is not below the flow's root may be made later, or be on another machine."""
        severity: Severity | None = "error" if self._belongs(text, path) else elsewhere
        if severity is not None:
            what = "folder" if mark.folder else "file"
            self._add(
                f"no such {what}: {text}", at, self.missing_fix(text, path, at), "warning" if mark.local else severity
            )

    def _belongs(self, text: str, path: Path) -> bool:
        if self.rule.in_bundle or not expanded(text).is_absolute():
            return not expanded(text).is_absolute() or path.is_relative_to(self._sandbox.flow_folder)
        return path.is_relative_to(self.rule.root) and not path.is_relative_to(self._sandbox.work_root)

    def _in_current_folder(self, text: str, path: Path) -> Path | None:
        """The other file that the path means in the current folder, if there is one."""
        here = Path.cwd() / text
        return here if here.parent != path.parent and other_file(path, here) else None

    def _warn(self, message: str, at: DocPath, fix: str) -> None:
        where = self._document.source.value(at)
        text, fix = self.masked(f"{format_path(at)}: {message}"), self.masked(fix)
        self._problems.add(Problem("AF1220", text, where, format_path(at), OTHER, fix, "warning"))

    def _add(self, message: str, at: DocPath, fix: str, severity: Severity = "error") -> None:
        where = self._document.source.value(at)
        text, fix = self.masked(f"{format_path(at)}: {message}"), self.masked(fix)
        self._problems.add(Problem("AF1219", text, where, format_path(at), MISSING, fix, severity))


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.resolve(), folder.resolve())


def _shown(path: Path) -> str:
    """A path for messages: relative to the current folder, if it is inside."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _marked(model: type[BaseModel], data: Any, path: DocPath) -> Iterator[tuple[DocPath, str, AssetFile]]:
    """Path in the document, value and mark of each marked value; each once, also if several models hold it."""
    found = {at: (value, mark) for at, value, mark in assets_in(model, data)}
    for at, (value, mark) in found.items():
        yield (*path, *at), value, mark
