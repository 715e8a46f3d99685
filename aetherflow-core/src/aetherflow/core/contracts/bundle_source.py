"""The contract of a bundle source: where the files of a bundle come from."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, BinaryIO, ClassVar, Generic, NamedTuple, Self, TypeVar, get_args, get_origin

from pydantic import ValidationError

from aetherflow.core.base.errors import ConnectorError
from aetherflow.core.contracts.connector import RemoteFileMeta
from aetherflow.core.contracts.fields import StrictModel
from aetherflow.core.contracts.written import plain, validated


class BundleSourceConfig(StrictModel):
    """Base class for a source's own keys in `bundle.source`: those beside `type`, `resource` and `bundle`."""


ConfigT = TypeVar("ConfigT", bound=BundleSourceConfig)


class BundleSourceInit(NamedTuple):
    """What a source is built from: `bundle.source` of a manifest, rendered."""

    type: str
    """Name of the source: that of its entry point."""
    bundle: str
    """Logical name of the bundle at the peer: `bundle.source.bundle`, else `bundle.id`."""
    config: Mapping[str, Any]
    """The source's own keys in the manifest, without those that every source has."""
    root: Path
    """Folder of the manifest, to which local paths are relative."""
    connector: Any = None
    """Connector of `bundle.source.resource`, of the kind in `resource_kind`; the caller closes it."""


class BundleSource(ABC, Generic[ConfigT]):
    """Base class of all bundle sources: `class Shelf(BundleSource[Config])`.

    A source only lists and fetches. The caller does not trust the listing: it verifies hashes, limits and paths, and
    decides what is stored. A source raises ConnectorError for every failure.
    """

    Config: ClassVar[type[BundleSourceConfig] | None] = None
    """Model of the source's own keys; taken from `BundleSource[Config]`."""
    resource_kind: ClassVar[str | None] = None
    """Kind of connector that the source reads through; None: it needs no resource."""
    folder_key: ClassVar[str | None] = None
    """The key of `Config` that names a local folder with the bundle's files as they are; None: there is none."""

    conf: ConfigT
    """The keys of the manifest, as an instance of `Config`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__dict__.get("__orig_bases__", ()):
            origin, model = get_origin(base), next(iter(get_args(base)), None)
            typed = isinstance(model, type) and issubclass(model, BundleSourceConfig)
            if typed and isinstance(origin, type) and issubclass(origin, BundleSource):
                cls.Config = model

    def __init__(self, init: BundleSourceInit) -> None:
        self.type = init.type
        self.bundle = init.bundle
        self.root = init.root
        self.connector = init.connector
        if self.resource_kind is not None and init.connector is None:
            fix = f"name a resource of kind {self.resource_kind} in bundle.source.resource"
            raise ConnectorError(f"bundle source {init.type} needs a resource", fix=fix)
        if self.Config is not None:
            try:
                self.conf = validated(self.Config, plain(dict(init.config)), init.config)  # type: ignore[assignment]  # the named model
            except ValidationError as error:
                wrong = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors(include_input=False)]
                details = "; ".join(f"{at}: {why.removeprefix('Value error, ')}" for at, why in wrong)
                raise ConnectorError(f"bundle source {init.type}: {details}") from error

    @abstractmethod
    def list(self) -> Iterator[RemoteFileMeta]:
        """Every file of the bundle, in any order, each with `rel_path`: its path in the bundle, with `/`.

        `size` in bytes, `mtime` in unix seconds and `sha256` in hex are set where the peer's listing contains them; no
        file is read to find them out. Raises ConnectorError.
        """

    def revision(self) -> str | None:
        """A text that changes whenever the source does, such as a commit id, if it costs less than a listing.

        None: the source has no such text and is always listed. A sync that finds the revision of the latest version
        unchanged ends without a listing.
        """
        return None

    @abstractmethod
    def fetch(self, rel_path: str, target: BinaryIO) -> None:
        """Write the content of one listed file to `target`, in pieces.

        Raises ConnectorError; `target` may then hold a part of the content.
        """

    def close(self) -> None:
        """Release what the source itself holds; closing twice is fine."""

    def refuse_path(self, rel_path: str) -> None:
        """Raise ConnectorError for a path that does not stay inside of the bundle; for use in `fetch`."""
        parts = PurePosixPath(rel_path).parts
        if not parts or rel_path.startswith("/") or ".." in parts or "\\" in rel_path or "\0" in rel_path:
            message = f"bundle source {self.type}: {rel_path!r} is not a path inside of the bundle"
            raise ConnectorError(message, fix="ask for a path as the listing has it")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
