"""Which paths a step may use, and what enterprise mode takes away."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core_project import Project


def test_enterprise_accepts_plugins_by_distribution_only(project: "Project") -> None:
    project.plugin("acme-steps", "[aetherflow.steps]\nacme = acme:A\n")
    project.module(
        "acme",
        "from aetherflow.core.api import Step\nclass A(Step):\n    def run(self): return {}\n",
    )
    project.flow("jobs:\n  - id: a\n    steps:\n    - {id: s, type: acme}\n")
    enterprise = {"AETHERFLOW_MODE": "enterprise"}
    assert project.command("validate", "flow.yaml").code == 0
    refused = project.command("validate", "flow.yaml", env=enterprise)
    assert (refused.code, "AF2104" in refused.out) == (2, True)
    project.write("plugins: {allow: [acme-steps]}\n", "aetherflow.yaml")
    assert project.command("validate", "flow.yaml", env=enterprise).code == 0
