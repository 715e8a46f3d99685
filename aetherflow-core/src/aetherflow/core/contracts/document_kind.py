"""The contract of a document kind: how `aetherflow validate` and `schema` learn of another program's documents."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from aetherflow.core.base.problems import Problem

if TYPE_CHECKING:
    from aetherflow.core.contracts.graph import DocumentGraph
    from aetherflow.core.contracts.upgrade import Difference


class DocumentKind(ABC):
    """Base class of kinds of documents; registered in the group `aetherflow.documents` under the name of the kind.

    A file named `NAME.yaml`, or ending in `.NAME.yaml`, is of this kind, unless it is a flow; for any other file
    `recognises` decides. The class is imported only for a file that is of none of the core's own kinds.
    """

    title: ClassVar[str]
    """Title of the JSON schema that editors show."""

    @abstractmethod
    def recognises(self, data: Any) -> bool:
        """Whether `data`, the parsed content of a file, is a document of this kind; must not raise."""

    @abstractmethod
    def check(self, path: Path, *, config: Path | None, run_hooks: bool) -> Iterable[Problem]:
        """Every finding about a file, warnings included; must not raise for a bad document.

        `config` is the project file that the command line names; `run_hooks` permits running code that is stored beside
        the documents.
        """

    def differences(self, data: Any, version: str) -> "Iterable[Difference]":
        """What a parsed document meant otherwise in AetherFlow `version`, as `Step.differences`; must not raise."""
        del data, version
        return ()

    def graph(self, path: Path) -> "DocumentGraph | None":
        """What a file without errors starts, and what waits for what; None for a kind that has no graph."""
        del path
        return None

    @abstractmethod
    def model(self) -> type[BaseModel]:
        """The model of the document, from which its JSON schema is made."""
