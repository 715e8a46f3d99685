"""What `validate` and a plan say of a `db_load` from a workbook."""

from typing import Any

import pytest
from db_loads import load, write

from aetherflow_builtins_db.steps.load import DbLoad


@pytest.mark.parametrize(
    ("path", "inputs", "said"),
    [
        ("x.csv", {"sheet": "Plan"}, "sheet and on_error are for xlsx"),
        ("x.csv", {"on_error": "fail"}, "sheet and on_error are for xlsx"),
        ("x.xlsx", {"delimiter": ";"}, "db_load: delimiter: not for xlsx"),
        ("x.xlsx", {"decimal": ","}, "db_load: decimal: not for xlsx"),
        ("x.xlsx", {"file": {"encoding": "cp1252"}}, "file: not for xlsx"),
    ],
)
def test_options_that_do_not_fit_are_found_by_validate(lite: Any, path: str, inputs: Any, said: str) -> None:
    with pytest.raises(Exception, match=said):
        lite.run(step=load(path, **inputs))


def test_the_extra_for_workbooks_is_named() -> None:
    for inputs in ({"path": "x.xlsx"}, {"path": "x.data", "format": "xlsx"}):
        assert "excel" in DbLoad.libraries(inputs)["aetherflow_builtins_reports"]
    assert DbLoad.libraries({"path": "x.csv"}) == {}


def test_a_missing_workbook_is_named(lite: Any) -> None:
    write(lite, "")
    ran = lite.run(step=load("none.xlsx"))
    assert "there is no file" in str(ran.error.message)
