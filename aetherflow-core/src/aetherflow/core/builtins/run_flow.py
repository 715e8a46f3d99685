from typing import Any, ClassVar

from pydantic import Field

from aetherflow.core.api import PlainText, PlainValue, ReadPath, Step, StepInputs, StepOutputs


class Inputs(StepInputs):
    flow: ReadPath = Field(min_length=1, description="The flow file, relative to the folder of this one")
    params: dict[str, PlainValue] = Field({}, description="Parameters of that flow")
    slot: PlainText | None = Field(None, description="Slot of its run; default: that of this run, if it has one")
    data_date: PlainText | None = Field(None, description="Date of its data; default: as the flow defines it")


class Outputs(StepOutputs):
    flow_id: str = Field(description="Id of that flow")
    run_id: str = Field(description="Id of its run, derived from this run, job, step and item")
    jobs: dict[str, dict[str, Any]] = Field(description="Its jobs: `jobs.<id>.status`, `jobs.<id>.outputs.<key>`")


class RunFlow(Step[Inputs]):
    """Run another flow to its end, as a separate run; its job outputs are the outputs.

    That run has its own state, log, folders and cleanup. When this run is resumed, that run is resumed, too: its
    finished steps are not repeated. Stopping this run stops that one. It shares the locks that this run holds.

    Example:
        - id: dims
          type: run_flow
          inputs:
            flow: dims.yaml
            params: {day: "{{run.data_date.iso}}"}
          outputs: {rows: "{{result.jobs.load.outputs.rows}}"}
    """

    Outputs = Outputs
    flow_input: ClassVar[str | None] = "flow"

    def run(self) -> dict[str, Any]:
        args = self.args
        found = self.ctx.call_flow(
            self.ctx.asset_path(args.flow), params=args.params, slot=args.slot, data_date=args.data_date
        )
        return {"flow_id": found.flow_id, "run_id": found.run_id, "jobs": {**found.jobs}}

    def plan(self) -> list[str]:
        given = ", ".join(f"{name}={value}" for name, value in self.args.params.items())
        return [f"run the flow {self.args.flow}" + (f" with {given}" if given else "")]
