"""Types for the fields of step inputs and connector configuration."""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_BOOLEANS = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}


def parse_bool(value: Any) -> bool:
    """Read a boolean: true/false/yes/no/1/0/on/off in any case; anything else is an error, never truthiness.

    Templates yield text, so `"false"` from an environment variable must be false.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str | int) and (text := str(value).strip().lower()) in _BOOLEANS:
        return _BOOLEANS[text]
    raise ValueError("must be one of true, false, yes, no, 1, 0, on, off")


def any_case(*words: str, blanks: bool = False) -> str:
    """A regular expression that matches these words in any case; with `blanks` there may be blanks around them.

    It is for JSON Schema, whose patterns have no flags.
    """
    spelt = ("".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else c for c in word) for word in words)
    around = r"\s*" if blanks else ""
    return f"^{around}({'|'.join(spelt)}){around}$"


Flag = Annotated[bool, BeforeValidator(parse_bool, json_schema_input_type=bool)]
"""A boolean that also reads the text that a template yields."""


class Holds(Enum):
    """What a text in a field is for the machine that runs the flow: `Annotated[str, Holds.HOST]`.

    Under a policy of the administrator the settings of resources and bundle sources name files in its folders only,
    and only code that it admits. A text without a class is data. Numbers, flags, choices, secrets and `AssetFile` need
    none.
    """

    DATA = "data"
    HOST = "host"
    READS = "file to read"
    WRITES = "file to write"
    CODE = "code"
    """A library, a program or its command line, or anything that may lead to one."""


PlainText = Annotated[str, Holds.DATA]
"""The type of a text that names no file, no host and no code."""
PlainValue = Annotated[Any, Holds.DATA]
"""The type of such a value, if it may be of any type."""
ReadPath = Annotated[str, Holds.READS]
"""The type of a path that is read; a step reads `RunContext.read_path` of it."""
WritePath = Annotated[str, Holds.WRITES]
"""The type of a path that is written; a step writes `RunContext.write_path` of it."""


class Arguments(NamedTuple):
    """Marks a setting with arguments that a library gets as they are: each has a class of its own."""

    held: Callable[[Any, Mapping[str, Any]], Iterable[tuple[str, Any, Holds]]]
    """Gives for the value, and for the whole resource, each argument's name, value and class; code if not known."""


class ResourceRef(NamedTuple):
    """Marks a text field as the name of a resource of one kind; `validate` checks that the flow declares it."""

    kind: str | None
    """None: of any kind."""


class InsecureWhen(NamedTuple):
    """Marks a connector setting that gives up a protection when it has this value.

    `explain`, `validate` and `doctor` show it as INSECURE.
    """

    value: object
    """The value, or a function that says of a rendered value whether it does; of a map it gets one entry at a time."""


class SameAs(NamedTuple):
    """Marks a connector setting as another name of `path`, one in a block; `explain` shows which is given."""

    path: str


class AssetFile(NamedTuple):
    """Marks a text field as the path of a file that belongs to the flow: SQL, a template, a key.

    `ctx.asset_path` resolves it, relative to the flow file; `validate` checks that the file is there.
    """

    folder: bool = False
    """True for a folder instead of a file."""
    local: bool = False
    """True for what may stand only on the machine that runs the flow, such as a key: a missing one is a warning."""
    content_has: str = ""
    """A value that holds this text is the content itself, not a path; empty: every value is a path."""

    def is_content(self, value: str) -> bool:
        """True for a value that is the content itself."""
        return bool(self.content_has) and self.content_has in value.strip()


AssetPath = Annotated[str, AssetFile()]
"""The type of a field with the path of a file that belongs to the flow."""


class StrictModel(BaseModel):
    """A model that refuses unknown keys and cannot change after validation."""

    # defer_build: pydantic builds a model's schema on first use, and most models are only used as parts of others
    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True, defer_build=True
    )


class StepInputs(StrictModel):
    """Base class of a step's inputs. Every field has a type and `Field(description=…)`."""


class StepOutputs(StrictModel):
    """Base class of a step's outputs, which later templates may read."""


class ConnectorConfig(StrictModel):
    """Base class of a connector's `config`: address and account."""


class ConnectorOptions(StrictModel):
    """Base class of a connector's `options`: its behaviour, such as timeouts and caching."""

    cache: Literal["run", "process", "none"] | None = Field(
        None, description="How long a connector lives; default: `AETHERFLOW_CONNECTOR_CACHE_DEFAULT`"
    )
