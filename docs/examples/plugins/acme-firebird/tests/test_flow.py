"""The flow of the example, run twice."""

import csv
from pathlib import Path

import pytest

from aetherflow.core.testing import FlowProject

ENGINE = list(Path("/usr/lib").glob("*/firebird/*/plugins/libEngine*.so"))
pytestmark = pytest.mark.skipif(not ENGINE, reason="apt-get install firebird4.0-server-core libfbclient2")
FLOW = Path(__file__).parents[1] / "flow.yaml"


def test_the_flow_of_the_example(flow_project: FlowProject) -> None:
    flow_project.write(FLOW.read_text().replace("root: work", f"root: {flow_project.work}"))
    given = flow_project.work / "orders" / "given.csv"
    given.parent.mkdir(parents=True)
    for text, totals in (
        ("id,customer,amount\n1,Änne,10.50\n2,Bo,1\n", [["Bo", "1.00"], ["Änne", "10.50"]]),
        ("id,customer,amount\n2,Bo,2.25\n3,Bo,1\n", [["Bo", "3.25"]]),
    ):
        given.write_text(text)
        ran = flow_project.run(params={"file": str(given)})
        assert ran.status == "SUCCESS", ran.error
        with Path(ran["totals"].outputs["output"]).open(newline="") as file:
            assert sorted(list(csv.reader(file))[1:]) == totals
