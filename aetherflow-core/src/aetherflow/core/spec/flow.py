"""The flow document, `flow.yaml`."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

CleanupPolicy = Literal["on_success", "always", "never"]
LockScope = Literal["none", "job", "flow"]

DEFAULT_LAYOUT = {"artifacts": "artifacts", "scratch": "scratch", "manifests": "manifests"}


class SpecModel(BaseModel):
    """Base of all document models: unknown keys are refused."""

    # defer_build: the schema of the whole document is built once, not once more for each of its parts
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)


class WorkspaceSpec(SpecModel):
    """Where the folders of a run stand and when they are removed."""

    root: str | None = Field(None, description="Folder of all runs; omitted: AETHERFLOW_WORK_ROOT, then the platform's")
    cleanup_policy: CleanupPolicy = Field("on_success", description="When the job folders of a run are removed")
    layout: dict[str, str] = Field(
        default_factory=dict, description="Names of the folders artifacts, scratch, manifests"
    )


class StateSpec(SpecModel):
    """Where the run's history is kept."""

    backend: str = Field("sqlite", description="Kind of store")
    path: str | None = Field(None, description="File of the store; omitted: <state root>/<flow id>.sqlite")


class LocksSpec(SpecModel):
    """Whether runs of this flow or of one job exclude each other."""

    scope: LockScope = Field("none", description="What one lock covers")
    ttl_seconds: int = Field(3600, gt=0, description="Life of the lease in seconds; it is renewed while the run lives")


class FlowMetaSpec(SpecModel):
    """The section `flow`: identity, folders, state."""

    id: str = Field(description="Identity of the flow in paths, state and logs")
    description: str | None = Field(None, description="For readers")
    workspace: WorkspaceSpec = Field(default_factory=WorkspaceSpec, description="Folders of the runs")
    state: StateSpec = Field(default_factory=StateSpec, description="History of the runs")
    locks: LocksSpec = Field(default_factory=LocksSpec, description="Mutual exclusion of runs")


class ResourceSpec(SpecModel):
    """One entry of `resources`: a connector and its settings."""

    kind: str = Field(description="Kind of connector, `db`")
    driver: str = Field(description="Driver of that kind, `duckdb`")
    profile: str | None = Field(None, description="Name of a profile that is laid under this resource")
    config: dict[str, Any] = Field(default_factory=dict, description="Where and who; templates may read env")
    options: dict[str, Any] = Field(default_factory=dict, description="How it behaves; templates may read env")
    decode: dict[str, Any] = Field(default_factory=dict, description="Which values the secrets hook decodes")


class StepSpec(SpecModel):
    """One step of a job."""

    id: str = Field(description="Name of the step, unique in its job")
    type: str = Field(description="Step type, one of `aetherflow plugins list`")
    description: str | None = Field(None, description="For readers")
    inputs: dict[str, Any] = Field(default_factory=dict, description="Inputs of the step; strings may hold templates")
    outputs: dict[str, Any] = Field(
        default_factory=dict, description="Job output key to template, rendered after the step"
    )
    on_no_data: Literal["skip_job"] | None = Field(
        None, description="skip_job: a SKIPPED step skips the rest of the job"
    )


class JobSpec(SpecModel):
    """One job: steps that run one after the other."""

    id: str = Field(description="Name of the job, unique in the flow")
    description: str | None = Field(None, description="For readers")
    depends_on: list[str] = Field(default_factory=list, description="Earlier jobs that must be SUCCESS")
    when: str | None = Field(None, description="Condition over earlier jobs; false skips the job")
    steps: list[StepSpec] = Field(description="The steps, in order of execution")


class FlowSpec(SpecModel):
    """A flow document."""

    version: Literal[1] = Field(1, description="Version of the document format")
    flow: FlowMetaSpec = Field(description="Identity, folders and state of the flow")
    resources: dict[str, ResourceSpec] = Field(default_factory=dict, description="Connectors by name")
    jobs: list[JobSpec] = Field(description="The jobs, in order of execution")
