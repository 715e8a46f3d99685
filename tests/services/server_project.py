"""A project whose states are in a throw-away server, and a second host of it."""

import os
import shutil
import subprocess
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest

import warm
from core_project import Project, Result
from db_places import settings
from server_stores import place_of
from services import Database

TLS_OFF = "ssl: false"  # the throw-away servers have no certificate
_IN_A_CONTAINER = warm.true_start("a fork is in no other PID namespace")


class Folder(Protocol):
    """A folder with documents, and the environment variables for its commands."""

    env: dict[str, str]

    def write(self, text: str, name: str) -> object:
        """Write a document into the folder; `name` is that of its file."""


def keep_states_in(project: Folder, server: Database, more: str = "") -> None:
    """Write the project file that keeps states in a database, and the variable with its password."""
    given = settings(server)
    project.env["OPS_PASSWORD"] = given["password"]
    project.write(
        f"""\
state: {{resource: ops_db}}
resources:
  ops_db:
    kind: db
    driver: {server.driver}
    config:
      {{host: {server.host}, port: {server.port}, database: {server.name}, user: {server.user},
       password: "{{{{env.OPS_PASSWORD}}}}", {TLS_OFF}}}
    options: {{connect_timeout: 5}}
{more}""",
        "aetherflow.yaml",
    )


def state_of(server: Database) -> str:
    """The name of the state there."""
    return f"//{server.driver}:ops_db"


def end_leases(server: Database) -> None:
    """What a minute does to the leases and heartbeats of runs whose host is gone."""
    older = "UPDATE runs SET heartbeat_at = heartbeat_at - 60000"
    place_of(server).within("state", "UPDATE owners SET expires_at = 0", older)


class OtherHost:
    """Another host of a project: the same flows and project file, folders and a name of its own."""

    def __init__(self, project: Project, name: str = "two", *, apart: bool = False) -> None:
        """`apart`: its processes, network and monotonic clock are its own, too; each start is another such host."""
        if os.geteuid() != 0 or shutil.which("unshare") is None:
            pytest.skip("only root gives a process another host name")
        self._project, self._name, self._apart = project, name, apart
        self.folder = folder = project.folder / f"host-{name}"
        folder.mkdir()
        self.boot = folder / "boot_id"
        self.boot.write_text(f"{name:0>8}-0000-4000-8000-000000000000\n")
        self.env = {"AETHERFLOW_WORK_ROOT": str(folder / "work"), "AETHERFLOW_STATE_ROOT": str(folder / "state")}
        self.states = Path(self.env["AETHERFLOW_STATE_ROOT"])

    @property
    def prefix(self) -> tuple[str, ...]:
        """What starts a process there."""
        boot = 'mount --bind "$1" /proc/sys/kernel/random/boot_id'
        link = "ip link set lo up && " if self._apart else ""
        script = f'hostname {self._name} && {boot} && {link}shift && exec "$@"'
        return ("unshare", "--uts", "--mount", *self._own(), "sh", "-c", script, "sh", str(self.boot))

    def _own(self) -> tuple[str, ...]:
        if not self._apart:
            return ()
        clock = f"--monotonic={zlib.crc32(self._name.encode()) % 1_000_000}"
        return ("--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--time", clock)

    def argv(self, *arguments: str) -> list[str]:
        """The arguments that start a command there."""
        return [*self.prefix, *self._project.argv(*arguments)]

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """The variables of a process there."""
        return {**self._project.env, **self.env, **(env or {})}


class Container:
    """A container of this machine: the same boot and clock; a name, processes and folders of its own."""

    def __init__(self, project: Project, name: str, *, shares: bool = False) -> None:
        """`shares`: its work and state folders are volumes, those of the project."""
        if os.geteuid() != 0 or shutil.which("unshare") is None:
            pytest.skip("only root makes namespaces")
        self._project = project
        script = f'hostname {name} && shift && exec "$@"'
        self.prefix = (
            *("unshare", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("sh", "-c", script, "sh", name),
        )
        folder = project.folder / f"container-{name}"
        own = {"AETHERFLOW_WORK_ROOT": str(folder / "work"), "AETHERFLOW_STATE_ROOT": str(folder / "state")}
        self.env = {} if shares else own

    def command(self, *arguments: str) -> Result:
        """Run a command there."""
        return self._project.command(*arguments, env=self.env, prefix=self.prefix, by=_IN_A_CONTAINER)

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a command there; killing what is returned kills the container."""
        argv = [*self.prefix, *self._project.argv(*arguments)]
        env = {**self._project.env, **self.env}
        nowhere = subprocess.DEVNULL
        return _IN_A_CONTAINER.Popen(argv, cwd=self._project.folder, env=env, stdout=nowhere, stderr=nowhere)
