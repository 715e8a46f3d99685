"""The origin of a value: the chain from its document to the sources of the variables that its templates read."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from aetherflow.core.base.errors import ResolverError
from aetherflow.core.base.location import Location
from aetherflow.core.kernel.resolver.template import parse_template
from aetherflow.core.kernel.yaml.loader import RawString
from aetherflow.core.runtime.environment.snapshot import Snapshot


class Link(NamedTuple):
    """One link of a chain: what it is, its location, and its text there."""

    what: str
    location: Location | None
    text: str = ""

    def as_json(self) -> dict[str, Any]:
        """The link as `what, file, line, col, text`."""
        at = self.location
        return {
            "what": self.what,
            "file": at.file if at else None,
            "line": at.line if at else None,
            "col": at.column if at else None,
            "text": self.text,
        }


def links_of(text: Any, snapshot: Snapshot, constants: Mapping[str, Any]) -> list[Link]:
    """The links of a value as written: for each template in it, the variable or constant that it reads."""
    if not isinstance(text, str) or isinstance(text, RawString) or "{{" not in text:
        return []
    try:
        tokens = parse_template(text).tokens
    except ResolverError:
        return []
    links = []
    for token in tokens:
        if token.path[0] == "env" and len(token.path) == 2:
            links.append(_environment(token.path[1], token.default, snapshot))
        elif token.path[0] in constants:
            links.append(Link(f"{token.dotted}", None, "known when the run starts"))
        else:
            links.append(Link(f"{token.dotted}", None, "known only in the run"))
    return links


def _environment(key: str, default: str | None, snapshot: Snapshot) -> Link:
    origin = snapshot.origins.get(key)
    if origin is None or snapshot.env.get(key, "") == "":
        if default is None:
            return Link(f"env.{key}", None, "not set, and no default")
        return Link(f"env.{key}", None, f"not set, so its default: {default!r}")
    return Link(f"env.{key}", origin.location, f"from {origin.kind} {origin.plugin or ''}".rstrip())
