"""`export kubernetes`: CronJobs that Kubernetes' own schemas accept, and what those schemas do not look at."""

from scheduler_export_kubernetes import CLAIM, IMAGE, container, manifests

from exporting import Exporter


def test_policies_become_fields(export: Exporter) -> None:
    export.write("""
        id: a, cron: "0 12 * * *"
        id: b, cron: "0 12 * * *", overlap: queue, misfire: all, timeout_seconds: 60
        id: c, cron: "0 12 * * *", overlap: kill_old, misfire_grace_time: 3
        id: d, cron: "0 12 * * *", overlap: allow, timeout_seconds: 600, retry: {max_attempts: 3, backoff_seconds: 10}
    """)
    answer = export("kubernetes", *IMAGE, *CLAIM, "--namespace", "etl", "--path-in-image", "/app/plan.yaml")
    found = manifests(answer)
    specs = {name.rpartition("-")[2]: document["spec"] for name, document in found.items()}
    assert {name: spec["concurrencyPolicy"] for name, spec in specs.items()} == {
        "a": "Forbid",
        "b": "Allow",
        "c": "Replace",
        "d": "Allow",
    }
    deadlines = {name: spec.get("startingDeadlineSeconds") for name, spec in specs.items()}
    assert deadlines == {"a": 300, "b": None, "c": 10, "d": 300}
    assert "activeDeadlineSeconds" not in answer.out, "a pod may wait, also for a person who holds its slot"
    one = found["aetherflow-scheduler-a"]
    assert one["metadata"]["namespace"] == "etl"
    assert container(one)["image"] == IMAGE[1]
    assert container(one)["command"] == [
        *("aetherflow-scheduler", "run-item", "/app/plan.yaml", "a", "--trigger", "kubernetes")
    ]
    assert container(one)["env"][0] == {"name": "AETHERFLOW_STATE_ROOT", "value": "/state/state"}
    told = [line for line in answer.err.splitlines() if line.startswith("note: ")]
    assert any("below 10 s: c" in line for line in told)
    for line in told:
        assert f"# - {line.removeprefix('note: ')}\n" in answer.out
