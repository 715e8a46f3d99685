"""The limit on values counts what aliases stand for, exactly."""

import pytest

from aetherflow.core.base.errors import SpecError
from aetherflow.core.kernel.yaml.loader import Limits, parse_document

WRITTEN_OUT = "a: [1, {x: 2}]\nb: [1, {x: 2}]\nc: 3\n"
WITH_ALIAS = "a: &a [1, {x: 2}]\nb: *a\nc: 3\n"
ALIAS_LAST = "c: 3\na: &a [1, {x: 2}]\nb: *a\n"


def is_accepted(text: str, nodes: int) -> bool:
    try:
        parse_document(text, "flow.yaml", Limits(nodes=nodes))
    except SpecError:
        return False
    return True


@pytest.mark.parametrize("text", [WITH_ALIAS, ALIAS_LAST])
def test_an_alias_counts_as_if_it_were_written_out(text: str) -> None:
    least = next(nodes for nodes in range(1, 100) if is_accepted(WRITTEN_OUT, nodes))
    assert is_accepted(text, least)
    with pytest.raises(SpecError) as caught:
        parse_document(text, "flow.yaml", Limits(nodes=least - 1))
    (problem,) = caught.value.problems
    assert problem.af == "AF1006"
    assert f"more than {least - 1} values" in problem.message
