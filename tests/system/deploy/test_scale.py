"""`docs/examples/scale`: the manifests are valid, and what they start works, here as plain processes."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import warm
from celery_workers import Herd, herd_on

VERSIONS = ("1.27", "1.32", "1.37")
EXAMPLE = Path(__file__).parents[3] / "docs/examples/scale"


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((EXAMPLE / "kubernetes.yaml").read_text()))


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())["services"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_are_valid(version: str) -> None:
    kinds = [each["kind"] for each in manifests()]
    assert kinds == ["PersistentVolumeClaim", "Service", "StatefulSet", *["Deployment"] * 3]
    for each in manifests():
        kubernetes_validate.validate(each, version, strict=True)


def test_containers_and_pods_start_the_same() -> None:
    pods = {}
    for each in manifests():
        if each["kind"] == "Deployment":
            (container,) = each["spec"]["template"]["spec"]["containers"]
            pods[container["name"]] = container["args"]
    assert pods == {name: each["command"] for name, each in services().items() if name != "broker"}


@pytest.mark.xdist_group("rabbit")  # one worker starts the server
def test_the_same_as_processes(rabbit_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with herd_on(tmp_path, rabbit_url, monkeypatch) as herd:
        for name in ("scheduler.yaml", "flow.yaml", "city.yaml"):
            (tmp_path / name).write_text((EXAMPLE / name).read_text())
        for name, service in services().items():
            program, command, *more = service.get("command", ("", ""))
            if command == "worker":
                assert program == "aetherflow-scheduler", name
                herd.worker(*more)
        scheduler = _start(herd, *services()["scheduler"]["command"][1:])
        for item in ("hello", "cities"):
            process = _start(herd, "run-item", "scheduler.yaml", item)
            assert process.wait(120) == 0, "\n".join(herd.log(number) for number in range(len(herd.workers)))
        rows = herd.query("SELECT params FROM runs WHERE status='SUCCESS'", "city")
        names = sorted(json.loads(params)["name"] for (params,) in rows)
        assert names == ["Bergen", "Oslo", "Oslo", "Stavanger", "Trondheim"]
        assert herd.log(1).count("succeeded") == 4, "the cities were executed by the workers of their queue"
        scheduler.send_signal(signal.SIGTERM)
        assert scheduler.wait(60) == 0


def _start(herd: Herd, *arguments: str) -> Any:
    argv = [sys.executable, "-m", "aetherflow.scheduler", *arguments]
    with (herd.folder / "scheduler.log").open("ab") as log:
        return warm.Popen(argv, cwd=herd.folder, env=herd.env, stdout=log, stderr=log)
