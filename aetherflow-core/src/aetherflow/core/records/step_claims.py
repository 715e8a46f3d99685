"""The claims of one attempt: staged by its step, committed with its end or before."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple, Self

from aetherflow.core.kernel.state.records import Artifact, StepEffects, StepKey

SHOWN_KEYS = 10
"""So many keys of one commit stand in its journal entry; the table has all."""


class StagedClaim(NamedTuple):
    """A key of a ledger that an attempt claims."""

    namespace: str
    key: str
    value: Any
    identity: str
    artifact: Artifact | None
    taken_from: str | None
    """The run that holds the key still."""
    seen: str | None
    """The mark of the final value that the attempt saw; None if there was none."""
    step: StepKey | None = None
    """The step of this run that has claimed it before, if only the artifact changes."""


@dataclass(slots=True, eq=False, repr=False)
class StepClaims:
    """The claims among the effects of an attempt, each by its ledger and key."""

    staged: dict[tuple[str, str], StagedClaim] = field(default_factory=dict)
    """For the transaction that ends the attempt well, unless the step commits them before."""
    committed: dict[tuple[str, str], StagedClaim] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    """Identities of claims of the run that become final with this attempt."""
    seen: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    """By ledger, and prefix of the keys that were read: the marks of the values that were there."""

    @classmethod
    def of(cls, effects: StepEffects) -> Self:
        """The claims of the attempt with these effects."""
        found: Self = effects.of_parts.setdefault(cls, cls())
        return found


def identity_of(flow_id: str, namespace: str, key: str, value: Any) -> str:
    """What names a claim, in whichever run."""
    text = "\0".join((flow_id, namespace, key, json.dumps(value, sort_keys=True)))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def told_of(staged: Iterable[StagedClaim]) -> Iterator[dict[str, Any]]:
    """The journal's entries about claims: one for each ledger and run that they were taken from."""

    def place(claim: StagedClaim) -> tuple[str, str]:
        return claim.namespace, claim.taken_from or ""

    for (namespace, before), group in groupby(sorted(staged, key=place), place):
        keys = sorted(claim.key for claim in group)
        yield {
            "ledger": namespace,
            "count": len(keys),
            "keys": keys[:SHOWN_KEYS],
            "taken_over_from": before or None,
        }
