"""One tree, published in all seven places that a bundle may come from: each gives the same content, and it runs."""

import datetime
import hashlib
import json
import os
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from aetherflow.core.testing import FlowProject
from db_places import postgres_place, settings
from http_server import Authority, Running
from services import Database, Smbd, Sshd
from transfer_peers import sftp_resource, smb_resource

FLOW = """\
version: 1
flow: {id: nightly}
jobs:
  - id: a
    steps:
      - id: read
        type: external.process
        inputs: {command: [cat, "{{env.AETHERFLOW_LOCAL_ROOT_DIR}}/sql/ümlaut.sql"], log: {stdout: capture}}
"""
TREE = {
    "flows/main.yaml": FLOW.encode(),
    "sql/ümlaut.sql": "SELECT 'ü';\r\n".encode(),
    "data/all.bin": bytes(range(256)) * 300,
    "empty.txt": b"",
    "profiles.yaml": b"dev: {config: {}}\n",
}
Place = tuple[dict[str, Any], dict[str, Any]]
"""The manifest's `source`, and its resource `peer`."""


def write(folder: Path) -> Path:
    for name, data in TREE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@pytest.fixture
def from_filesystem(tmp_path: Path) -> Place:
    return {"base_path": str(write(tmp_path / "tree"))}, {}


@pytest.fixture
def from_archive(tmp_path: Path) -> Place:
    with tarfile.open(tmp_path / "tree.tar.gz", "w:gz") as archive:
        archive.add(write(tmp_path / "tree"), "nightly-1.0")
    return {"base_path": str(tmp_path / "tree.tar.gz"), "folder": "nightly-1.0"}, {}


@pytest.fixture
def from_git(tmp_path: Path) -> Place:
    folder = write(tmp_path / "tree")
    who = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for words in (
        ["init", "-qb", "main"],
        ["config", "core.autocrlf", "false"],
        ["add", "-A"],
        ["commit", "-qm", "it"],
    ):
        subprocess.run(["git", *words], cwd=folder, env=os.environ | who, check=True)
    return {"url": str(folder), "ref": "main"}, {}


@pytest.fixture
def from_sftp(sshd: Sshd, tmp_path: Path) -> Place:
    return {"base_path": str(write(sshd.root / tmp_path.name))}, sftp_resource(sshd)


@pytest.fixture
def from_smb(smbd: Smbd, tmp_path: Path) -> Place:
    write(smbd.root / tmp_path.name)
    return {"base_path": f"data:/{tmp_path.name}"}, smb_resource(smbd)


@pytest.fixture
def from_db(postgres: Database) -> Place:
    place = postgres_place(postgres, "bundles")
    assert place.server is not None
    own = {name: value for name, value in settings(place.server).items() if name != "database"}
    with psycopg.connect(dbname=place.server.name, **own) as connection:
        connection.execute(
            "CREATE TABLE assets (bundle text, path text, sha256 text, data bytea, updated_at timestamptz, size int)"
        )
        for path, data in TREE.items():
            row = (
                "nightly",
                path,
                hashlib.sha256(data).hexdigest(),
                data,
                datetime.datetime.now(datetime.UTC),
                len(data),
            )
            connection.execute("INSERT INTO assets VALUES (%s, %s, %s, %s, %s, %s)", row)
    return {}, place.resource


@pytest.fixture
def from_rest(http_api: Running, http_authority: Authority) -> Place:
    http_api.api.bundles["nightly"] = {path: (data, time.time()) for path, data in TREE.items()}
    config = {"base_url": http_api.url, "ca_file": str(http_authority.file)}
    resource = {"kind": "rest", "driver": "httpx", "config": config}
    return {"list_path": "/bundles/list", "fetch_path": "/bundles/fetch"}, resource


def fingerprint() -> str:
    """As the reference defines it, computed without the product."""
    pairs = [[path, hashlib.sha256(data).hexdigest()] for path, data in sorted(TREE.items())]
    return hashlib.sha256(json.dumps(pairs, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


@pytest.mark.parametrize("source", ["filesystem", "archive", "git", "sftp", "smb", "db", "rest"])
def test_the_same_tree_is_the_same_content(
    source: str, request: pytest.FixtureRequest, flow_project: FlowProject
) -> None:
    config, resource = request.getfixturevalue(f"from_{source}")
    manifest: dict[str, Any] = {
        "version": 1,
        "bundle": {
            "id": "nightly",
            "source": {"type": source, **config},
            "layout": {"profiles_file": "profiles.yaml"},
            "entry_flow": "flows/main.yaml",
        },
    }
    if resource:
        manifest["bundle"]["source"]["resource"] = "peer"
        manifest["resources"] = {"peer": resource}
    flow_project.write(yaml.safe_dump(manifest), "bundle.yaml").chmod(0o600)
    validated = flow_project.command("validate", "bundle.yaml")
    assert validated.code == 0, validated.out + validated.err
    ran = flow_project.command("run", "-m", "bundle.yaml", "--expect-fingerprint", fingerprint(), "--json")
    assert ran.code == 0, ran.out + ran.err
    ((text,),) = flow_project.rows("SELECT outputs FROM step_runs", flow_id="nightly")
    assert json.loads(text)["stdout"] == "SELECT 'ü';\r\n"
    again = flow_project.command("bundle", "sync", "-m", "bundle.yaml", "--json")
    assert again.code == 0, again.out + again.err
    told = json.loads(again.out)
    assert (told["content_fingerprint"], told["changed"]) == (fingerprint(), False)
    assert flow_project.command("bundle", "verify", "-m", "bundle.yaml").code == 0
