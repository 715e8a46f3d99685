"""The contract of a connector: how a step reaches a database, a server, a mailbox."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar, get_args, get_origin

from pydantic import ValidationError

from aetherflow.core.base.errors import ConnectorError
from aetherflow.core.contracts.fields import ConnectorConfig, ConnectorOptions, StrictModel
from aetherflow.core.contracts.written import plain, validated

if TYPE_CHECKING:
    import logging

    from aetherflow.core.contracts.upgrade import Difference


ConfigT = TypeVar("ConfigT", bound=ConnectorConfig)
OptionsT = TypeVar("OptionsT", bound=ConnectorOptions)


class ConnectorContext(Protocol):
    """What a connector may ask of the run."""

    settings: Any
    """The settings of the run, an `aetherflow.core.api.Settings` that cannot be changed."""
    flow_id: str | None
    """None for the source of a bundle, which belongs to no flow."""
    run_id: str | None
    """None outside of a run, and for a connector that is kept for other runs (cache scope `process`)."""

    @property
    def log(self) -> "logging.Logger":
        """The log of the flow: what is logged while a step runs is shown with that step."""
        ...

    def database_path(self, path: str) -> str:
        """Absolute path of a database file; a relative one is resolved below `<workspace.root>/<flow id>`."""
        ...

    def asset_path(self, path: str) -> str:
        """Absolute path of a key, certificate or CA file; a relative one is relative to the flow file."""
        ...

    def redact(self, text: str) -> str:
        """The text with the secrets of the run masked."""
        ...


class ClearTextError(ConnectorError):
    """A secret would have gone to another machine without encryption; it wasn't sent."""

    code = "AF5203"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its name: `localhost`, or a loopback address."""
    if host.lower() == "localhost":
        return True
    import ipaddress  # few runs talk without encryption

    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class ConnectorInit(NamedTuple):
    """What a connector is built from: a resource, rendered and decoded."""

    name: str
    kind: str
    driver: str
    config: Mapping[str, Any]
    options: Mapping[str, Any]
    ctx: ConnectorContext | None = None


@dataclass(frozen=True, slots=True)
class RemoteFileMeta:
    """One entry of a remote listing; `mtime` in unix seconds, `size` in bytes and None for folders."""

    rel_path: str | None = None
    path: str | None = None
    name: str | None = None
    is_dir: bool = False
    size: int | None = None
    mtime: float | None = None
    sha256: str | None = None


class ConnectorBase(Generic[ConfigT, OptionsT]):
    """Base class of all connectors: `class Ftp(ConnectorBase[Config, Options])`.

    The driver library is imported inside the method that connects, so that listing and validating work without it.
    Connecting is lazy; `close()` may be called twice; the engine closes what a run opened.
    """

    Config: ClassVar[type[ConnectorConfig] | None] = None
    Options: ClassVar[type[ConnectorOptions] | None] = None

    requires: ClassVar[tuple[str, ...]] = ()
    """Modules of the driver library; `doctor` looks whether they are installed, without importing them."""

    conf: ConfigT
    """The resource's `config`, as an instance of the class's `Config`."""
    opts: OptionsT
    """The resource's `options`, as an instance of the class's `Options`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__dict__.get("__orig_bases__", ()):
            origin = get_origin(base)
            models = get_args(base)
            named = len(models) == 2 and all(
                isinstance(model, type) and issubclass(model, StrictModel) for model in models
            )
            if named and isinstance(origin, type) and issubclass(origin, ConnectorBase):
                cls.Config, cls.Options = models

    def __init__(self, init: ConnectorInit) -> None:
        self.name = init.name
        self.kind = init.kind
        self.driver = init.driver
        self.config = plain(dict(init.config))
        self.options = plain(dict(init.options))
        self.ctx = init.ctx
        try:
            if self.Config is not None:
                self.conf = validated(self.Config, self.config, init.config)  # type: ignore[assignment]  # the named model
            if self.Options is not None:
                self.opts = validated(self.Options, self.options, init.options)  # type: ignore[assignment]  # the named model
        except ValidationError as error:
            details = "; ".join(
                f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_input=False)
            )
            raise ConnectorError(f"resource {self.name} ({self.kind}:{self.driver}): {details}") from error

    @classmethod
    def secret_values(cls, config: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator[str]:
        """Secret values, as written, of settings that neither key nor type marks as secret, such as a header."""
        del config, options
        return iter(())

    @classmethod
    def database_file(cls, config: Mapping[str, Any]) -> str | None:
        """The database file of a raw config, as `ctx.database_path` gets it; None without one, or if it is not known.

        `validate` warns of a relative one that exists in the working directory only.
        """
        del config
        return None

    @classmethod
    def differences(cls, config: Mapping[str, Any], options: Mapping[str, Any], version: str) -> "Iterable[Difference]":
        """What these raw settings meant otherwise in AetherFlow `version`, as `Step.differences`."""
        del config, options, version
        return ()

    @classmethod
    def clear_text(cls, config: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[str, str] | None:
        """The host to which steps send with these raw settings without encryption, and the fix; None for none.

        A step that names such a resource is refused (AF5203) if its inputs hold a secret and the host is another
        machine. Return None for settings that accept the risk, and where the host isn't known.
        """
        del config, options
        return None

    def refuse_clear_text(self, host: str, texts: Iterable[str], *, fix: str) -> None:
        """Raise ClearTextError if a text holds a secret of the run and `host` is another machine.

        Call it with all texts of a message before you send it without encryption. `fix` names the way to encrypt, and
        the setting with InsecureWhen that accepts the risk.
        """
        redact = getattr(self.ctx, "redact", None)  # contexts that were written for 1.0 have none
        if redact is not None and not is_loopback(host) and any(redact(text) != text for text in texts):
            label = f"resource {self.name} ({self.kind}:{self.driver})"
            raise ClearTextError(f"{label}: a secret would go to {host} in clear text", fix=fix)

    def close(self) -> None:
        """Release what the connector holds; closing twice is fine."""

    def probe(self) -> None:
        """Reach the peer once and change nothing; `doctor --connect` calls it. Raises ConnectorError."""
        raise NotImplementedError

    def interrupt(self) -> None:
        """Stop what is running in another thread; called when the run is being stopped."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Connectors(Protocol):
    """The connectors of a run, built on first use: a mapping from resource name to connector."""

    def __getitem__(self, name: str) -> Any: ...
    def __contains__(self, name: object) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...

    def get(self, *, kind: str, name: str, cache: str | None = None) -> Any:
        """Connector of resource `name`; KeyError if the resource is unknown or of another kind.

        `cache` is how long it lives: `run`, `process` or `none` (until the attempt ends). None: as the resource's
        options or the settings say.
        """
        ...

    def db(self, name: str, cache: str | None = None) -> Any:
        """Connector of a resource of kind `db`."""
        ...

    def rest(self, name: str, cache: str | None = None) -> Any:
        """Connector of a resource of kind `rest`."""
        ...

    def sftp(self, name: str, cache: str | None = None) -> Any:
        """Connector of a resource of kind `sftp`."""
        ...

    def smb(self, name: str, cache: str | None = None) -> Any:
        """Connector of a resource of kind `smb`."""
        ...

    def mail(self, name: str, cache: str | None = None) -> Any:
        """Connector of a resource of kind `mail`."""
        ...

    def archive(self, name: str, cache: str | None = None) -> Any:
        """Connector of a resource of kind `archive`."""
        ...
