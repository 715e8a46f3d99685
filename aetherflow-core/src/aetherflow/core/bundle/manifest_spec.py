"""The models of a bundle manifest: the parts of a bundle, and its source."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from aetherflow.core.contracts.fields import Flag
from aetherflow.core.contracts.kinds.names import SAFE_ARCHIVE_DRIVERS, ArchiveDriver
from aetherflow.core.kernel.yaml.spec import ResourceSpec, SpecModel
from aetherflow.core.runtime.environment.spec.environment import EnvFile
from aetherflow.core.runtime.environment.spec.project import ManifestPluginsSpec, Mode

BundleId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
NonEmpty = Annotated[str, StringConstraints(min_length=1)]


class SourceSpec(SpecModel):
    """Where the bundle comes from; further keys are those of the source's type."""

    model_config = ConfigDict(extra="allow")

    type: NonEmpty = Field("filesystem", description="Type of source, as `aetherflow plugins list` names them")
    resource: NonEmpty | None = Field(None, description="Name of the resource that the source reads through")
    bundle: NonEmpty | None = Field(None, description="Name of the bundle at the peer; default: bundle.id")
    strict_fingerprint: Flag = Field(
        False, description="Hash all content at every sync, where the source tells no hashes"
    )


class BundleLayoutSpec(SpecModel):
    """Paths of the parts of a bundle in its tree."""

    profiles_file: NonEmpty = Field(description="File of the profiles, in the bundle")
    flows_dir: NonEmpty | None = Field(None, description="Folder of the flows; for readers")
    plugins_dir: NonEmpty | None = Field(None, description="Folder of folder plugins, for internal_fast")


class BundleSpec(SpecModel):
    """The section `bundle`: identity, source, layout and entry flow."""

    id: BundleId = Field(description="Identity of the bundle; the name of its folder in the store")
    source: SourceSpec = Field(default_factory=SourceSpec, description="Where the bundle comes from")
    layout: BundleLayoutSpec = Field(description="Paths of the parts in the tree")
    entry_flow: NonEmpty = Field(description="The flow that `run` executes, in the bundle")
    fetch_policy: Literal["cache_check", "always"] = Field(
        "cache_check", description="cache_check: fetch what changed; always: fetch and verify everything"
    )


class ManifestPathsSpec(SpecModel):
    """The section `paths` of a manifest."""

    plugins: list[str] | str = Field([], description="Plugin paths for enterprise mode, relative to the manifest")


class RequiresSpec(SpecModel):
    """What must be set or installed before the bundle runs."""

    env: list[NonEmpty] = Field([], description="Environment keys that must be set")
    plugins: list[NonEmpty] = Field(
        [], description="Plugins that must be installed: steps.NAME, connectors.KIND.DRIVER"
    )


class ManifestSpec(SpecModel):
    """The whole document of a bundle manifest."""

    version: Literal[1] = Field(1, description="Version of the document format")
    mode: Mode = Field("internal_fast", description="Policy of its runs: internal_fast or enterprise")
    bundle: BundleSpec = Field(description="The bundle")
    resources: dict[str, ResourceSpec] = Field({}, description="Resources that sources read through; no profiles")
    paths: ManifestPathsSpec = Field(default_factory=ManifestPathsSpec, description="Further folders")
    zip_drivers: list[ArchiveDriver] = Field(
        list(SAFE_ARCHIVE_DRIVERS), description="Archive drivers that enterprise mode accepts"
    )
    env_files: list[EnvFile] = Field([], description="Env files in the bundle, later ones win")
    plugins: ManifestPluginsSpec = Field(default_factory=ManifestPluginsSpec, description="Which plugins may be used")
    requires: RequiresSpec = Field(default_factory=RequiresSpec, description="What must exist before it runs")
