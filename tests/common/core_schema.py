"""Helpers shared by the unit and the system tests of test_core_schema.py."""

import json
from typing import TYPE_CHECKING, Any

import jsonschema_rs

if TYPE_CHECKING:
    from core_project import Project

from typing import TYPE_CHECKING

ACME = """
from typing import Annotated, Any, Literal
import datetime, enum
from pydantic import AliasChoices, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from aetherflow.core.api import ConnectorBase, ConnectorConfig, ConnectorOptions, Flag, Step, StepInputs

class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"

class Node(StepInputs):
    "A node."
    name: str = Field(description="Its name")
    more: "list[Node]" = Field([], description="Below it")

class Place(StepInputs):
    "A place."
    x: int = Field(ge=0, description="From the left")

def short(value):
    return {"x": len(value)} if isinstance(value, str) else value

class Inputs(StepInputs):
    "Inputs."
    colour: Colour = Field(Colour.RED, description="Of the thing", examples=["blue"])
    size: Literal[1, 2] = Field(1, description="One or two")
    day: datetime.date | None = Field(None, description="A day")
    tree: Node | None = Field(None, description="A tree")
    place: Annotated[Place, BeforeValidator(short)] = Field(Place(x=1), description="A place, or text as long")
    pair: tuple[int, int] = Field((1, 2), description="Two numbers")
    tags: frozenset[str] = Field(frozenset({"c", "a", "b"}), description="Some words")
    rate: float = Field(0.5, ge=0, le=1, description="A share", validation_alias=AliasChoices("rate", "share"))
    plain: bool = Field(False, description="Yes or no")
    code: str = Field("AB", pattern="^[A-Z]+$", description="Capitals")
    weird: Any = Field(None, description="Anything")
    call: object = Field(None, description="An object")

class Acme(Step[Inputs]):
    '''Do what Acme does.

    More about it.

    Example:
        - id: a
          type: acme
          inputs: {colour: blue}
    '''
    def run(self): pass

class Old(Step):
    required_inputs = {"what"}
    def run(self): pass

class Config(ConnectorConfig):
    "Where."
    host: str = Field(description="The host")
    tls: Flag = Field(True, description="Encrypted")

class Options(ConnectorOptions):
    "How."
    seconds: float = Field(5, gt=0, description="Time limit")

class Server(ConnectorBase[Config, Options]):
    '''A server of Acme.'''

class Broken(StepInputs):
    "Inputs."
    @classmethod
    def __get_pydantic_json_schema__(cls, core, handler):
        raise LookupError("no schema")

class NoSchema(Step[Broken]):
    def run(self): pass
"""


ENTRIES = """
[aetherflow.steps]
acme = acme:Acme
old.step = acme:Old
no_schema = acme:NoSchema
[aetherflow.connectors]
box.acme = acme:Server
"""


def write(project: "Project", kind: str, *arguments: str) -> dict[str, Any]:
    result = project.command("schema", kind, *arguments)
    assert result.code == 0, result.err
    document: dict[str, Any] = json.loads(result.out)
    jsonschema_rs.meta.validate(document)
    return document


_ACME: dict[str, Any] = {}
