"""The launcher `observe`: starts nothing, so that a schedule can run in the shadow of what starts its items today."""

from collections.abc import Callable

from aetherflow.scheduler.launchers.base import Launcher, Outcome, Running, RunRequest


class ObserveLauncher(Launcher):
    """Starts nothing: every slot is SUCCESS at once, with the reason that it was only observed."""

    def start(self, request: RunRequest, ended: Callable[[], None]) -> Running:
        del request
        ended()
        return _Observed()


class _Observed(Running):
    def poll(self) -> Outcome | None:
        return Outcome(0, {"status": "SUCCESS", "observed": True})

    def terminate(self) -> None:
        pass

    def kill(self) -> None:
        pass
