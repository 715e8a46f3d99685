"""The command that brings what is missing: every extra at the installed version, all that a document lacks at once."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.api import install_command
from laid_out import lay_out, lay_out_libraries

if TYPE_CHECKING:
    from core_project import Project
ROOT = Path(__file__).parents[4]
VERSION = version("aetherflow-core")


def test_the_version_is_that_of_the_distribution_whose_extra_it_is(project: "Project") -> None:
    project.plugin("acme-fsspec", "[aetherflow.steps]\nacme = acme:Step\n")  # version 1.0
    said = project.python(
        """
        from aetherflow.core.api import install_command
        print(install_command("s3", of="acme-fsspec"))
        """
    )
    assert said.splitlines() == ['pip install "acme-fsspec[s3]==1.0"']


def test_drivers_that_nobody_asked_for_are_told_and_no_finding(project: "Project") -> None:
    """In an environment with one distribution of steps and no driver; a flow that names one is refused."""
    lay_out_libraries(project.site, "packaging", "pluggy", "pydantic", "pyyaml", "typer")
    for each in ("core", "builtins-transfer"):
        lay_out(ROOT / f"aetherflow-{each}", project.site)

    def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
        env = {**project.env, "PYTHONPATH": str(project.site)}
        line = [sys.executable, "-S", "-m", "aetherflow.core", *arguments]
        return subprocess.run(line, cwd=project.folder, env=env, capture_output=True, text=True, check=False)

    done = command("plugins", "check", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert {
        each["connector"]: (each["modules"], each["fix"].replace(sys.base_prefix, sys.prefix))
        for each in told["absent_drivers"]
    } == {
        "archive:pyminizip": (
            ["pyminizip"],
            "install what provides the module pyminizip: the documentation of the connector names it",
        ),
        "archive:pyzipper": (["pyzipper"], install_command("zip")),
        "sftp:paramiko": (["paramiko"], install_command("sftp")),
        "smb:pysmb": (["smb"], install_command("smb")),
        "smb:smbclient": (["smbclient"], install_command("smb")),
    }
    assert (told["ok"], told["findings"]) == (True, [])
    project.flow("resources: {p: {kind: sftp, driver: paramiko, config: {host: h, username: u}}}\njobs: []\n")
    done = command("validate", "flow.yaml")
    assert (done.returncode, "AF2105 resource p: the driver of sftp:paramiko is not installed" in done.stdout) == (
        2,
        True,
    )
