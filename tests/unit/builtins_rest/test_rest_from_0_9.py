"""What a resource meant in version 0.9."""

from typing import Any

import pytest

from aetherflow_builtins_rest.connectors.httpx import HttpxConnector


@pytest.mark.parametrize(
    ("options", "write"),
    [
        ({"retry": {"max_attempts": 2}}, ["max_attempts: 3"]),
        ({"retry": {"max_attempts": "{{env.TRIES}}"}}, ["one more"]),
        ({"retries": 2}, []),
        ({"retry": "often"}, []),
        ({}, []),
    ],
)
def test_attempts_were_further_ones(options: dict[str, Any], write: list[str]) -> None:
    found = list(HttpxConnector.differences({}, options, "0.9"))
    assert [each.write for each in found] == write
    assert all(each.at == ("options", "retry", "max_attempts") for each in found)
