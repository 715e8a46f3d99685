"""CPU and wall time of commands with many, broken and slow plugins installed, as a ratio to the same without them.

Beside it what a lock costs: `run` of a flow with and without one.

    make bench
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import wheels

from bench_tools import AETHERFLOW, cpu_seconds
from startup import FLOW, crowd

ROUNDS = 9
LIMIT = 1.1
LISTED = 1.2
"""For `plugins list` with 300 distributions: it reads the metadata of each, and shows 600 rows more."""
BROKEN = "raise RuntimeError('a plugin that cannot be imported')\n"
SLOW = "import time\ntime.sleep(5)\n"
POINTS = """\
[aetherflow.steps]
{name} = {name}:It
[aetherflow.connectors]
db.{name} = {name}:It
[aetherflow.commands]
{name} = {name}:app
[aetherflow.hooks]
hook:aetherflow_lock_lost = {name}
hook:aetherflow_needs_person = {name}
[aetherflow.bundle_sources]
{name} = {name}:It
"""


def sites(root: Path) -> dict[str, Path]:
    """Folders with plugins, by what is wrong with them."""
    found = {name: root / name for name in ("broken", "slow", "300")}
    wheels.install(found["broken"], "acme-broken", POINTS.format(name="acme_broken"), {"acme_broken.py": BROKEN})
    wheels.install(found["slow"], "acme-slow", POINTS.format(name="acme_slow"), {"acme_slow.py": SLOW})
    crowd(found["300"], 300)
    return found


def main() -> int:
    """Measure, print a table, return 1 if a command is over its limit."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "flow.yaml").write_text(FLOW.format(root=root))
        (root / "empty").mkdir()
        places = {"without": root / "empty", **sites(root)}
        commands = {
            "--help": [AETHERFLOW, "--help"],
            "plugins list": [AETHERFLOW, "plugins", "list"],
            "run": [AETHERFLOW, "run", str(root / "flow.yaml")],
        }
        failed = False
        print(f"{'command':<16}{'with':<10}{'CPU ms':>9}{'ratio':>8}{'wall ms':>9}{'ratio':>8}")
        for name, command in commands.items():
            times: dict[str, list[tuple[float, float]]] = {place: [] for place in places}
            for number in range(ROUNDS + 1):
                for place, site in places.items():
                    env = {**environment, "PYTHONPATH": str(site)}
                    started = time.monotonic()
                    seconds = cpu_seconds(command, env)
                    if number:  # the first round warms caches and bytecode
                        times[place].append((seconds, time.monotonic() - started))
            floor = [statistics.median(each) for each in zip(*times["without"], strict=True)]
            for place, measured in times.items():
                found = [statistics.median(each) for each in zip(*measured, strict=True)]
                ratios = [value / least for value, least in zip(found, floor, strict=True)]
                over = ratios[0] > (LISTED if (name, place) == ("plugins list", "300") else LIMIT)
                failed = failed or over
                cpu, wall = (f"{value * 1000:>9.1f}{ratio:>8.2f}" for value, ratio in zip(found, ratios, strict=True))
                print(f"{name:<16}{place:<10}{cpu}{wall}{'  OVER' if over else ''}")
        lock_costs(root, environment)
    return 1 if failed else 0


def lock_costs(root: Path, environment: dict[str, str]) -> None:
    """Print what a lock adds to `run`."""
    project = root / "locked"
    project.mkdir()
    text = FLOW.format(root=root)
    (project / "flow.yaml").write_text(text)
    (project / "aetherflow.yaml").write_text("plugins: {prefer: {}}\n")
    run = [AETHERFLOW, "run", str(project / "flow.yaml"), "--quiet"]
    free = statistics.median(cpu_seconds(run, environment) for _ in range(ROUNDS))
    cpu_seconds([AETHERFLOW, "plugins", "lock", "--output", str(project / "plugins.lock")], environment)
    (project / "aetherflow.yaml").write_text("plugins: {locked: plugins.lock}\n")
    held = statistics.median(cpu_seconds(run, environment) for _ in range(ROUNDS))
    print(f"run under a lock: {held * 1000:.1f} ms, without {free * 1000:.1f} ms: {(held - free) * 1000:+.1f} ms")


if __name__ == "__main__":
    sys.exit(main())
