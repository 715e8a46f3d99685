"""`aetherflow doctor`: what is missing on this host, without touching it."""

import json
import time
from typing import TYPE_CHECKING

import pytest
from core_doctor import CANARY, codes, doctor, resource

if TYPE_CHECKING:
    from core_project import Project
PLUGIN = """
import time
from pydantic import SecretStr
from aetherflow.core.api import ConnectorBase, ConnectorConfig, ConnectorError, ConnectorOptions

class Config(ConnectorConfig):
    password: str = "x"

class Shop(ConnectorBase[Config, ConnectorOptions]):
    def probe(self):
        raise ConnectorError(f"login with {self.conf.password} refused", fix=f"check {self.conf.password}")

class Slow(Shop):
    def probe(self):
        time.sleep(60)

class Mute(ConnectorBase[Config, ConnectorOptions]):
    requires = ("no_such_driver", "json")

class Hop(ConnectorConfig):
    pin: SecretStr = SecretStr("")

class Hops(ConnectorConfig):
    hop: Hop = Hop()

class Odd(ConnectorBase[Hops, ConnectorOptions]):
    def probe(self):
        raise ZeroDivisionError("odd " + self.conf.hop.pin.get_secret_value())
"""
ENTRIES = "[aetherflow.connectors]\n" + "".join(
    f"rest.{name.lower()} = acme:{name}\n" for name in ("Shop", "Slow", "Mute", "Odd")
)


@pytest.fixture
def acme(project: "Project") -> "Project":
    """A project with connectors that cannot be reached in several ways."""
    project.plugin("acme", ENTRIES)
    project.module("acme", PLUGIN)
    return project


def test_profiles_plugins_drivers_and_hooks(acme: "Project") -> None:
    resource(acme, "{kind: db, driver: sqlite3, profile: gone}")
    assert codes(doctor(acme, code=2)) == ["AF1211"]
    resource(acme, "{kind: db, driver: nothing}")
    assert codes(doctor(acme, code=2)) == ["AF2101"]
    resource(acme, "{kind: rest, driver: mute}")
    (told,) = doctor(acme, code=2)["errors"]
    assert told["af"] == "AF2105"
    assert told["fix"].startswith("install what provides the module no_such_driver: ")
    resource(acme, "{kind: rest, driver: shop, config: {password: '{{env.PW:x}}'}, decode: {config_paths: [password]}}")
    assert codes(doctor(acme, code=2)) == ["AF1702"]
    acme.write("def decode(value):\n    open('ran', 'w').close()\n    return value\n", "hook.py")
    report = doctor(acme, "--connect", code=0, AETHERFLOW_SECRETS_PATH="hook.py")
    assert set(codes(report, "warnings")) == {"AF1703", "AF6005"}
    assert not (acme.folder / "ran").exists()
    assert codes(doctor(acme, code=2, AETHERFLOW_SECRETS_MODULE="no_such_hook")) == ["AF1701"]


def test_places_that_cannot_be_used(project: "Project", unprivileged: tuple[str, ...]) -> None:
    project.write("x", "file")
    project.flow("jobs: []\n")
    assert codes(doctor(project, code=2, AETHERFLOW_WORK_ROOT=str(project.folder / "file" / "w"))) == ["AF6002"]
    assert codes(doctor(project, code=2, AETHERFLOW_STATE_ROOT=str(project.folder / "file" / "w"))) == ["AF6002"]
    (project.folder / "locked").mkdir(mode=0o500)
    env = {"AETHERFLOW_WORK_ROOT": str(project.folder / "locked" / "w")}
    result = project.command("doctor", "flow.yaml", env=env, prefix=unprivileged)
    assert result.code == 2
    assert "AF6002" in result.out
    assert not list((project.folder / "locked").iterdir())


def test_a_state_in_a_folder_that_may_not_be_entered(project: "Project", unprivileged: tuple[str, ...]) -> None:
    (project.folder / "locked").mkdir(mode=0o600)
    place = project.folder / "locked" / "deep" / "s.sqlite"
    project.write(f"version: 1\nflow: {{id: f, state: {{path: {place}}}}}\njobs: []\n", "flow.yaml")
    result = project.command("doctor", "flow.yaml", prefix=unprivileged)
    assert result.code == 2
    assert f"AF4001 state file {place}: permission denied" in result.out
    assert f"namei -l {place.parents[1]}" in result.out


def test_connect(acme: "Project") -> None:
    acme.flow(
        f"""\
        resources:
          gone: {{kind: rest, driver: shop, config: {{password: {CANARY}}}}}
          slow: {{kind: rest, driver: slow}}
          odd: {{kind: rest, driver: odd, config: {{hop: {{pin: of-the-hop}}}}}}
          lite: {{kind: db, driver: sqlite3, config: {{path: x.db}}}}
          duck: {{kind: db, driver: duckdb}}
        jobs: []
        """
    )
    started = time.monotonic()
    report = doctor(acme, "--connect", "--deadline", "2", code=2)
    assert time.monotonic() - started < 20
    states = {item["resource"]: item["state"] for item in report["connect"]}
    assert states == {"gone": "failed", "slow": "timeout", "odd": "failed", "lite": "ok", "duck": "ok"}
    assert codes(report) == ["AF5201", "AF6004", "AF5201"]
    assert report["errors"][0]["msg"] == "resource gone: login with *** refused"
    assert report["errors"][2]["msg"] == "resource odd: ZeroDivisionError: odd *** (acme 1.0, acme.py:28)"
    assert CANARY not in json.dumps(report)
    assert not acme.work.exists()
    result = acme.command("doctor", "flow.yaml", "--connect", "--deadline", "1")
    assert "connected: lite in " in result.out
    assert CANARY not in result.out + result.err


def test_no_driver_is_imported(project: "Project") -> None:
    unmeasured = {"COVERAGE_PROCESS_CONFIG": ""}  # what measures coverage imports things of its own
    resource(project, "{kind: db, driver: duckdb}")
    names = project.python(
        """
        import contextlib, io, sys
        from aetherflow.core.cli import main
        with contextlib.redirect_stdout(io.StringIO()):
            for command in (["doctor", "--as", "cron"], ["explain"], ["validate"]):
                assert main([*command, "flow.yaml"]) == 0, command
        print(*sys.modules)
        """,
        env=unmeasured,
    ).split()
    assert "aetherflow_builtins_db.connectors.duckdb.connector" in names
    assert not {"duckdb", "sqlite3", "pyarrow", "numpy"} & set(names)
