"""The public surface: pinned names, described names, errors with codes of their own."""

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import aetherflow.core
from aetherflow.core import api, exception, runner, validation
from aetherflow.core.base import claim_errors, errors
from aetherflow.core.host import compatible, locked
from aetherflow.core.kernel.sequencing import run_errors

if TYPE_CHECKING:
    from core_project import Project

NAMES = [
    "API_VERSION",
    "STEP_SKIPPED",
    "STEP_SUCCESS",
    "Acknowledged",
    "AetherflowError",
    "AppendsFiles",
    "ArchiveConnector",
    "ArchiveFormat",
    "ArchiveInput",
    "ArchiveWork",
    "Arguments",
    "ArrowRows",
    "ArrowSource",
    "AssetFile",
    "AssetPath",
    "BackgroundHash",
    "Backoff",
    "BulkLoader",
    "BundleSource",
    "BundleSourceConfig",
    "BundleSourceInit",
    "ChangedDefinitionError",
    "Claim",
    "ClaimBusyError",
    "ClaimedFileError",
    "ClaimsLostError",
    "CleanupPolicy",
    "ClearTextError",
    "Column",
    "ColumnKind",
    "ColumnType",
    "ConnectorBase",
    "ConnectorConfig",
    "ConnectorError",
    "ConnectorInit",
    "ConnectorOptions",
    "Connectors",
    "CsvBlocks",
    "CsvFormat",
    "CsvQuoting",
    "CsvSource",
    "DbResource",
    "Difference",
    "DocumentGraph",
    "DocumentKind",
    "EntryKind",
    "Envelope",
    "ExtractLimits",
    "ExtractRules",
    "FieldMap",
    "FileConnector",
    "FindsMails",
    "Flag",
    "FlowMetaSpec",
    "FlowResult",
    "FlowSpec",
    "GraphEdge",
    "GraphNode",
    "HashesFiles",
    "HeldLock",
    "Holds",
    "HookBase",
    "HttpCall",
    "HttpConnector",
    "InsecureWhen",
    "JobInfo",
    "JobSpec",
    "JsonSource",
    "Lack",
    "LateDatabase",
    "LeanSource",
    "LeaseLostError",
    "Ledger",
    "LimitExceededError",
    "LoadBatch",
    "LoadFile",
    "LoadJob",
    "LockBusyError",
    "LockInfo",
    "LockScope",
    "LocksSpec",
    "MailConnector",
    "MailError",
    "MailReceipt",
    "MailUnknownError",
    "NeedsMemoryError",
    "NeedsPerson",
    "Outcome",
    "OutputError",
    "Packing",
    "ParquetSupportMissing",
    "PathError",
    "PlainText",
    "PlainValue",
    "PlanInfo",
    "PlannedJob",
    "PlannedStep",
    "PluginSettings",
    "PreparedFile",
    "Problem",
    "ProcessError",
    "ProgramTools",
    "ReadPath",
    "RemoteEntry",
    "RemoteFileError",
    "RemoteFileMeta",
    "ReportTooLargeError",
    "ResolverMissingKeyError",
    "ResolverSyntaxError",
    "ResourceRef",
    "ResourceSpec",
    "ResumableWriter",
    "Row",
    "Rows",
    "RowsRefusedError",
    "RunBusyError",
    "RunContext",
    "RunFailedError",
    "RunInfo",
    "RunInterruptedError",
    "RunUnknownError",
    "SameAs",
    "ScriptResult",
    "ScriptRunner",
    "SendsCalls",
    "ServerFacts",
    "SetsMode",
    "SetsMtime",
    "Settings",
    "SpecError",
    "SqlConnector",
    "SqlDialect",
    "SqlLoader",
    "SqlTable",
    "SqlTransaction",
    "StateBackend",
    "StateError",
    "StateSpec",
    "Step",
    "StepCancelledError",
    "StepError",
    "StepInfo",
    "StepInputError",
    "StepInputs",
    "StepOutputs",
    "StepResult",
    "StepSpec",
    "StepTimeoutError",
    "StoreConflictError",
    "TableColumn",
    "TableMaker",
    "UndecidedStepError",
    "Unpacked",
    "UntrustedError",
    "UsageError",
    "WorkspaceSpec",
    "WritePath",
    "WritesLocally",
    "WritesTogether",
    "class_place",
    "get_connector",
    "get_step",
    "guarded_programs",
    "hookimpl",
    "install_command",
    "is_loopback",
    "list_connectors",
    "list_steps",
    "new_run_id",
    "open_file",
    "parse_bool",
    "register_connector",
    "register_step",
    "require",
    "require_attr",
    "wrong_result",
]


def test_the_surface_is_pinned() -> None:
    assert api.__all__ == NAMES
    kinds: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for name in NAMES:
        kinds[0 if name.isupper() else 1 if name[0].isupper() else 2].append(name)
    assert [*sorted(kinds[0]), *sorted(kinds[1]), *sorted(kinds[2])] == NAMES, "constants, classes, functions"
    assert len(set(NAMES)) == len(NAMES)
    for name in NAMES:
        assert hasattr(api, name)


def test_every_public_class_and_function_is_described() -> None:
    for name in NAMES:
        found = getattr(api, name)
        if not (inspect.isclass(found) or inspect.isfunction(found)):
            continue
        assert (found.__doc__ or "").strip(), name
        if inspect.isclass(found) and found.__module__.startswith("aetherflow.core.contracts"):
            for attribute, value in vars(found).items():
                if inspect.isfunction(value) and not attribute.startswith("_"):
                    described = (value.__doc__ or "").strip()
                    assert described, f"{name}.{attribute}"


def test_the_documented_names_elsewhere() -> None:
    assert aetherflow.core.run_flow is runner.run_flow
    assert callable(validation.validate_flow_yaml)
    assert exception.SpecError is api.SpecError
    assert exception.ConnectorError is api.ConnectorError
    assert issubclass(exception.ResolverSyntaxError, ValueError)
    assert issubclass(exception.ResolverMissingKeyError, KeyError)
    assert issubclass(exception.SpecError, ValueError)
    assert issubclass(exception.ConnectorError, RuntimeError)
    with pytest.raises(AttributeError):
        aetherflow.core.nonsense  # noqa: B018


def classes(*modules: Any) -> list[type[errors.AetherflowError]]:
    found = [
        (value, module)
        for module in modules or (errors, run_errors, locked, compatible)
        for value in vars(module).values()
    ]
    own = [value for value, module in found if inspect.isclass(value) and value.__module__ == module.__name__]
    return [each for each in own if issubclass(each, errors.AetherflowError)]


def test_every_error_stands_in_the_tree_with_its_base_and_exit_code() -> None:
    tree = {}
    parents: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ([│├└─ ]*)(\w+Error)\b(?: \((\w+)\))?(?:\s+exit (\d+)(?!\+|\d))?", line)
        if match:
            depth = len(match[1])
            parents = [item for item in parents if item[0] < depth]
            tree[match[2]] = (parents[-1][1] if parents else "Exception", match[3], match[4])
            parents.append((depth, match[2]))
    assert set(tree) == {cls.__name__ for cls in classes()}
    for cls in classes():
        base, builtin, code = tree[cls.__name__]
        assert [c.__name__ for c in cls.__bases__] == [name for name in (base, builtin) if name], cls
        if code is not None:
            assert cls.exit_code == int(code), cls
        elif base != "Exception" and cls is not run_errors.RunInterruptedError:
            assert cls.exit_code == {each.__name__: each for each in classes()}[base].exit_code, cls


def test_codes_are_unique() -> None:
    codes: dict[str, list[str]] = {}
    for cls in [*classes(), *classes(claim_errors)]:
        assert re.fullmatch(r"AF\d{4}", cls.code)
        codes.setdefault(cls.code, []).append(cls.__name__)
    shared = {code: names for code, names in codes.items() if len(names) > 1}
    # RunError itself is never raised
    assert shared == {"AF3001": ["RunError", "RunFailedError"]}
    problems = set()
    for path in Path(errors.__file__).parents[1].rglob("*.py"):
        problems |= set(re.findall(r'"(AF\d{4})"', path.read_text()))
    assert {cls.code for cls in classes()} <= problems


@pytest.mark.parametrize("value", [True, "true", "TRUE", " yes ", "1", 1, "on"])
def test_parse_bool_true(value: Any) -> None:
    assert api.parse_bool(value) is True


@pytest.mark.parametrize("value", [False, "false", "No", "0", 0, "off"])
def test_parse_bool_false(value: Any) -> None:
    assert api.parse_bool(value) is False


@pytest.mark.parametrize("value", ["", "maybe", 2, None, 1.0, [], "y", "t"])
def test_parse_bool_takes_nothing_else(value: Any) -> None:
    with pytest.raises(ValueError, match="true, false"):
        api.parse_bool(value)


def test_require() -> None:
    assert api.require("json").dumps
    assert api.require("json:dumps")
    assert api.require_attr("json", "dumps")
    text = "Optional dependency missing: Module {}. Install it to use this connector/step."
    for spec in ("no_such_module", "json:nope"):
        with pytest.raises(RuntimeError) as caught:
            api.require(spec)
        assert str(caught.value) == text.format(spec)
    with pytest.raises(RuntimeError) as caught:
        api.require_attr("json", "nope")
    assert str(caught.value) == text.format("json Attribute nope")


def test_names_that_are_not_known() -> None:
    with pytest.raises(KeyError) as step:
        api.get_step("nope")
    assert str(step.value).startswith("Unknown step type: nope. Loaded: [")
    with pytest.raises(KeyError) as connector:
        api.get_connector("db", "nope")
    assert str(connector.value).startswith("Unknown connector: db:nope. Loaded: [")
    assert "external.process" in api.list_steps() == sorted(api.list_steps())
    assert "db:sqlite3" in api.list_connectors() == sorted(api.list_connectors())


def test_a_step_by_itself() -> None:
    class Own(api.Step[Any]):
        required_inputs = {"a", "b"}  # noqa: RUF012 as plugins write it

        def run(self) -> None: ...

    step = Own("s", {"a": 1}, None, "j")  # type: ignore[arg-type]  # no run is needed
    assert (step.id, step.inputs, step.job_id, Own.Inputs) == ("s", {"a": 1}, "j", None)
    with pytest.raises(ValueError, match=r"Step s missing inputs: \['b'\]"):
        step.validate()
    assert api.StepResult("SUCCESS", {"x": 1}, "why").as_output() == {"x": 1, "reason": "why"}
    assert api.StepResult("SUCCESS", {"reason": "own"}, "why").as_output() == {"reason": "own"}
    assert re.fullmatch("[0-9a-f]{12}", api.new_run_id())
    assert api.new_run_id() != api.new_run_id()


def test_a_connector_by_itself() -> None:
    connector: api.ConnectorBase[Any, Any] = api.ConnectorBase(api.ConnectorInit("n", "k", "d", {"a": 1}, {}))
    with connector as same:
        assert same is connector
    connector.close()
    assert (connector.name, connector.kind, connector.driver, connector.config) == ("n", "k", "d", {"a": 1})

    class Loose(api.ConnectorBase[Any, Any]): ...

    assert Loose.Config is None
    assert Loose(api.ConnectorInit("n", "k", "d", {}, {})).options == {}


def test_connectors_of_a_run(project: "Project") -> None:
    events: list[str] = []

    @api.register_connector("test", "counted")
    class Counted(api.ConnectorBase[Any, Any]):
        def __init__(self, init: api.ConnectorInit) -> None:
            super().__init__(init)
            events.append(f"open {init.name}")

        def close(self) -> None:
            events.append(f"close {self.name}")
            raise RuntimeError("closing fails")

    @api.register_step("test_connectors")
    class Uses(api.Step[Any]):
        """Asks for connectors in every way."""

        def run(self) -> dict[str, Any]:
            connectors = self.ctx.connectors
            assert "one" in connectors
            assert "gone" not in connectors
            assert sorted(connectors) == ["never", "one"]
            assert len(connectors) == 2
            assert connectors["one"] is connectors.get(kind="test", name="one")
            with pytest.raises(KeyError) as unknown:
                _ = connectors["gone"]
            with pytest.raises(KeyError) as other:
                connectors.db("one")
            return {"errors": [unknown.value.args[0], other.value.args[0]]}

    path = project.write(
        """\
        flow: {id: f}
        resources:
          one: {kind: test, driver: counted}
          never: {kind: test, driver: counted}
        jobs: [{id: a, steps: [{id: s, type: test_connectors, outputs: {e: "{{result.errors}}"}}]}]
        """
    )
    assert runner.run_flow(path).status == "SUCCESS"
    assert events == ["open one", "close one"]
    import json

    ((text,),) = project.rows("SELECT outputs FROM job_runs")
    assert json.loads(text)["e"] == [
        "Unknown resource: gone. Known: ['never', 'one']",
        "Resource one is kind=test, requested kind=db",
    ]
