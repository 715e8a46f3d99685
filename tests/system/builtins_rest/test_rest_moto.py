"""Somebody else's API, driven by YAML alone: moto's server, in an environment of its own."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aetherflow.core.testing import FlowProject
from svc import Server, free_port, port_open, workdir
from uv_program import uv

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def moto(root: Path) -> Iterator[str]:
    """The address of a moto server."""
    with workdir("moto") as folder:
        env = folder / "env"
        uv("venv", "--python", sys.executable, env, cwd=folder)
        pins = ("-c", root / "constraints.txt")
        uv("pip", "install", "--python", env / "bin/python", *pins, "moto[server]", cwd=folder)
        port = free_port()
        command: list[str | Path] = [env / "bin/moto_server", "-H", "127.0.0.1", "-p", str(port)]
        http_api = Server(command, folder / "log", lambda: port_open(port))
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            http_api.stop()


def test_s3_and_dynamodb(flow_project: FlowProject, moto: str) -> None:
    import pyarrow.parquet as pq

    shutil.copy(HERE / "moto.yaml", flow_project.folder / "flow.yaml")
    flow_project.env["MOTO"] = moto
    assert flow_project.command("validate", "flow.yaml").code == 0
    done = flow_project.command("run", "flow.yaml", "--run-id", "r")
    assert done.code == 0, done.err
    table = pq.read_table(flow_project.work / "moto/table/r/artifacts/people.parquet")
    assert sorted(table.column("id").to_pylist()) == ["ada", "grace", "joan", "mary", "radia"]
    again = flow_project.work / "moto/objects/r/artifacts"
    assert (again / "again.jsonl").read_bytes() == (again / "made.jsonl").read_bytes()
