"""The administrator's policy file: what no project, variable, bundle, flow or command may loosen."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from aetherflow.core.kernel.yaml.spec import SpecModel
from aetherflow.core.runtime.environment.spec.project import HookName, Mode, Requirement


class PolicyRootsSpec(SpecModel):
    """The folders in which runs keep what they need. The first one is the default."""

    work: list[str] | None = Field(None, description="Folders that work roots, thus all runs, must stand in")
    state: list[str] | None = Field(None, description="Folders that state files and lock stores must stand in")


class PolicyPathsSpec(SpecModel):
    """The most that projects may give to steps."""

    read: list[str] | None = Field(
        None, description="Folders that `paths.read` of projects, and files that settings read, must stand in"
    )
    write: list[str] | None = Field(
        None, description="Folders that `paths.write` of projects, and the event file, must stand in"
    )
    env: list[str] | None = Field(
        None, description="Folders that env files must stand in, unless they stand below the project file's folder"
    )


class PolicyPluginsSpec(SpecModel):
    """The code that may run inside of the runner."""

    allow: list[Requirement] | None = Field(
        None, description="Distributions that projects may allow, besides our own: NAME or NAME>=2,<3"
    )
    block: list[HookName] = Field([], description="Hooks that are never loaded: DISTRIBUTION or DISTRIBUTION:NAME")
    locked: str | None = Field(
        None, description="File of `plugins lock`, absolute and root's alone: it holds besides that of a project"
    )
    paths: list[str] | None = Field(None, description="Folders that plugin paths and the secrets file must stand in")
    modules: list[str] | None = Field(
        None, description="Python modules that may be the secrets, metrics or settings module"
    )


class NamesSpec(SpecModel):
    """Names that may be used. A name may end in `*`."""

    allow: list[str] | None = Field(None, description="The only ones; left out: all")
    deny: list[str] = Field([], description="Never these; wins over `allow`")


class PolicyBundlesSpec(SpecModel):
    """Which bundles may be used."""

    signers: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="OpenSSH's file allowed_signers: who may sign which bundle; left out: unsigned ones are used"
    )
    rollback: Literal["forbid", "allow"] = Field(
        "forbid", description="forbid: an older version takes the place of a newer one only with a reason"
    )
    threshold: Annotated[int, Field(ge=1)] = Field(
        1, description="How many people must have signed a bundle; the signers' file names the person of each key"
    )
    min_version: dict[str, Annotated[int, Field(ge=1)]] = Field(
        {}, description="Id of a bundle to the lowest version of it that may be used, whatever the reason"
    )

    @model_validator(mode="after")
    def _about_signed_bundles(self) -> Self:
        if self.signers is None and (self.min_version or self.threshold > 1):
            raise ValueError("`threshold` and `min_version` are about signed bundles: name the file `signers`")
        return self


class AdministratorSpec(SpecModel):
    """The whole document `/etc/aetherflow/policy.yaml`. What is left out is not fixed, but for code."""

    version: Literal[1] = Field(1, description="Version of the document format")
    mode: Mode | None = Field(None, description="enterprise: every run is in this mode, and code must be named here")
    trusted_groups: list[str] = Field(
        [], description="Groups of the system whose members may write what others of them run"
    )
    roots: PolicyRootsSpec = Field(default_factory=PolicyRootsSpec, description="Folders of runs and state")
    paths: PolicyPathsSpec = Field(default_factory=PolicyPathsSpec, description="Further folders for steps")
    plugins: PolicyPluginsSpec = Field(default_factory=PolicyPluginsSpec, description="Code inside of the runner")
    steps: NamesSpec = Field(default_factory=NamesSpec, description="Step types that may be used")
    connectors: NamesSpec = Field(default_factory=NamesSpec, description="Connectors that may be used, as kind:driver")
    bundles: PolicyBundlesSpec = Field(default_factory=PolicyBundlesSpec, description="Bundles that may be used")
    insecure: list[str] | None = Field(
        None, description="Connectors, as kind:driver, whose resources may give up a protection; left out: all"
    )
    code: list[str] | None = Field(
        None,
        description="Settings, as `kind:driver path`, in which flows may name programs and libraries; left out: all, "
        "or in enterprise mode none. Files below `plugins.paths` may be named in each",
    )
    zip_drivers: list[str] | None = Field(None, description="Archive drivers that projects may accept")
    child_env: list[str] | None = Field(None, description="Environment keys that projects may pass to children")
    unmasked: list[str] | None = Field(None, description="Environment keys that projects may leave unmasked")
