"""CPU time of starting a command, as a ratio to what its imports alone cost.

The floor is one process that imports pydantic's BaseModel, yaml, pluggy and sqlite3 and runs an empty Typer command.
Floor and commands run in turn, so that a drifting machine hits all alike; medians of user plus system time.

    make bench
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 21
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


def cpu_seconds(command: list[str], environment: dict[str, str]) -> float:
    """User plus system time of one run of `command`."""
    pid = os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
    )
    _, status, usage = os.wait4(pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        again = subprocess.run(command, capture_output=True, text=True, check=False)
        raise SystemExit(f"{' '.join(command)} failed: {again.stderr}")
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    """Measure, print a table, return 1 if a command is over its limit."""
    aetherflow = str(Path(sys.executable).with_name("aetherflow"))
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "floor.py").write_text(FLOOR)
        (root / "flow.yaml").write_text(FLOW.format(root=root))
        commands = {
            "floor": ([sys.executable, str(root / "floor.py")], 1.0),
            "run, one step": ([aetherflow, "run", str(root / "flow.yaml")], 1.5),
            "plugins list": ([aetherflow, "plugins", "list"], 1.0),
            "--help": ([aetherflow, "--help"], 0.6),
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for round_number in range(ROUNDS + 1):
            for name, (command, _) in commands.items():
                seconds = cpu_seconds(command, environment)
                if round_number:  # the first round warms caches and bytecode
                    times[name].append(seconds)
    floor = statistics.median(times["floor"])
    failed = False
    print(f"{'command':<16}{'CPU ms':>8}{'ratio':>8}{'limit':>8}")
    for name, (_, limit) in commands.items():
        median = statistics.median(times[name])
        ratio = median / floor
        failed = failed or ratio > limit
        print(f"{name:<16}{median * 1000:>8.1f}{ratio:>8.2f}{limit:>8.1f}{'  OVER' if ratio > limit else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
