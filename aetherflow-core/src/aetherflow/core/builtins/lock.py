from pydantic import Field

from aetherflow.core.api import PlainText, PlainValue, Step, StepInputs, StepResult


class InnerStep(StepInputs):
    """The step that runs while the lock is held."""

    type: PlainText = Field(description="Type of the step")
    id: PlainText | None = Field(None, description="Id of the step; default: that of the outer step with `_inner`")
    inputs: dict[str, PlainValue] = Field({}, description="Inputs of the step")


class Inputs(StepInputs):
    lock_key: PlainText = Field(
        min_length=1, description="Name of the lock; all flows with the same lock store share it"
    )
    step: InnerStep = Field(
        description="The step to run: type, id, inputs. Its inputs may read `lock.token` and `lock.key`"
    )
    ttl_seconds: float = Field(
        600, gt=0, description="How long others respect the lock after the last renewal, unless its holder is dead"
    )
    wait_seconds: float = Field(0, ge=0, description="Time to wait for the lock, in order of arrival; 0 fails at once")


class WithLock(Step[Inputs]):
    """Run an inner step while holding a lock, which only one run can hold; the result is that of the inner step.

    The lock is renewed while the run lives, and is free at once when the run dies. The loss of the lock ends the step.

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
        return [f"hold the lock {self.args.lock_key} while {self.args.step.type} runs"]

    def run(self) -> StepResult:
        args = self.args
        with self.ctx.lease(args.lock_key, ttl_seconds=args.ttl_seconds, wait_seconds=args.wait_seconds) as lock:
            return self.ctx.call_step(
                args.step.type,
                args.step.inputs,
                step_id=args.step.id or f"{self.id}_inner",
                roots={"lock": {"key": lock.key, "token": lock.token}},
            )
