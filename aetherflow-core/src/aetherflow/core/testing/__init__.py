"""The test kit for plugins: suites that test the contracts, and a flow project in a temporary folder.

A suite is a base class whose name ends in `Suite`. A test module subclasses it under a name that begins with `Test`
and sets what is under test; pytest collects the inherited tests. The built-in plugins are tested by the same suites.

Needs pytest, which aetherflow-core does not install.
"""

from pathlib import Path

import pytest

# pytest shows the values of a failed assertion only in modules that are registered before they are imported
pytest.register_assert_rewrite(
    *(f"{__name__}.{path.stem}" for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")
)

from aetherflow.core.testing.archive import ArchiveSuite  # noqa: E402 after the line above, on purpose
from aetherflow.core.testing.bundle_source import BundleSourceSuite  # noqa: E402
from aetherflow.core.testing.commands import CommandSuite  # noqa: E402
from aetherflow.core.testing.connector import ConnectorSuite  # noqa: E402
from aetherflow.core.testing.crash import CrashSuite  # noqa: E402
from aetherflow.core.testing.file_transfer import FileTransferSuite  # noqa: E402
from aetherflow.core.testing.hooks import HookSuite  # noqa: E402
from aetherflow.core.testing.http import HttpSuite  # noqa: E402
from aetherflow.core.testing.locks import LockSuite  # noqa: E402
from aetherflow.core.testing.mail import Delivered, MailSuite  # noqa: E402
from aetherflow.core.testing.project import CommandResult, FlowProject, Ran, RanStep  # noqa: E402
from aetherflow.core.testing.registry import RegistrySuite  # noqa: E402
from aetherflow.core.testing.sql import SqlSuite  # noqa: E402
from aetherflow.core.testing.state import StateBackendSuite  # noqa: E402
from aetherflow.core.testing.step import StepSuite  # noqa: E402

__all__ = [
    "ArchiveSuite",
    "BundleSourceSuite",
    "CommandResult",
    "CommandSuite",
    "ConnectorSuite",
    "CrashSuite",
    "Delivered",
    "FileTransferSuite",
    "FlowProject",
    "HookSuite",
    "HttpSuite",
    "LockSuite",
    "MailSuite",
    "Ran",
    "RanStep",
    "RegistrySuite",
    "SqlSuite",
    "StateBackendSuite",
    "StepSuite",
]
