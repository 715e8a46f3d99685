from typing import Any

from pydantic import Field

from aetherflow.core.api import Step, StepInputs, StepResult


class InnerStep(StepInputs):
    """The step that runs while the lock is held."""

    type: str = Field(description="Type of the step")
    id: str | None = Field(None, description="Id of the step; default: the outer one's with `_inner`")
    inputs: dict[str, Any] = Field({}, description="Inputs of the step")


class Inputs(StepInputs):
    lock_key: str = Field(min_length=1, description="Name of the lock; all flows with the same lock store share it")
    step: InnerStep = Field(
        description="The step to run: type, id, inputs. Its inputs may read `lock.token` and `lock.key`"
    )
    ttl_seconds: float = Field(
        600, gt=0, description="How long a holder that no longer renews is respected, unless its death is known"
    )
    wait_seconds: float = Field(
        0, ge=0, description="Time to wait for the lock, first come, first served; 0 fails at once"
    )


class WithLock(Step[Inputs]):
    """Run a step while a lock is held, which no other run can hold at the same time; its result is the result.

    The lock is renewed as long as the run lives, and free at once when it dies. A lock that is lost stops the step.

    Example:
        - id: load
          type: with_lock
          inputs:
            lock_key: warehouse.sales
            wait_seconds: 60
            step:
              type: external.process
              inputs:
                command: [./load.sh, --fence, "{{lock.token}}"]
    """

    inner_steps = {"step": frozenset({"lock"})}  # noqa: RUF012 a ClassVar by its base

    def plan(self) -> list[str]:
        """The lock; what the inner step would do is asked of that step."""
        return [f"hold the lock {self.args.lock_key} while {self.args.step.type} runs"]

    def run(self) -> StepResult:
        """Take the lock, run the inner step, give the lock back."""
        args = self.args
        with self.ctx.lease(args.lock_key, ttl_seconds=args.ttl_seconds, wait_seconds=args.wait_seconds) as lock:
            return self.ctx.call_step(
                args.step.type,
                args.step.inputs,
                step_id=args.step.id or f"{self.id}_inner",
                roots={"lock": {"key": lock.key, "token": lock.token}},
            )
