"""Says where the files of a release come from: an in-toto statement with SLSA provenance, in a signed DSSE envelope."""

import datetime as dt
import json
import platform
import subprocess
from getpass import getpass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined] # public, by its documentation

PROVENANCE = "provenance.intoto.jsonl"
PAYLOAD = "application/vnd.in-toto+json"


def load_key(path: Path) -> Ed25519PrivateKey:
    """The private key in a file of OpenSSH; asks for its passphrase. Raises OSError, ValueError."""
    data = path.read_bytes()
    try:
        key = load_ssh_private_key(data, None)
    except TypeError:
        key = load_ssh_private_key(data, getpass(f"passphrase of {path}: ").encode())
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("its type is not ed25519")
    return key


def write_provenance(root: Path, sums: Path, epoch: int, started: dt.datetime, key: Ed25519PrivateKey) -> None:
    """Write the signed statement beside the sums, about them and about each file in them.

    Only here are the times of the build: all other files are equal each time.
    """
    made = Envelope(json.dumps(_statement(root, sums, epoch, started)).encode(), PAYLOAD, {})
    made.sign(CryptoSigner(key))
    sums.with_name(PROVENANCE).write_text(json.dumps(made.to_dict()) + "\n")


def _statement(root: Path, sums: Path, epoch: int, started: dt.datetime) -> dict[str, Any]:
    git = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(git, cwd=root, check=True, capture_output=True, text=True).stdout.strip()
    files = {name: digest for digest, name in (line.split("  ", 1) for line in sums.read_text().splitlines())}
    files[sums.name] = _digest(sums)
    tools = {"python": platform.python_version(), **{name: version(name) for name in ("hatchling", "uv")}}
    times = {"startedOn": started, "finishedOn": dt.datetime.now(dt.UTC)}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(files.items())],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:aetherflow:make-release:v1",
                "externalParameters": {"SOURCE_DATE_EPOCH": epoch},
                "resolvedDependencies": [
                    {"name": "sources", "digest": {"gitCommit": commit}},
                    {"name": "constraints.txt", "digest": {"sha256": _digest(root / "constraints.txt")}},
                ],
            },
            "runDetails": {
                # a maintainer's own machine: level 1 of SLSA's build track
                "builder": {"id": "urn:aetherflow:maintainer", "version": tools},
                "metadata": {name: f"{time:%Y-%m-%dT%H:%M:%SZ}" for name, time in times.items()},
            },
        },
    }


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
