"""Iterating over the values of a document, and showing them: rendered as far as possible, secrets masked."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from aetherflow.core.base.errors import ResolverError
from aetherflow.core.base.location import DocPath
from aetherflow.core.base.redact import MASK, MIN_LENGTH, Redactor, secrets_in
from aetherflow.core.base.secret_names import is_secret_name
from aetherflow.core.contracts.written import WRITTEN
from aetherflow.core.kernel.resolver.template import Token, parse_template, render
from aetherflow.core.kernel.yaml.loader import RawString
from aetherflow.core.runtime.environment.snapshot import Snapshot

_USER_INFO = r"(\w://[^/\s:@]*:)[^/\s@]+@"

MIN_DECLARED = 4
"""Values declared as secret are masked everywhere from this length on; shorter ones only at their own path."""


def leaves(value: Any, path: DocPath = ()) -> Iterator[tuple[DocPath, Any]]:
    """Every value with its path, through maps and lists; empty maps and lists count as values."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def tokens_of(value: Any) -> list[Token]:
    """The templates in a text; none for other values, for `!raw` text and for invalid templates."""
    if not isinstance(value, str) or isinstance(value, RawString) or "{{" not in value:
        return []
    try:
        return parse_template(value).tokens
    except ResolverError:
        return []


def known_text(value: Any, env: Mapping[str, str]) -> str | None:
    """A text as every run in this environment has it; None for one that only a run knows, and for other values."""
    if not isinstance(value, str):
        return None
    tokens = tokens_of(value)
    if not tokens:
        return str(value) if isinstance(value, RawString) or "{{" not in value else None
    if any(token.path[0] != "env" for token in tokens):
        return None
    try:
        found = render(value, {"env": env})
    except ResolverError:
        return None
    return found if isinstance(found, str) else None


def known_values(value: Any, env: Mapping[str, str]) -> Any:
    """The value without texts that only a run knows: each is None."""
    if isinstance(value, dict):
        return {key: known_values(each, env) for key, each in value.items()}
    if isinstance(value, list):
        return [known_values(each, env) for each in value]
    return known_text(value, env) if isinstance(value, str) else value


class Shower:
    """Renders values with the environment alone, and masks secrets."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._env = snapshot.env
        self.redactor: Redactor = snapshot.redactor()

    def rendered(self, value: Any) -> Any:
        """The value with `{{env.…}}` rendered where it is set; other templates stay as written."""
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
        """Register for masking: a `secret` value, as rendered, and the defaults of variables with secret names."""
        found = self.rendered(value)
        if secret and isinstance(found, str) and len(found) >= least and not tokens_of(found):
            self.redactor.add([found])
        for token in tokens_of(value):
            if token.default and (secret or is_secret_name(token.path[-1])):
                self.redactor.add([token.default])

    def learn_names(self, section: Mapping[str, Any]) -> None:
        """Register the values of keys with secret names for masking."""
        self.redactor.add(text for text in secrets_in(section) if not tokens_of(text))

    def shown(self, value: Any, *, secret: bool = False) -> Any:
        """The rendered value, with secrets masked."""
        if secret and value not in (None, "", {}, []):
            return MASK
        return self.masked(self.rendered(value))

    def written(self, value: Any, *, secret: bool = False) -> str:
        """The value as written in the document, masked; for a secret only the templates in it."""
        tokens = tokens_of(value)
        if secret:
            return " ".join(f"{{{{{token.dotted}}}}}" for token in tokens) or MASK
        return str(self.masked(value if isinstance(value, str) else _text(value)))

    def masked(self, value: Any) -> Any:
        """The value with secrets and passwords in URLs masked."""
        found = self.redactor.mask_all(value)
        return re.sub(_USER_INFO, rf"\1{MASK}@", found) if isinstance(found, str) else found

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
