"""`aetherflow explain`: every value with its origin, and no secret."""

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from core_project import Project

CANARY = "canary-5e1f-77aa"
PLUGIN = """
from pydantic import Field, SecretStr
from typing import Annotated
from aetherflow.core.api import ConnectorBase, ConnectorConfig, ConnectorOptions, Flag, InsecureWhen

class Config(ConnectorConfig):
    host: str
    pin: SecretStr | None = None
    verify: Annotated[Flag, InsecureWhen(False)] = True

class Options(ConnectorOptions):
    headers: dict[str, str] = {}

class Shop(ConnectorBase[Config, Options]):
    requires = ("no_such_driver_of_shop",)
"""


def shop(project: "Project") -> None:
    project.plugin("acme-shop", "[aetherflow.connectors]\nrest.shop = acme_shop:Shop\n")
    project.module("acme_shop", PLUGIN)


@pytest.fixture
def layered(project: "Project") -> "Project":
    """A flow, a profile below it, an env file below that."""
    shop(project)
    project.write("env_files: [.env]\nprofiles_file: profiles.yaml\n", "aetherflow.yaml").chmod(0o600)
    project.write(f"# hosts\nSHOP_HOST=shop.example\nSHOP_KEY={CANARY}\nSHOP_TOKEN={CANARY}x\n", ".env")
    project.write(
        """\
        dev:
          config: {host: "{{env.SHOP_HOST}}", pin: "{{env.SHOP_KEY}}"}
          options: {headers: {X: a, Authorization: b}}
          decode: {options_paths: [headers.Authorization]}
        """,
        "profiles.yaml",
    )
    project.write(
        """\
        version: 1
        flow:
          id: f
          description: "day {{run.date.iso}} for {{env.SHOP_HOST}}"
        resources:
          shop:
            kind: rest
            driver: shop
            profile: dev
            config: {verify: "no"}
            options: {headers: {X: "u {{env.SHOP_TOKEN}}"}}
            decode: {config: {pin: true}}
          bare: {kind: rest, driver: shop, config: {host: "https://me:hidden-pw@h/{{env.GONE_TOKEN:fallback-secret}}"}}
        jobs: []
        """
    )
    return project


def explain(project: "Project", *arguments: str) -> str:
    result = project.command("explain", "flow.yaml", *arguments)
    assert result.code == 0, result.err
    return result.out


def test_the_text_names_every_value_and_its_place(layered: "Project") -> None:
    out = explain(layered)
    lines = [" ".join(line.split()) for line in out.splitlines()]
    folder = layered.folder
    assert lines[0] == "Flow: flow.yaml"
    assert "flow.id f flow flow.yaml:3:7" in lines
    assert f"flow.workspace.root {layered.work} setting work_root from environment" in lines, out
    assert "flow.workspace.cleanup_policy on_success default" in lines
    assert any(line.startswith("flow.description day {{run.date.iso}} for shop.example") for line in lines)
    assert "Resource: shop (rest/shop) profile=dev" in lines
    assert "Resource: bare (rest/shop)" in lines
    place = f"profile dev profiles.yaml:2:18, env.SHOP_HOST {folder}/.env:2:1"
    assert f"config.host shop.example {place}" in lines
    assert any(line.startswith("config.pin ***") for line in lines)
    decode = json.loads(lines[lines.index("decode:") + 1])
    assert decode == {"config": {"pin": True}, "options_paths": ["headers.Authorization"]}
    assert "INSECURE: resources.shop.config.verify = no" in lines
    assert f"profiles_file {folder}/profiles.yaml setting from project file {folder}/aetherflow.yaml:2:16" in lines


def test_a_value_shows_its_chain(layered: "Project") -> None:
    report = json.loads(explain(layered, "--value", "resources.shop.options.headers.X", "--json"))
    assert (report["schema"], report["flow_yaml"]) == (1, "flow.yaml")
    (value,) = report["values"].values()
    assert value["value"] == "u ***"
    chain = [(link["what"], link["file"] and link["file"].rpartition("/")[2], link["line"]) for link in value["chain"]]
    assert chain == [("profile dev", "profiles.yaml", 3), ("flow", "flow.yaml", 11), ("env.SHOP_TOKEN", ".env", 4)]
    text = explain(layered, "--value", "resources.shop.config.host").splitlines()
    assert text == [
        "resources.shop.config.host = shop.example",
        "  profile dev  profiles.yaml:2:18  {{env.SHOP_HOST}}",
        f"  env.SHOP_HOST  {layered.folder}/.env:2:1  from env file",
    ]
    assert len(explain(layered, "--value", "resources.shop.config").splitlines()) > 6
    assert explain(layered, "--value", "settings.mode").startswith("settings.mode = internal_fast")


def test_no_secret_is_shown(layered: "Project") -> None:
    everything = [explain(layered), explain(layered, "--json")]
    everything += [explain(layered, "--value", path) for path in ("flow", "resources", "settings")]
    for out in everything:
        for secret in (CANARY, "fallback-secret", "hidden-pw"):
            assert secret not in out


def test_json_has_the_contracts_keys(layered: "Project") -> None:
    report = json.loads(explain(layered, "--json"))
    assert report["schema"] == 1
    assert set(report["resources"]) == {"shop", "bare"}
    assert {"kind", "driver", "profile", "decode"} <= report["resources"]["bare"].keys()
    assert report["resources"]["bare"]["profile"] is None
    assert report["insecure"] == ["resources.shop.config.verify"]


def test_a_loosened_sandbox_is_insecure(project: "Project") -> None:
    project.flow("jobs: []\n")
    result = project.command("explain", "flow.yaml", env={"AETHERFLOW_STRICT_SANDBOX": "false"})
    assert "INSECURE: settings.strict_sandbox = false" in result.out


def test_documents_in_settings_are_not_printed(project: "Project") -> None:
    project.flow("jobs: []\n")
    profiles = json.dumps({"x": {"config": {"key": CANARY}}})
    result = project.command("explain", "flow.yaml", "--json", env={"AETHERFLOW_PROFILES_JSON": profiles})
    assert json.loads(result.out)["settings"]["settings.profiles_json"]["value"] == "(set)"
    assert CANARY not in result.out


def test_an_unknown_value_and_an_unreadable_flow(layered: "Project") -> None:
    result = layered.command("explain", "flow.yaml", "--value", "resources.shop.config.hots")
    assert (result.code, result.out) == (2, "")
    assert "did you mean 'resources.shop.config.host'?" in result.err
    layered.write("a: [\n")
    result = layered.command("explain", "flow.yaml")
    assert (result.code, result.out) == (2, "")
    assert "AF1004" in result.err
    layered.write("- 1\n")
    assert layered.command("explain", "flow.yaml").code == 2


def test_a_hook_beside_the_flow_is_not_run(project: "Project") -> None:
    project.flow("jobs: []\n")
    project.write("open('ran', 'w').close()\ndef decode(value):\n    return value\n", "hook.py")
    env = {"AETHERFLOW_SECRETS_PATH": "hook.py"}
    result = project.command("explain", "flow.yaml", env=env)
    assert "Not evaluated: secrets hook hook.py" in result.out
    assert not (project.folder / "ran").exists()
    assert "Not evaluated" not in project.command("explain", "flow.yaml", "--run-hooks", env=env).out
    assert (project.folder / "ran").exists()
