"""The command that brings what is missing: every extra at the installed version, all that a document lacks at once."""

from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core_project import Project
VERSION = version("aetherflow-core")


def test_the_version_is_that_of_the_distribution_whose_extra_it_is(project: "Project") -> None:
    project.plugin("acme-fsspec", "[aetherflow.steps]\nacme = acme:Step\n")  # version 1.0
    said = project.python(
        """
        from aetherflow.core.api import install_command
        print(install_command("s3", of="acme-fsspec"))
        print(install_command(of="aetherflow-builtins-of-tomorrow"))
        """
    )
    assert said.splitlines() == [
        'pip install "acme-fsspec[s3]==1.0"',
        f'pip install "aetherflow-builtins-of-tomorrow=={VERSION}"',
    ]
