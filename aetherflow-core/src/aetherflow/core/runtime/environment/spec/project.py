"""The project file `aetherflow.yaml`: settings of all flows below its folder."""

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from aetherflow.core.contracts.fields import Flag, any_case
from aetherflow.core.kernel.yaml.spec import ResourceSpec, SpecModel
from aetherflow.core.runtime.environment.spec.environment import EnvFile
from aetherflow.core.runtime.environment.spec.zone import Zone

Mode = Literal["internal_fast", "enterprise"]
_Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


def _level(value: object) -> object:
    found = value.upper() if isinstance(value, str) else value
    return "WARNING" if found == "WARN" else found


LogLevel = Annotated[
    _Level,
    BeforeValidator(
        _level,
        json_schema_input_type=_Level | Annotated[str, StringConstraints(pattern=any_case(*get_args(_Level), "WARN"))],
    ),
]
"""A level of Python's logging, in any case; `WARN` is `WARNING`."""
LogFormat = Literal["text", "json"]
CacheScope = Literal["run", "process", "none"]


class RootsSpec(SpecModel):
    """Default folders of runs and their state, for flows that set none."""

    work: str | None = Field(None, description="Folder of all runs; AETHERFLOW_WORK_ROOT")
    state: str | None = Field(None, description="Folder of state files; AETHERFLOW_STATE_ROOT")


class ProjectStateSpec(SpecModel):
    """Where state, locks and ledger of all flows and schedules are kept, instead of in files."""

    resource: str = Field(description="Database of `resources` that keeps them; it may use env only")


class LogSpec(SpecModel):
    """What a run writes to stderr."""

    level: LogLevel = Field("INFO", description="Least level that is shown; AETHERFLOW_LOG_LEVEL")
    format: LogFormat = Field("text", description="text, or json: one JSON object per line; AETHERFLOW_LOG_FORMAT")
    events_file: str | None = Field(
        None, description="File that gets every event of every run as a JSON line; AETHERFLOW_EVENTS_FILE"
    )
    otel: Flag = Field(False, description="Send spans of runs, jobs and steps to OpenTelemetry; AETHERFLOW_OTEL")


def _requirement(value: str) -> str:
    from aetherflow.core.host.requirements import checked  # most projects have no rules for plugins

    return checked(value)


Requirement = Annotated[str, AfterValidator(_requirement)]
"""A distribution, or one in some of its versions: `acme-steps`, `acme-steps>=2,<3`."""


def _hook(value: str) -> str:
    _requirement(value.partition(":")[0])
    return value


HookName = Annotated[str, AfterValidator(_hook)]
"""Hooks of a distribution: a requirement, or `DISTRIBUTION:NAME`."""


class PluginsSpec(SpecModel):
    """Which plugins may be used."""

    paths: list[str] = Field([], description="Files and folders of local plugins; AETHERFLOW_PLUGIN_PATHS")
    prefer: dict[str, Requirement] = Field(
        {}, description="Which distribution wins a name: steps.NAME, connectors.KIND.DRIVER, commands.NAME"
    )
    allow: list[Requirement] = Field(
        [], description="Distributions whose plugins enterprise mode accepts, besides our own: NAME or NAME>=2,<3"
    )
    block: list[HookName] = Field([], description="Hooks that are not loaded: DISTRIBUTION or DISTRIBUTION:NAME")
    locked: str | None = Field(None, description="File of `plugins lock`: only what is as it says is loaded")
    settings: dict[str, dict[str, Any]] = Field({}, description="Settings of hooks: DISTRIBUTION to what it takes")


class ManifestPluginsSpec(SpecModel):
    """Which plugins the bundle may use."""

    allow: list[Requirement] = Field(
        [], description="Distributions whose plugins enterprise mode accepts, besides our own: NAME or NAME>=2,<3"
    )
    prefer: dict[str, Requirement] = Field(
        {}, description="Which distribution wins a name: steps.NAME or connectors.KIND.DRIVER"
    )


class PolicySpec(SpecModel):
    """Rules that flows and environments cannot loosen."""

    mode: Mode | None = Field(None, description="internal_fast or enterprise; AETHERFLOW_MODE")
    strict_sandbox: Flag = Field(True, description="Confine the paths of steps to the roots; AETHERFLOW_STRICT_SANDBOX")
    zip_drivers: list[str] | None = Field(None, description="Archive drivers that enterprise mode accepts")
    child_env: list[str] = Field(
        [],
        description="Environment keys that enterprise mode passes to children, besides the basic ones",
    )


class LimitsSpec(SpecModel):
    """The size limits of documents and logs."""

    flow_bytes: int | None = Field(None, gt=0, description="Largest flow file in bytes; default 4 MiB")
    flow_nodes: int | None = Field(
        None, gt=0, description="Most values in a document, aliases expanded; default 300,000"
    )
    step_log_bytes: int | None = Field(
        None,
        ge=16_384,
        description="Size from which on the log of a step loses its middle; default 10 MiB; AETHERFLOW_STEP_LOG_BYTES",
    )


class PathsSpec(SpecModel):
    """Folders that steps may use besides the run's own."""

    read: list[str] = Field([], description="Further folders to read from")
    write: list[str] = Field([], description="Further folders to write to")


class SecretsSpec(SpecModel):
    """The secrets hook, and which environment keys are masked."""

    module: str | None = Field(None, description="Module of the secrets hook; AETHERFLOW_SECRETS_MODULE")
    path: str | None = Field(None, description="File of the secrets hook; AETHERFLOW_SECRETS_PATH")
    add: list[str] = Field([], description="Environment keys that are masked besides the usual ones")
    ignore: list[str] = Field([], description="Environment keys that are not masked")


class ProjectSpec(SpecModel):
    """The settings of a project, without a project file their defaults."""

    # model_construct: validating empty sections would slow down every start, and most runs have no project file

    version: Literal[1] = Field(1, description="Version of the document format")
    roots: RootsSpec = Field(default_factory=RootsSpec.model_construct, description="Folders of runs and state")
    state: ProjectStateSpec | None = Field(None, description="State, locks and ledger in a database server")
    log: LogSpec = Field(default_factory=LogSpec.model_construct, description="What a run writes to stderr")
    env_files: list[EnvFile] = Field([], description="Env files, later ones win")
    profiles_file: str | None = Field(None, description="YAML file of profiles; AETHERFLOW_PROFILES_FILE")
    plugins: PluginsSpec = Field(default_factory=PluginsSpec.model_construct, description="Which plugins may be used")
    policy: PolicySpec = Field(default_factory=PolicySpec.model_construct, description="Rules that cannot be loosened")
    limits: LimitsSpec = Field(default_factory=LimitsSpec.model_construct, description="Limits on documents and logs")
    paths: PathsSpec = Field(default_factory=PathsSpec.model_construct, description="Further folders for steps")
    secrets: SecretsSpec = Field(default_factory=SecretsSpec.model_construct, description="The secrets hook, masking")
    timezone: Zone | None = Field(None, description="IANA name of the zone of times in `notify`; omitted: UTC")
    resources: dict[str, ResourceSpec] = Field(
        {}, description="Connectors by name: `notify` sends through them; `state` and `artifacts` name one"
    )
    notify: list[Any] = Field([], description="Rules, see ProjectFileSpec: most project files have none to check")
    artifacts: Any = Field(None, description="Where artifacts are copied to, see ProjectFileSpec")
    retention: Any = Field(None, description="How long runs are kept, see ProjectFileSpec")
