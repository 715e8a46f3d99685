"""What hooks add to `status`: of one thing that the core knows, only what it does not know."""

import dataclasses
from collections.abc import Iterable

from aetherflow.core.cli.needs import Picture
from aetherflow.core.cli.next_steps import children_first
from aetherflow.core.contracts.needs_person import NeedsPerson
from aetherflow.core.runtime.resuming import stands_in_no_file


def add_told(picture: Picture, told: Iterable[NeedsPerson], now: int) -> None:
    """Merge what hooks say: of one thing that is known, only what is not known yet."""
    wrapped = {run.run_id for run in (trouble.run for trouble in picture.known.values()) if stands_in_no_file(run)}
    for each in told:
        for shown in (picture.needs, picture.in_hand):
            same = next((known for known in shown if _same(known, each)), None)
            if same is not None:
                shown[shown.index(same)] = _merged(same, each, again=same.status == "REFUSED" or same.run_id in wrapped)
                break
        else:
            acknowledged = each.acknowledged
            in_hand = acknowledged is not None and (acknowledged.until is None or acknowledged.until > now)
            (picture.in_hand if in_hand else picture.needs).append(each)
    picture.needs, picture.in_hand = children_first(picture.needs, picture.in_hand)


def _same(known: NeedsPerson, told: NeedsPerson) -> bool:
    if known.run_id and told.run_id:
        return (known.run_id, known.flow_id) == (told.run_id, told.flow_id or known.flow_id)
    if known.flow_id is None or told.slot is None:  # slots that never ran name no flow: each is one of its own
        return False
    return (known.flow_id, known.slot) == (told.flow_id, told.slot)


def _merged(known: NeedsPerson, told: NeedsPerson, *, again: bool) -> NeedsPerson:
    """`again`: it cannot be resumed, it is started again."""
    fields = ("cause", "holds_up", "owner", "runbook_url", "slot", "commands")
    more = {name: getattr(told, name) for name in fields if not getattr(known, name)}
    if again and told.commands:  # its starter knows how to start it again
        more |= {"name": told.name, "commands": told.commands, "hint": None}
    return dataclasses.replace(known, **more)
