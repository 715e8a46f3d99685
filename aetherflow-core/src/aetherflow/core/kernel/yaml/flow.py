"""The models of a flow document: what `flow.yaml` may hold, key by key."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from aetherflow.core.contracts.backoff import Backoff
from aetherflow.core.kernel.yaml.spec import ResourceSpec, SpecModel

CleanupPolicy = Literal["on_success", "always", "never"]
LockScope = Literal["none", "job", "flow"]

DEFAULT_LAYOUT = {"artifacts": "artifacts", "scratch": "scratch", "manifests": "manifests"}


class WorkspaceSpec(SpecModel):
    """The folders of a run, and when they are removed."""

    root: str | None = Field(None, description="Folder of all runs; omitted: AETHERFLOW_WORK_ROOT, then the platform's")
    cleanup_policy: CleanupPolicy = Field("on_success", description="When the job folders of a run are removed")
    layout: dict[str, str] = Field({}, description="Names of the folders artifacts, scratch, manifests")


class StateSpec(SpecModel):
    """Where the run's history is kept."""

    backend: str = Field("sqlite", description="Kind of store")
    path: str | None = Field(None, description="File of the store; omitted: <state root>/<flow id>.sqlite")
    resource: str | None = Field(None, description="Database of the project file that keeps it, for another backend")


ParamType = Literal["string", "integer", "number", "boolean", "date", "datetime", "list"]


class ParamSpec(SpecModel):
    """One parameter of a flow."""

    type: ParamType = Field("string", description="Type that a given value must have")
    default: Any = Field(None, description="Value where none is given; without the key the parameter is required")
    description: str | None = Field(None, description="For readers")


class DataDateSpec(SpecModel):
    """How the date of the data follows from the date of the run."""

    timezone: str | None = Field(None, description="IANA name of the zone of the run's dates; omitted: UTC")
    shift: str = Field("0d", description="Days, business days or months: -1d, -1bd, -1month")
    calendar: str | None = Field(None, description="YAML file with a list of holidays, relative to the flow")


class LocksSpec(SpecModel):
    """Whether runs of this flow or of one job exclude each other."""

    scope: LockScope = Field("none", description="What one lock covers")
    ttl_seconds: int = Field(3600, gt=0, description="Life of the lease in seconds; it is renewed while the run lives")
    wait_seconds: float = Field(0, ge=0, description="Time to wait for the lock, first come, first served; 0: fail")


class RetrySpec(Backoff):
    """When a failed attempt is tried again."""

    max_elapsed_seconds: float | None = Field(None, gt=0, description="No new attempt starts after this time")


class DefaultsSpec(SpecModel):
    """Settings of all steps that do not have their own."""

    retry: RetrySpec | None = Field(None, description="When a failed attempt is tried again")
    timeout_seconds: float | None = Field(None, gt=0, description="Time limit of one attempt")


class FlowMetaSpec(SpecModel):
    """The section `flow`: identity, folders, state."""

    # model_construct: calling the class would build the schema of each part once more

    id: str = Field(description="Identity of the flow in paths, state and logs")
    description: str | None = Field(None, description="For readers")
    owner: str | None = Field(None, min_length=1, description="Who answers for the flow; shown by `status`")
    runbook_url: str | None = Field(None, min_length=1, description="Where it stands what to do; shown by `status`")
    workspace: WorkspaceSpec = Field(default_factory=WorkspaceSpec.model_construct, description="Folders of the runs")
    state: StateSpec = Field(default_factory=StateSpec.model_construct, description="History of the runs")
    params: dict[str, ParamSpec] = Field({}, description="Parameters by name, given by --param")
    data_date: DataDateSpec = Field(default_factory=DataDateSpec.model_construct, description="Dates of a run")
    on_failure: Literal["continue", "stop"] = Field("continue", description="After a failed job: go on, or stop")
    locks: LocksSpec = Field(default_factory=LocksSpec.model_construct, description="Mutual exclusion of runs")
    defaults: DefaultsSpec = Field(
        default_factory=DefaultsSpec.model_construct, description="For steps without settings of their own"
    )


class VerifySpec(SpecModel):
    """A step that answers whether an interrupted `once` step was done: SUCCESS yes, SKIPPED no."""

    type: str = Field(description="Step type")
    inputs: dict[str, Any] = Field({}, description="Inputs of that step")


class ForEachSpec(SpecModel):
    """A step for each item of a list."""

    items: str | list[Any] = Field(description="List, or template of one")
    key: str | None = Field(None, min_length=1, description="Template of an item's name for people: {{item.name}}")
    on_error: Literal["stop", "continue"] = Field(
        "stop", description="continue: after an item that failed the others are tried, and the step fails at the end"
    )
    max_parallel: int = Field(
        1, ge=1, description="Runs that a step that runs a flow has at a time, each in a process of its own"
    )
    quarantine: str | None = Field(
        None, min_length=1, description="Folder into which the file of an item that failed is set aside"
    )


def _for_each_form(value: Any) -> str:
    forms = {dict: "map", ForEachSpec: "map", list: "list", type(None): "null"}
    return forms.get(type(value), "text")


class StepSpec(SpecModel):
    """One step of a job."""

    id: str = Field(description="Name of the step, unique in its job")
    type: str = Field(description="Step type, one of `aetherflow plugins list`")
    description: str | None = Field(None, description="For readers")
    inputs: dict[str, Any] = Field({}, description="Inputs of the step; strings may hold templates")
    outputs: dict[str, Any] = Field({}, description="Job output key to template, rendered after the step")
    # chosen by form, so that a mistake in a map is not reported as a missing list and a missing text, too
    for_each: Annotated[
        Annotated[str, Tag("text")]
        | Annotated[list[Any], Tag("list")]
        | Annotated[ForEachSpec, Tag("map")]
        | Annotated[None, Tag("null")],
        Discriminator(_for_each_form),
    ] = Field(None, description="List, or template of one, or a map with it; the step runs once per item")
    retry: RetrySpec | None = Field(None, description="When a failed attempt is tried again")
    timeout_seconds: float | None = Field(None, gt=0, description="Time limit of one attempt")
    effect: Literal["repeatable", "once"] | None = Field(
        None, description="once: an interrupted attempt is never repeated unasked; omitted: the step type's own"
    )
    verify: VerifySpec | None = Field(None, description="Step that tells whether an interrupted `once` step was done")
    on_no_data: Literal["skip_job"] | None = Field(
        None, description="skip_job: a SKIPPED step skips the rest of the job"
    )

    @property
    def loop(self) -> ForEachSpec | None:
        """`for_each` in its long form; None for a step that does not repeat."""
        found = self.for_each
        return found if found is None or isinstance(found, ForEachSpec) else ForEachSpec.model_construct(items=found)


class JobLockSpec(SpecModel):
    """A lock that one run holds from the first step of a job to its last."""

    key: str = Field(
        min_length=1, description="Name of the lock; all flows with the same lock store share it. May hold templates"
    )
    wait_seconds: float = Field(0, ge=0, description="Time to wait for the lock, first come, first served; 0: fail")


class JobSpec(SpecModel):
    """One job: steps that run one after the other."""

    id: str = Field(description="Name of the job, unique in the flow")
    description: str | None = Field(None, description="For readers")
    depends_on: list[str] = Field([], description="Earlier jobs that must be SUCCESS")
    on_dependency_skipped: Literal["block", "skip", "run"] = Field(
        "block", description="What becomes of the job if a job of `depends_on` is SKIPPED: BLOCKED, SKIPPED, or it runs"
    )
    when: str | None = Field(None, description="Condition over earlier jobs; false skips the job")
    lock: JobLockSpec | None = Field(None, description="Lock that is held while the job runs")
    steps: list[StepSpec] = Field(description="The steps, in order of execution")


class FlowSpec(SpecModel):
    """The whole document `flow.yaml`."""

    version: Literal[1] = Field(1, description="Version of the document format")
    flow: FlowMetaSpec = Field(description="Identity, folders and state of the flow")
    resources: dict[str, ResourceSpec] = Field({}, description="Connectors by name")
    jobs: list[JobSpec] = Field(description="The jobs, in order of execution")

    @model_validator(mode="after")
    def _with_defaults(self) -> Self:
        given = self.flow.defaults
        for step in (step for job in self.jobs for step in job.steps):
            for name in given.model_fields_set:
                if getattr(step, name) is None and step.inputs.get(name) in (None, {}):
                    setattr(step, name, getattr(given, name))
        return self
