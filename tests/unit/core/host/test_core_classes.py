"""Every field that can hold a text says what it is for the machine: data, a host, a file, code."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field, SecretStr

from aetherflow.core.api import (
    Arguments,
    AssetPath,
    BundleSource,
    BundleSourceConfig,
    ConnectorBase,
    ConnectorConfig,
    ConnectorOptions,
    Flag,
    Holds,
    PlainText,
    PlainValue,
    ReadPath,
    ResourceRef,
    Step,
    StepInputs,
    WritePath,
    register_step,
)
from aetherflow.core.host import catalog
from aetherflow.core.host.asset_fields import unclassed
from aetherflow.core.host.importing import import_target
from aetherflow.core.host.metadata import installed_in
from aetherflow.core.host.names import BUNDLE_SOURCES, CONNECTORS, STEPS
from aetherflow.core.testing import BundleSourceSuite, ConnectorSuite, FlowProject, StepSuite
from aetherflow.core.testing.describe import file_fields

TESTS = Path(__file__).parents[3]
MODELS = [
    (f"{entry.kind} {entry.shown_name}", model)
    for group in (STEPS, CONNECTORS, BUNDLE_SOURCES)
    for entry in installed_in(group)
    for name in ("Inputs", "Config", "Options")
    if (model := getattr(import_target(entry), name, None)) is not None
]


def test_all_models_are_looked_at() -> None:
    assert len(MODELS) >= 100


@pytest.mark.parametrize(("name", "model"), MODELS, ids=lambda each: each if isinstance(each, str) else each.__name__)
def test_every_text_of_ours_has_a_class(name: str, model: Any) -> None:
    assert unclassed(model) == [], f"{name}: PlainText, ReadPath, WritePath, Holds.HOST or Holds.CODE"


def test_every_step_that_names_files_is_in_a_suite() -> None:
    """`StepSuite` puts a path outside of the run's folders into each such field."""
    suites = "\n".join(path.read_text() for path in TESTS.rglob("test_*suites.py"))
    suites += "\n".join(path.read_text() for path in TESTS.rglob("test_*_file_steps.py"))
    named = set(re.findall(r'^    name = "(.*)"', suites, re.MULTILINE))
    steps = {entry.name for entry in installed_in(STEPS) if file_fields(import_target(entry).Inputs)}
    assert (len(steps) >= 30, steps - named) == (True, set())


class Word(StrEnum):
    ONE = "one"


class Inner(StepInputs):
    plain: str = Field("", description="A text.")
    path: ReadPath = Field("", description="A file.")


class Inputs(StepInputs):
    text: str = Field("", description="A text.")
    either: PlainText | str | None = Field(None, description="One of two.")
    anything: Any = Field(None, description="Any value.")
    place: Path | None = Field(None, description="A path.")
    bare: dict = Field({}, description="A map.")  # type: ignore[type-arg]
    names: tuple[str, ...] = Field((), description="A list.")
    values: dict[str, str | int] = Field({}, description="A map.")
    inner: list[Inner] = Field([], description="Models.")
    raw: bytes = Field(b"", description="Bytes.")

    number: int | float | Decimal | None = Field(None, description="A number.")
    flag: Flag = Field(False, description="A flag.")
    when: datetime | None = Field(None, description="A time.")
    word: Word | Literal["two"] = Field("two", description="A choice.")
    secret: SecretStr | None = Field(None, description="A secret.")
    resource: Annotated[str, ResourceRef("db")] | None = Field(None, description="A resource.")
    asset: AssetPath | None = Field(None, description="A file of the flow.")
    data: dict[str, PlainText] = Field({}, description="A map.")
    rows: list[PlainValue] = Field([], description="Values.")
    whole: Annotated[list[str], Holds.CODE] = Field([], description="A command line.")
    target: WritePath | None = Field(None, description="A file.")
    passed: Annotated[dict[str, Any], Arguments(lambda _value, _resource: ())] = Field({}, description="Arguments.")


def test_what_can_hold_a_text_needs_a_class() -> None:
    texts = ["text", "either", "anything", "place", "bare", "names.[]", "values.*", "inner.[].plain", "raw"]
    assert unclassed(Inputs) == texts
    assert file_fields(Inputs) == ["inner.[].path", "target"]


class Unclassed(StepInputs):
    cache_dir: str = Field(description="A folder.")


class Careless(StepInputs):
    path: ReadPath = Field(description="A file.")
    dest: WritePath = Field("copy", description="A file.")


class Copies(Step[Careless]):
    """Copies a file, wherever it is.

    - id: copy
      type: unit_copies
      inputs: {path: "{{env.HOME}}/a"}
    """

    def run(self) -> Mapping[str, Any]:
        data = self.ctx.artifacts_dir(self.job_id).joinpath(self.args.path).read_bytes()
        with self.ctx.write_file(self.args.dest) as file:
            file.write(data)
        return {}


def test_the_suites_teach_the_classes() -> None:
    """The message names the field, and what to write."""

    class OfStep(Step[Unclassed]):
        def run(self) -> None: ...

    class Config(ConnectorConfig):
        host: str = Field(description="The host.")

    class OfPeer(ConnectorBase[Config, ConnectorOptions]): ...

    class Keys(BundleSourceConfig):
        shelf: str = Field(description="A folder.")

    class Source(BundleSource[Keys]):
        list = fetch = lambda *_: None  # type: ignore[assignment]

    suites = (
        type("A", (StepSuite,), {"step": OfStep})(),
        type("B", (ConnectorSuite,), {"connector": OfPeer})(),
        type("C", (BundleSourceSuite,), {"source": Source})(),
    )
    for suite, field in zip(suites, ("Unclassed: cache_dir", "Config: host", "Keys: shelf"), strict=True):
        with pytest.raises(AssertionError, match=field) as caught:
            suite.test_every_text_has_a_class()
        assert "ReadPath or WritePath for a file" in str(caught.value)


def test_the_suite_catches_a_step_that_reads_what_is_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    register_step("unit_copies")(Copies)

    class Suite(StepSuite):
        step: ClassVar = Copies
        name = "unit_copies"

    with pytest.raises(AssertionError, match=r"path: call ctx\.read_path or ctx\.write_path"):
        Suite().test_files_outside_are_refused(FlowProject(tmp_path / "project"), tmp_path)
