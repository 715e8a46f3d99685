import pytest

from aetherflow.core.kernel.sequencing.plan import JobPlan, Plan, PluginChange, RunOptions, Verdict


@pytest.mark.parametrize(
    ("verdicts", "idle"),
    [
        ([], True),
        ([Verdict.REUSE, Verdict.LEAVE], True),
        ([Verdict.REUSE, Verdict.RUN], False),
        ([Verdict.RUN_AGAIN], False),
        ([Verdict.LEAVE, Verdict.ASK], False),
    ],
)
def test_a_plan_without_anything_to_run_is_idle(verdicts: list[Verdict], idle: bool) -> None:
    jobs = [JobPlan(f"j{number}", verdict, None) for number, verdict in enumerate(verdicts)]
    assert Plan(jobs, [], RunOptions().nothing()).idle is idle


def test_a_change_of_a_plugin_tells_both_versions() -> None:
    assert str(PluginChange("acme-db", "1.0", "1.1")) == "acme-db 1.0 -> 1.1"


def test_changes_are_accepted_only_if_asked_for() -> None:
    assert RunOptions().accept_changes is False
