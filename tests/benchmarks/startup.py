"""CPU time of starting a command, as a ratio to what its imports alone cost.

The floor is one process that imports pydantic's BaseModel, yaml, pluggy and sqlite3 and runs an empty Typer command.
Floor and commands run in turn, so that a drifting machine hits all alike; medians of user plus system time.

    make bench
"""

import os
import statistics
import sys
import tempfile
from pathlib import Path

from bench_tools import AETHERFLOW, cpu_seconds

ROUNDS = 21
SCHEDULER = f"{AETHERFLOW}-scheduler"
UNIT = "a file of tests"
"""Until its first test would begin: the plugin of Hypothesis imports all of it, but only for the summary."""
COLLECT = ["-m", "pytest", "-q", "--collect-only", "-p", "no:hypothesispytest"]
UNIT_FILE = Path(__file__).parents[1] / "unit/core/kernel/resolver/test_core_when_faults.py"
REQUIRES = "Requires-Dist: aetherflow-core<2,>=1.0\n"
CROWDED = "plugins list, 60"
"""With 60 more distributions that have plugins."""
FLOOR = """\
from pydantic import BaseModel
import yaml, pluggy, sqlite3, typer

app = typer.Typer()


@app.command()
def main() -> None:
    pass


app()
"""
FLOW = """\
version: 1
flow:
  id: startup
  workspace: {{root: "{root}/work"}}
  state: {{path: "{root}/startup.sqlite"}}
jobs:
  - id: main
    steps:
      - {{id: count, type: check_items, inputs: {{items: [a, b]}}}}
"""
SCHEDULE = """\
timezone: UTC
state: scheduler.sqlite
items: [{id: yearly, cron: "0 0 1 1 *", flow: flow.yaml}]
"""
"""Nothing is due: what a pass costs before it starts anything."""


def long_flow(count: int) -> str:
    """A flow of `count` steps in jobs of ten, with templates, references and conditions."""
    lines = ["version: 1", "flow: {id: long}", "jobs:"]
    for job in range(count // 10):
        lines.append(f"  - id: j{job}")
        if job:
            lines.append(f"    when: jobs.j{job - 1}.status == 'SUCCESS'")
        lines.append("    steps:")
        for step in range(10):
            reference = f"{{{{steps.s{step - 1}.exit_code}}}}" if step else "none"
            lines += [
                f"      - id: s{step}",
                "        type: external.process",
                f'        inputs: {{command: [echo, "{reference}", "{{{{env.HOME:}}}}"], timeout_seconds: 5}}',
                f'        outputs: {{code{step}: "{{{{result.exit_code}}}}"}}',
            ]
    return "\n".join(lines) + "\n"


def crowd(site: Path, count: int) -> None:
    """Metadata of `count` distributions with two plugins each, as an environment with many of them has it.

    Each requires a range of versions of the core, as `plugins new` writes it.
    """
    for number in range(count):
        info = site / f"acme_plugin_{number}-1.0.dist-info"
        info.mkdir(parents=True)
        readme = "\n".join(["A line of its README, which stands in the metadata too."] * 50)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: acme-plugin-{number}\nVersion: 1.0\n{REQUIRES}\n{readme}\n"
        )
        (info / "entry_points.txt").write_text(
            f"[aetherflow.steps]\nacme{number}.load = acme_plugin_{number}.load:Load\n\n"
            f"[aetherflow.connectors]\nrest.acme{number} = acme_plugin_{number}.rest:Rest\n"
        )


def main() -> int:
    """Measure, print a table, return 1 if a command is over its limit."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "floor.py").write_text(FLOOR)
        for count in (100, 1_000, 10_000):
            (root / f"flow{count}.yaml").write_text(long_flow(count))
        (root / "flow.yaml").write_text(FLOW.format(root=root))
        (root / "scheduler.yaml").write_text(SCHEDULE)
        crowd(root / "site", 60)
        crowded = {**environment, "PYTHONPATH": str(root / "site")}
        commands = {
            "floor": ([sys.executable, str(root / "floor.py")], 1.0),
            "run, one step": ([AETHERFLOW, "run", str(root / "flow.yaml")], 1.3),
            "validate 100": ([AETHERFLOW, "validate", str(root / "flow100.yaml")], 1.3),
            "plugins list": ([AETHERFLOW, "plugins", "list"], 0.45),
            CROWDED: ([AETHERFLOW, "plugins", "list"], 1.0),
            "--help": ([AETHERFLOW, "--help"], 0.6),
            "scheduler --help": ([SCHEDULER, "--help"], 0.6),
            "scheduler tick": ([SCHEDULER, "tick", str(root / "scheduler.yaml")], 2.0),
            UNIT: ([sys.executable, *COLLECT, str(UNIT_FILE)], 1.5),
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for round_number in range(ROUNDS + 1):
            for name, (command, _) in commands.items():
                seconds = cpu_seconds(command, crowded if name == CROWDED else environment)
                if round_number:  # the first round warms caches and bytecode
                    times[name].append(seconds)
        long = [
            statistics.median(
                cpu_seconds([AETHERFLOW, "validate", str(root / f"flow{n}.yaml")], environment) for _ in range(3)
            )
            for n in (100, 1_000, 10_000)
        ]
    floor = statistics.median(times["floor"])
    failed = False
    print(f"{'command':<18}{'CPU ms':>8}{'ratio':>8}{'limit':>8}")
    for name, (_, limit) in commands.items():
        median = statistics.median(times[name])
        ratio = median / floor
        failed = failed or ratio > limit
        print(f"{name:<18}{median * 1000:>8.1f}{ratio:>8.2f}{limit:>8.2f}{'  OVER' if ratio > limit else ''}")
    per_step = (long[2] - long[1]) / (long[1] - long[0]) / 10
    print(f"validate, cost of a step from 1,000 to 10,000 over that from 100 to 1,000: {per_step:.2f} (1 is linear)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
