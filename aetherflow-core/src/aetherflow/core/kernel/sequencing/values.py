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

    def without_secrets(
        self, key: StepKey, outputs: Mapping[str, Any], promoted: Mapping[str, Any] | None
    ) -> tuple[Mapping[str, Any], tuple[str, ...], Mapping[str, Any] | None]:
        """Remove outputs that hold a secret, with a warning.

        Returns the step's outputs to store, the names that were removed, and the job's outputs to store.
        """
        secret = self._secret_keys(outputs)
        if secret:
            names = ", ".join(secret)
            self._warn(key, f"output {names} holds a secret: not stored; the step runs again if a resumed run needs it")
            outputs = {name: value for name, value in outputs.items() if name not in secret}
        if promoted is not None and (hidden := self._secret_keys(promoted)):
            promoted = {name: value for name, value in promoted.items() if name not in hidden}
        return outputs, secret, promoted

    def is_secret(self, key: StepKey, items: list[Any]) -> bool:
        """Whether a list of `for_each` holds a secret and must not be stored; warns if so."""
        found = bool(self._secret_keys({"items": items}))
        if found:
            self._warn(key, "for_each holds a secret: the list is not stored; a resumed run makes it again")
        return found

    def _warn(self, key: StepKey, message: str) -> None:
        self._services.events.emit(
            "log", level="WARNING", job_id=key.job, step_id=key.step, message=f"{key}: {message}"
        )

    def _secret_keys(self, outputs: Mapping[str, Any]) -> tuple[str, ...]:
        redactor = self._services.redactor
        if not outputs or not redactor.longest or redactor.mask(text := to_json(outputs)) == text:
            return ()
        return tuple(name for name, value in outputs.items() if redactor.mask(text := to_json({name: value})) != text)
