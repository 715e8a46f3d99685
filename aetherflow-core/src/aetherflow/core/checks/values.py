"""The values of a document one by one, and how they may be shown: rendered as far as known, secrets masked."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from aetherflow.core.base.errors import ResolverError
from aetherflow.core.base.location import DocPath
from aetherflow.core.base.redact import MASK, MIN_LENGTH, Redactor, is_secret_name, secrets_in
from aetherflow.core.contracts.written import WRITTEN
from aetherflow.core.kernel.resolver.template import Token, parse_template, render
from aetherflow.core.kernel.yaml.loader import RawString
from aetherflow.core.runtime.environment.snapshot import Snapshot

_USER_INFO = re.compile(r"(\w://[^/\s:@]*:)[^/\s@]+@")

MIN_DECLARED = 4
"""Values declared secret are masked everywhere from this length on; a shorter one only at its own place."""


def leaves(value: Any, path: DocPath = ()) -> Iterator[tuple[DocPath, Any]]:
    """Every value that is no map and no list, with its path; empty maps and lists count as values."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def tokens_of(value: Any) -> list[Token]:
    """The templates in a text; none in other values, in `!raw` text and in text that is no template."""
    if not isinstance(value, str) or isinstance(value, RawString) or "{{" not in value:
        return []
    try:
        return parse_template(value).tokens
    except ResolverError:
        return []


class Shower:
    """Renders values with the environment alone, and masks what is secret."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._env = snapshot.env
        self.redactor: Redactor = snapshot.redactor()

    def rendered(self, value: Any) -> Any:
        """The value with `{{env.…}}` replaced where it is set; other templates stay as they are written."""
        tokens = tokens_of(value)
        if not tokens:
            return str(value) if isinstance(value, RawString) else value
        if all(token.path[0] == "env" for token in tokens):
            try:
                return render(value, {"env": self._env})
            except ResolverError:
                pass
        return "".join(self._part(part, value) for part in parse_template(value).parts)

    def learn(self, value: Any, *, secret: bool, least: int = MIN_LENGTH) -> None:
        """Mask from now on what a value renders to if it is `secret`, and the defaults of keys with secret names."""
        found = self.rendered(value)
        if secret and isinstance(found, str) and len(found) >= least and not tokens_of(found):
            self.redactor.add([found])
        for token in tokens_of(value):
            if token.default and (secret or is_secret_name(token.path[-1])):
                self.redactor.add([token.default])

    def learn_names(self, section: Mapping[str, Any]) -> None:
        """Mask from now on the values of keys with secret names."""
        self.redactor.add(text for text in secrets_in(section) if not tokens_of(text))

    def shown(self, value: Any, *, secret: bool = False) -> Any:
        """The rendered value as it may be shown."""
        if secret and value not in (None, "", {}, []):
            return MASK
        return self.masked(self.rendered(value))

    def written(self, value: Any, *, secret: bool = False) -> str:
        """The text as it stands in the document; of a secret only the names that it is made of."""
        tokens = tokens_of(value)
        if secret:
            return " ".join(f"{{{{{token.dotted}}}}}" for token in tokens) or MASK
        return str(self.masked(value if isinstance(value, str) else _text(value)))

    def masked(self, value: Any) -> Any:
        """The value without secrets, passwords inside of URLs included."""
        found = self.redactor.mask_all(value)
        return _USER_INFO.sub(rf"\1{MASK}@", found) if isinstance(found, str) else found

    def _part(self, part: str | Token, whole: str) -> str:
        if isinstance(part, str):
            return part
        written = whole[part.offset : whole.index("}}", part.offset) + 2]
        if part.path[0] != "env":
            return written
        try:
            return str(render(written, {"env": self._env}))
        except ResolverError:
            return written


def _text(value: Any) -> str:
    import json

    if isinstance(value, WRITTEN):
        return value.text
    return json.dumps(value, ensure_ascii=False, default=str)
