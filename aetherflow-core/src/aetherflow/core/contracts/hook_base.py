"""The base class of hooks with settings of their own."""

from typing import ClassVar, Generic, TypeVar, get_args, get_origin

from aetherflow.core.contracts.fields import StrictModel


class PluginSettings(StrictModel):
    """Base class of what `plugins.settings.<distribution>` of the project file holds.

    Every field has a type and `Field(description=…)`. A secret does not belong there: take the path of its file.
    """


SettingsT = TypeVar("SettingsT", bound=PluginSettings)


class HookBase(Generic[SettingsT]):
    """Base class of hooks with settings: `class Audit(HookBase[AuditSettings])`, whose methods are the hooks.

    One object is built for the hooks of a run, when the first of them is called.
    """

    Settings: ClassVar[type[PluginSettings] | None] = None
    """Model of the settings; taken from `HookBase[AuditSettings]`."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__dict__.get("__orig_bases__", ()):
            origin, model = get_origin(base), next(iter(get_args(base)), None)
            typed = isinstance(model, type) and issubclass(model, PluginSettings)
            if typed and isinstance(origin, type) and issubclass(origin, HookBase):
                cls.Settings = model

    def __init__(self, settings: SettingsT) -> None:
        self.settings = settings
