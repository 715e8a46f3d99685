"""Distributions as pip installs them: metadata with a RECORD, and modules."""

import textwrap
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from aetherflow.core.host import compatible, distributions, faults, hook_objects, loading, metadata
from aetherflow.core.host.catalog import installed_catalog


def install(
    site: Path,
    name: str,
    points: str,
    files: Mapping[str, str],
    *,
    version: str = "1.0",
    requires: Sequence[str] = (),
    recorded: bool = True,
) -> Path:
    """Write a distribution into a folder that is on the path; returns its folder of metadata."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    facts = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {x}" for x in requires),
    ]
    written = {
        **{file: textwrap.dedent(text) for file, text in files.items()},
        f"{info}/METADATA": "\n".join([*facts, "", "Requires-Dist: what a README says", ""]),
        f"{info}/entry_points.txt": textwrap.dedent(points),
        f"{info}/INSTALLER": "pip\n",
    }
    for file, text in written.items():
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_text(text)
    if recorded:
        lines = [f"{file},sha256={_digest(text)},{len(text)}" for file, text in written.items()]
        lines += [f"../../../bin/{name},sha256=of-the-shebang,10", f"{info}/RECORD,,", "x/__pycache__/y.pyc,,"]
        (site / info / "RECORD").write_text("\n".join(lines) + "\n")
    return site / info


def forget() -> None:
    """Let this process look again at what is installed."""
    distributions.distributions.cache_clear()
    distributions._first.cache_clear()
    for scan in (metadata._texts, metadata.group_errors, metadata.installed_in, metadata.installed_hooks):
        cast("Any", scan).cache_clear()
    for rule in (compatible._unmet, compatible._core, faults._packages):
        cast("Any", rule).cache_clear()
    for load in (loading.load_plugin, loading.load_legacy, hook_objects.imported, installed_catalog):
        cast("Any", load).cache_clear()


def _digest(text: str) -> str:
    return urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b"=").decode()
