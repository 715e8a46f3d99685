"""The check of `decode`: its notation, whether there is a hook, and that its targets are standalone tokens."""

from typing import Any

from aetherflow.core.base.errors import AetherflowError, ResolverSyntaxError
from aetherflow.core.base.location import format_path
from aetherflow.core.base.problems import Problem, Problems
from aetherflow.core.checks.view import Part, resources
from aetherflow.core.contracts.written import value_at
from aetherflow.core.kernel.resolver.template import parse_template
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.environment.decode import SECTIONS, decode_paths
from aetherflow.core.runtime.environment.secrets import NO_HOOK_FIX
from aetherflow.core.runtime.environment.snapshot import Snapshot

DECODE_FIX = "write {config: {password: true}} or {config_paths: [password]}; see docs/reference/profiles.md"
STANDALONE = "Decode target must be a standalone template token like '{{TOKEN}}' (no prefix/suffix)."


def check_decode(document: Document, snapshot: Snapshot, problems: Problems) -> None:
    """Check `decode` of every resource in a document that is merged with its profiles."""
    for resource in resources(document.data):
        decode = resource.get("decode", dict)
        if decode:
            _check(document, resource, decode, snapshot, problems)


def _check(document: Document, resource: Part, decode: Any, snapshot: Snapshot, problems: Problems) -> None:
    at = (*resource.path, "decode")
    try:
        paths = decode_paths(decode)
    except ResolverSyntaxError as error:
        where = document.source.value(at)
        problems.add(Problem("AF1306", error.hint, where, format_path(at), "template:syntax", DECODE_FIX))
        return
    if any(paths.values()) and snapshot.hook is None and not snapshot.not_evaluated:
        message = "decode is requested and no secrets hook is configured"
        fix = NO_HOOK_FIX
        problems.add(Problem("AF1702", message, document.source.key(at), format_path(at), "semantic:no_hook", fix))
    for section in SECTIONS:
        values = resource.get(section, dict) or {}
        for path in sorted(paths[section]):
            value = value_at(values, path)
            if not isinstance(value, str) or ("{{" not in value and "}}" not in value):
                continue
            try:
                standalone = parse_template(value.strip()).standalone is not None
            except AetherflowError:
                continue  # reported with all templates
            if not standalone:
                here = (*resource.path, section, *path)
                where = document.source.value(here)
                fix = "keep the prefix out of the secret, or put it into the variable"
                problems.add(Problem("AF1305", STANDALONE, where, format_path(here), "template:syntax", fix))
