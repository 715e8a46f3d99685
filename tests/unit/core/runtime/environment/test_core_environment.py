"""The environment of a run: env files, settings, the project file, the secrets hook, profiles and decode."""

import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core_environment import HOOK, snapshot

from aetherflow.core.base.errors import SpecError
from aetherflow.core.runtime.environment.secrets import SecretsHookError
from aetherflow.core.runtime.environment.settings import SettingsError, load_with_sources
from aetherflow.core.runtime.environment.snapshot import build_snapshot
from aetherflow.core.validation import validate_flow_yaml

if TYPE_CHECKING:
    from core_project import Project


def files(*specs: Any) -> dict[str, str]:
    return {"AETHERFLOW_ENV_FILES_JSON": json.dumps(specs)}


def problems(project: "Project", **ambient: str) -> list[tuple[str, int, int]]:
    with pytest.raises(SpecError) as caught:
        snapshot(project, **ambient)
    assert all(item.fix for item in caught.value.problems)
    return [(item.af, item.location.line, item.location.column) for item in caught.value.problems]


# Env files


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("export A=1", "1"),
        (" A = 1 ", "1"),
        ("A=1 # remark", "1"),
        ("A=1#2", "1#2"),
        ("A=# remark", ""),
        ("A=", ""),
        ("A='1 # 2' # 3", "1 # 2"),
        ('A=" 1 "', " 1 "),
        ("A='it's'", "it's"),
        ("A=a=b", "a=b"),
        ("A=\\n$B", "\\n$B"),
        ("A=x\u2028y\x0cz", "x\u2028y\x0cz"),
        ("\ufeffA=1", "1"),
        ("A=1\r", "1"),
    ],
)
def test_lines_of_a_dotenv_file(project: "Project", line: str, value: str) -> None:
    path = project.folder / ".env"
    path.write_bytes(f"{line}\n\n# remark\nZ=2\n".encode())
    found = snapshot(project, **files({"type": "dotenv", "path": ".env"}))
    assert (found.env["A"], found.env["Z"]) == (value, "2")
    assert str(found.origins["Z"]) == f"env file {path}:4:1"


def test_every_bad_line_is_named(project: "Project") -> None:
    project.write("A=1\nnonsense\n  B='open\n=x\nC=\0\n", ".env")
    assert problems(project, **files(".env")) == [
        ("AF1502", 2, 1), ("AF1502", 3, 3), ("AF1502", 4, 1), ("AF1502", 5, 1),
    ]  # fmt: skip


def test_json_and_folders(project: "Project") -> None:
    path = project.write('{\n "A": 1,\n "B": true,\n "C": null,\n "D": {"A": [1]},\n "E": "x"\n}', "x.json")
    folder = project.folder / "secrets"
    folder.mkdir()
    (folder / "TOKEN").write_text("hunter2\r\n\n")
    (folder / "sub").mkdir()
    found = snapshot(project, **files("x.json", {"type": "DIR-OF-FILES", "path": "secrets", "prefix": "P_"}))
    assert [found.env.get(key) for key in "ABCDE"] == ["1", "True", None, '{"A": [1]}', "x"]
    assert str(found.origins["E"]) == f"env file {path}:6:2"
    assert found.env["P_TOKEN"] == "hunter2"
    assert "P_TOKEN" in found.masked


@pytest.mark.parametrize(
    "text",
    ["[1]", "{", '{"A": 1, "A": 2}', '{"": 1}', '{"A=B": 1}', '{"A": "\\u0000"}', "[" * 100_000, "9" * 5_000],
)
def test_bad_json_is_refused(project: "Project", text: str) -> None:
    project.write(text, "x.json")
    assert {af for af, *_ in problems(project, **files("x.json"))} == {"AF1502"}


def test_large_files_take_no_time(project: "Project") -> None:
    project.write(json.dumps({f"K{n}": n for n in range(5_000)}, indent=1), "x.json")
    project.write(f"A=x{' ' * 100_000}y\n", "y.env")
    found = snapshot(project, **files("x.json", "y.env"))
    assert found.origins["K4999"].location is not None
    assert found.origins["K4999"].location.line == 5_001


def test_missing_optional_order_and_prefix(project: "Project") -> None:
    assert [af for af, *_ in problems(project, **files("gone.env"))] == ["AF1501"]
    project.write("A=1\nB=1\n", "1.env")
    project.write("A=2\n", "2.env")
    optional = {"type": "dotenv", "path": "gone", "optional": "yes"}
    found = snapshot(project, B="os", C="os", **files(optional, "1.env", "2.env"))
    assert [found.env[key] for key in "ABC"] == ["2", "1", "os"]
    assert found.origins["C"].kind == "os"
    assert "A" not in os.environ


@pytest.mark.parametrize("bad", ["{", "{}", '[{"type": "ini", "path": "x"}]', '[{"path": "x"}]', "[1]", '[{"typ": 1}]'])
def test_bad_lists_of_env_files(project: "Project", bad: str) -> None:
    assert problems(project, AETHERFLOW_ENV_FILES_JSON=bad)


@pytest.mark.parametrize("key", ["MODE", "STRICT_SANDBOX", "CONFIG", "SETTINGS_MODULE", "ENV_FILES_JSON"])
def test_no_env_file_sets_policy(project: "Project", key: str) -> None:
    project.write(f"A=1\nAETHERFLOW_{key}=x\n", ".env")
    assert problems(project, **files(".env")) == [("AF1505", 2, 1)]


def test_a_file_that_is_not_text(project: "Project") -> None:
    (project.folder / "x.env").write_bytes(b"A=\xff")
    assert [af for af, *_ in problems(project, **files("x.env"))] == ["AF1504"]
    assert [af for af, *_ in problems(project, **files({"type": "dotenv", "path": "."}))] == ["AF1504"]


# Settings and the project file


def test_settings_in_order(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    project.module("own_settings", "SETTINGS = {'log_level': 'WARNING', 'state_root': '/module', 'plugin_strict': 0}")
    monkeypatch.syspath_prepend(project.site)
    project.write("log: {level: error, format: json}\nroots: {work: ~/w, state: s}\n", "aetherflow.yaml")
    env = {"AETHERFLOW_SETTINGS_MODULE": "own_settings", "AETHERFLOW_LOG_LEVEL": "debug"}
    found = build_snapshot(project.folder, ambient=env, overrides={"state_root": "/override"}, run_hooks=True)
    settings, sources = found.settings, found.setting_sources
    assert (settings.log_level, sources["log_level"]) == ("DEBUG", "environment")
    assert (settings.log_format, sources["log_format"]) == ("json", "project file")
    assert (settings.state_root, sources["state_root"]) == ("/override", "override")
    assert (settings.plugin_strict, sources["plugin_strict"]) == (False, "settings module")
    assert (settings.mode, sources["mode"]) == ("internal_fast", "default")
    assert settings.work_root == str(Path.home() / "w")


@pytest.mark.parametrize("text", ["true", "TRUE", "1", "yes", "on"])
def test_one_reader_of_booleans(text: str) -> None:
    names = ("STRICT_SANDBOX", "PLUGIN_STRICT", "CONNECTOR_CACHE_DISABLED", "VALIDATE_ENV_STRICT")
    settings, _ = load_with_sources(env={f"AETHERFLOW_{name}": text for name in names})
    read = settings.strict_sandbox, settings.plugin_strict, settings.connector_cache_disabled
    assert (*read, settings.validate_env_strict) == (True, True, True, True)


@pytest.mark.parametrize("name", ["MODE", "STRICT_SANDBOX", "LOG_LEVEL", "STOP_GRACE_SECONDS", "LOG_FORMAT"])
def test_a_bad_setting_is_named_and_its_value_is_not(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_with_sources(env={f"AETHERFLOW_{name}": "hunter2"})
    assert f"AETHERFLOW_{name} (environment)" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_enterprise_cannot_be_loosened(project: "Project") -> None:
    project.write("policy: {mode: enterprise}\n", "aetherflow.yaml")
    ambient = {"AETHERFLOW_MODE": "internal_fast", "AETHERFLOW_STRICT_SANDBOX": "0", "AETHERFLOW_PLUGIN_PATHS": "/x"}
    found = snapshot(project, **ambient)
    assert (found.settings.mode, found.settings.strict_sandbox) == ("enterprise", True)
    assert found.settings.plugin_paths == []
    assert (found.env["AETHERFLOW_MODE"], found.env["AETHERFLOW_STRICT_SANDBOX"]) == ("enterprise", "true")
    with pytest.raises(SettingsError):
        snapshot(project, AETHERFLOW_SETTINGS_MODULE="json")


def test_the_nearest_project_file_or_the_named_one(project: "Project") -> None:
    below = project.folder / "a" / "b"
    below.mkdir(parents=True)
    project.write("log: {level: ERROR}\n", "aetherflow.yaml")
    other = project.write("log: {level: DEBUG}\n", "other.yaml")
    assert build_snapshot(below, ambient={}).settings.log_level == "ERROR"
    assert build_snapshot(below, ambient={"AETHERFLOW_CONFIG": str(other)}).settings.log_level == "DEBUG"
    assert build_snapshot(below, ambient={}, config=other).settings.log_level == "DEBUG"
    project.write("log: {level: WARNING}\n", "a/aetherflow.yaml")
    assert build_snapshot(below, ambient={}).settings.log_level == "WARNING"
    with pytest.raises(SpecError) as caught:
        build_snapshot(below, ambient={}, config=project.folder / "gone.yaml")
    assert caught.value.problems[0].af == "AF1001"


@pytest.mark.parametrize("mode", [0o666, 0o606, 0o602])
def test_a_project_file_that_others_may_write_is_refused(project: "Project", mode: int) -> None:
    project.write("version: 1\n", "aetherflow.yaml").chmod(mode)
    project.flow("jobs: []\n")
    for command in ("validate", "run"):
        result = project.cli(command, "flow.yaml")
        assert result.code == 2
        assert "AF1601" in result.out + result.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_project_file_of_a_stranger_is_refused(project: "Project") -> None:
    os.chown(project.write("version: 1\n", "aetherflow.yaml"), 12345, -1)
    assert [af for af, *_ in problems(project)] == ["AF1601"]


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"b{n}: &a [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n" for n in range(9)),
        "[" * 100,
        "!!python/object/apply:os.system [id]",
        "version: 2",
        "limits: {flow_bytes: 0}",
        "secrets: {path: [x]}",
        "plugins: {paths: {a: b}}",
        "log: {level: LOUD}",
        "- 1",
        "",
        "a: 1\na: 2",
    ],
)
def test_hostile_project_files_are_refused(project: "Project", text: str) -> None:
    project.write(text, "aetherflow.yaml")
    project.flow("jobs: []\n")
    result = project.cli("run", "flow.yaml")
    assert result.code == 2
    assert re.match(r".*aetherflow\.yaml:\d+:\d+: AF1\d\d\d ", result.err)
    assert not project.state.exists()


def test_limits_of_the_project_file_hold(project: "Project") -> None:
    project.write("limits: {flow_nodes: 5}\n", "aetherflow.yaml")
    path = project.flow("jobs: []\n")
    assert [item["af"] for item in validate_flow_yaml(path)["errors"]] == ["AF1006"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("def expand_env(env): return env", "lacks `decode`"),
        ("def decode(v): return v\ndef other(): pass", "other public functions: other"),
        ("1 / 0", "ZeroDivisionError"),
        ("def decode(v): return v\ndef expand_env(env): return None", "map from text to text"),
        ("def decode(v): return v\ndef expand_env(env): raise ValueError('hunter2')", "failed with ValueError"),
    ],
)
def test_bad_hooks(project: "Project", text: str, part: str) -> None:
    project.write(text, "hook.py")
    with pytest.raises(SecretsHookError) as caught:
        snapshot(project, AETHERFLOW_SECRETS_PATH="hook.py")
    assert part in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_no_hook_sets_policy(project: "Project") -> None:
    project.write("def decode(v): return v\ndef expand_env(e): return {**e, 'AETHERFLOW_MODE': 'x'}", "hook.py")
    assert [af for af, *_ in problems(project, AETHERFLOW_SECRETS_PATH="hook.py")] == ["AF1505"]


# Profiles and decode

WITH_PROFILE = "resources:\n  r: {kind: db, driver: sqlite3, profile: p, config: {}}\njobs: []\n"


def test_profiles_are_checked_where_they_stand(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    path = project.flow(WITH_PROFILE)
    assert [item["af"] for item in validate_flow_yaml(path)["errors"]] == ["AF1211"]
    profiles = project.write("p:\n  config:\n    pth: x\n    path: '{{steps.a.b}}'\n", "profiles.yaml")
    monkeypatch.setenv("AETHERFLOW_PROFILES_FILE", str(profiles))
    errors = validate_flow_yaml(path)["errors"]
    assert [(item["af"], item["file"], item["line"]) for item in errors] == [
        ("AF1101", str(profiles), 3), ("AF1302", str(profiles), 4),
    ]  # fmt: skip
    monkeypatch.setenv("AETHERFLOW_PROFILES_JSON", "{}")
    assert "AF1520" in [item["af"] for item in validate_flow_yaml(path)["errors"]]
    monkeypatch.delenv("AETHERFLOW_PROFILES_FILE")
    monkeypatch.setenv("AETHERFLOW_PROFILES_JSON", '{"p": {"config": {"path": "x.db"}}}')
    assert validate_flow_yaml(path)["ok"]
    project.write("profiles_file: profiles.yaml\n", "aetherflow.yaml")
    assert validate_flow_yaml(path)["ok"], "a project file's profiles yield to those of the environment"


def test_decode_needs_a_hook_and_a_whole_token(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    def write(value: str, decode: str) -> list[str]:
        resource = f"{{kind: db, driver: sqlite3, config: {{path: {value}}}, decode: {decode}}}"
        return [i["af"] for i in validate_flow_yaml(project.flow(f"resources:\n  r: {resource}\njobs: []\n"))["errors"]]

    assert write("eA==", "{config: {path: true}}") == ["AF1702"]
    assert write("eA==", "{config_paths: [path]}") == ["AF1702"]
    project.module("own_hook2", HOOK)
    monkeypatch.syspath_prepend(project.site)
    monkeypatch.setenv("AETHERFLOW_SECRETS_MODULE", "own_hook2")
    assert write("eA==", "{config: {path: true}}") == []
    assert write('"{{env.HOME:x}}"', "{config_paths: [path]}") == []
    assert write('"a{{env.HOME:x}}"', "{config_paths: [path]}") == ["AF1305"]
    assert write("x", "{config: {path: maybe}}") == ["AF1306"]
    assert write("broken", "{config: {path: true}}") == []
    result = project.cli("run", "flow.yaml")
    assert result.code == 2
    assert "AF1701" in result.err
    assert "hunter2" not in result.err


def test_keys_of_json_stand_where_they_are_read_in_one_pass(project: "Project") -> None:
    text = '{\n "A": 1,\n "B\\u00e9": {"A": [2, "}"]},\n\n "C": null, "D": "x"\n}\n'
    (project.folder / "x.json").write_text(text)
    found = snapshot(project, **files("x.json"))
    places = {key: found.origins[key].location for key in ("A", "Bé", "D")}
    assert {key: (at.line, at.column) for key, at in places.items() if at} == {"A": (2, 2), "Bé": (3, 2), "D": (5, 13)}
    spent = []
    for count in (5_000, 20_000):
        (project.folder / "x.json").write_text(json.dumps({f"k\u00e9{n}": "v" * 9 for n in range(count)}, indent=1))
        started = time.process_time()
        snapshot(project, **files("x.json"))
        spent.append(time.process_time() - started)
    assert spent[1] < 12 * max(spent[0], 0.01)
