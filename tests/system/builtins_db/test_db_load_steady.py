"""A Parquet file that is exchanged between the limited child that reads it first and the load."""

from collections.abc import Generator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from db_loads import load

from aetherflow.core.runtime.processes.limited import LimitedCall


@pytest.mark.parametrize("fixture", ["lite", "duck"])
def test_the_file_that_was_looked_at_is_loaded(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, fixture: str
) -> None:
    project = request.getfixturevalue(fixture)
    project.sql("CREATE TABLE t (a INTEGER)")
    path = project.root / "work" / "t" / "given" / "in.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"a": [1, 2]}), path)
    path.chmod(0o666)
    values = LimitedCall.values

    def exchanged(self: LimitedCall, *given: Any) -> Generator[Any]:
        for value in values(self, *given):
            pq.write_table(pa.table({"a": [7]}), path)
            yield value

    monkeypatch.setattr(LimitedCall, "values", exchanged)
    ran = project.run(step=load(str(path)))
    assert ran.status["step"] == "SUCCESS", ran.error
    assert project.rows("SELECT a FROM t ORDER BY a") == [[1], [2]]
    assert list((project.root / "work").rglob("steady-*")) == []
