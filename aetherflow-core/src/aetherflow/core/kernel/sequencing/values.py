"""The values of steps: the scope of their templates, the outputs of their job, and what may be stored."""

from collections.abc import Mapping
from typing import Any

from aetherflow.core.base.location import DocPath
from aetherflow.core.contracts.written import plain
from aetherflow.core.kernel.resolver.template import render
from aetherflow.core.kernel.sequencing.execution import JobRun
from aetherflow.core.kernel.sequencing.services import RunServices
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.kernel.state.values import to_json
from aetherflow.core.kernel.yaml.flow import StepSpec


class StepValues:
    """The values of the steps of one run."""

    def __init__(self, services: RunServices) -> None:
        self._services = services

    def scope(self, job: JobRun, result: Mapping[str, Any]) -> dict[str, Any]:
        """The scope of a step's templates."""
        services = self._services
        return {
            **services.constants,
            "steps": job.steps,
            "job": {"id": job.spec.id, "outputs": job.outputs},
            "jobs": services.jobs,
            "run_id": services.run_id,
            "flow_id": services.flow_id,
            "result": result,
            **({"lock": {"key": job.lock.key, "token": job.lock.token}} if job.lock is not None else {}),
        }

    def lock_key(self, job: JobRun) -> str:
        """The key of the job's own lock; empty without one. Raises ResolverError."""
        if (lock := job.spec.lock) is None:
            return ""
        found = render(lock.key, self.scope(job, {}), (*job.path, "lock", "key"))
        return found if isinstance(found, str) else to_json(found)

    def promoted(self, job: JobRun, step: StepSpec, result: Mapping[str, Any], path: DocPath) -> dict[str, Any] | None:
        """The job's outputs, with those that the step promotes added; None if it promotes none."""
        if not step.outputs:
            return None
        return {**job.outputs, **plain(render(step.outputs, self.scope(job, result), (*path, "outputs")))}

    def encoded(
        self, key: StepKey, outputs: Mapping[str, Any], promoted: Mapping[str, Any] | None
    ) -> tuple[str, tuple[str, ...], str | None]:
        """The outputs of a step as JSON, without those that hold a secret; their names; the outputs of its job.

        Warns of a secret. OutputError for what cannot be stored.
        """
        text, secret = self._encoded(outputs)
        if secret:
            names = ", ".join(secret)
            self._warn(key, f"output {names} holds a secret: not stored; the step runs again if a resumed run needs it")
        return text, secret, None if promoted is None else self._encoded(promoted)[0]

    def encoded_items(self, key: StepKey, items: list[Any]) -> str | None:
        """A list of `for_each` as JSON; None, with a warning, if it holds a secret and must not be stored."""
        text, secret = self._encoded({"items": items})
        if not secret:
            return text
        self._warn(key, "for_each holds a secret: the list is not stored; a resumed run makes it again")
        return None

    def _warn(self, key: StepKey, message: str) -> None:
        self._services.events.emit(
            "log", level="WARNING", job_id=key.job, step_id=key.step, message=f"{key}: {message}"
        )

    def _encoded(self, outputs: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
        """Outputs as JSON, without those that hold a secret, and the names of these."""
        redactor, text = self._services.redactor, to_json(outputs)
        if not outputs or not redactor.longest or redactor.mask(text) == text:
            return text, ()
        each = {name: to_json({name: value}) for name, value in outputs.items()}
        secret = tuple(name for name, one in each.items() if redactor.mask(one) != one)
        return to_json({name: value for name, value in outputs.items() if name not in secret}), secret
