"""`db_load`, through flows, on every driver."""

from typing import Any

import pytest
from db_loads import CREATE, load, write


def test_a_wrong_delimiter_is_guessed(lite: Any) -> None:
    lite.sql(CREATE)
    assert (lite.run(step=load(write(lite, "a;s\n1;x\n"))).error.fix or "").startswith("set delimiter to ';'")


def test_what_does_not_fit_together_is_found_by_validate(lite: Any) -> None:
    for inputs, said in (
        ({"mode": "merge"}, "mode merge needs keys"),
        ({"keys": ["a"]}, "keys are for mode merge"),
        ({"mode": "truncate", "load_id_column": "x"}, "load_id_column is for mode append"),
    ):
        with pytest.raises(Exception, match=said):
            lite.run(step=load("x.csv", **inputs))
