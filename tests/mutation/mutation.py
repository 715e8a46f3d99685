"""Mutation tests: change the product a little, again and again, and see whether a test fails.

mutation.py [--module kernel/locks/store.py ...] [--sample N] [--seed S]

Everything runs in a copy of the tree, in a temporary folder with a HOME of its own. Started by root it runs as
`nobody`, in namespaces of its own for processes, mounts and /dev/shm. Results go to .mutation/;
mutation_table.py publishes them.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / ".mutation"
EQUIVALENT = ROOT / "tests/mutation/equivalent.toml"
CORE, SCHEDULER = "aetherflow-core/src/aetherflow/core", "aetherflow-scheduler/src/aetherflow/scheduler"
PARTS = {
    f"{CORE}/kernel/state": ["test_core_run.py", "test_core_plan.py"],
    f"{CORE}/kernel/locks": ["test_core_scope_locks.py"],
    f"{CORE}/kernel/sequencing": ["test_core_control.py", "test_core_run_flow.py"],
    f"{CORE}/kernel/resolver": ["test_core_references.py", "test_core_run.py"],
    f"{CORE}/kernel/yaml": ["test_core_validate.py"],
    **{f"{SCHEDULER}/{room}": [] for room in ("time", "schedule", "ledger", "audit", "document", "runs", "loop")},
}
"""What `make mutation` draws its sample from, with the tests of others that are asked after a part's own."""
NOBODY = 65534
SECONDS_PER_TEST = 5.0
"""A test that takes longer judges no mutant inside a process; it does with the whole file changed."""
WHOLE_SECONDS = 600
WHOLE_FILES = ["-q", "-x", "-p", "no:cacheprovider", "-m", "not slow"]


def modules(wanted: Sequence[str]) -> list[str]:
    """Files whose path ends as asked; all of the parts if nothing is."""
    found = sorted(str(path.relative_to(ROOT)) for part in PARTS for path in (ROOT / part).rglob("*.py"))
    for name in wanted:
        if not any(file.endswith(f"/{name}") for file in found):
            raise SystemExit(f"no module ends with {name}; name it as in kernel/locks/store.py")
    return [file for file in found if not wanted or any(file.endswith(f"/{name}") for name in wanted)]


def own_tests(file: str) -> list[str]:
    """The folder of the unit tests of a module's part."""
    return _folders("unit", file)


def wider_tests(file: str) -> list[str]:
    """The part's tests with processes, and tests of others that use the part."""
    names = next(names for part, names in PARTS.items() if file.startswith(part))
    others = [str(path.relative_to(ROOT)) for name in names for path in sorted((ROOT / "tests").rglob(name))]
    return _folders("system", file) + others


def _folders(tier: str, file: str) -> list[str]:
    part = f"core/{Path(file).relative_to(CORE).parent}" if file.startswith(CORE) else "scheduler"
    return [folder for folder in (f"tests/{tier}/{part}",) if (ROOT / folder).is_dir()]


class Box:
    """A copy of the tree in a temporary folder, and a way to run Python in it that can do no harm outside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = folder / "tree"
        self.as_root = os.geteuid() == 0
        listing = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
        for name in filter(None, names):
            if (ROOT / name).is_file() and not name.startswith("docs/"):
                (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.tree / name, follow_symlinks=False)
        for name in ("home", "tmp", "plans", "base", "packages"):
            (folder / name).mkdir()
        self._make_environment()
        # by content: a changed module is never run from the bytecode of the unchanged one
        hashed = ["-m", "compileall", "-q", "--invalidation-mode", "checked-hash", str(self.tree)]
        subprocess.run([sys.executable, *hashed], check=True)
        if self.as_root:
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(folder)], check=True)

    def _make_environment(self) -> None:
        """A virtual environment that sees the installed packages, but of this project only what lies in the copy."""
        base, packages = Path(sys.base_prefix), Path(sysconfig.get_path("purelib"))
        self._mounts = {base: self.folder / "base", packages: self.folder / "packages"}
        if self.as_root:  # they may lie where nobody else may look
            base, packages = self._mounts[base], self._mounts[packages]
        self._base = base
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        site = self.folder / "env/lib" / version / "site-packages"
        site.mkdir(parents=True)
        (self.folder / "env/bin").mkdir()
        self.python = self.folder / "env/bin/python"
        self.python.symlink_to(base / "bin" / version)
        (self.folder / "env/pyvenv.cfg").write_text(f"home = {base / 'bin'}\ninclude-system-site-packages = false\n")
        sources = sorted(self.tree.glob("aetherflow-*/src"))
        (site / "tree.pth").write_text("".join(f"{path}\n" for path in [*sources, packages]))

    def run(self, arguments: Sequence[str], seconds: float) -> tuple[int | None, str]:
        """Run Python there; its exit status and what it printed, None if it took longer."""
        command = [str(self.python), *arguments]
        if self.as_root:
            steps = ["mount -t tmpfs -o mode=1777 tmpfs /dev/shm"]
            steps += [f"mount --bind '{outer}' '{inner}'" for outer, inner in self._mounts.items()]
            drop = f"exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups --no-new-privs --bounding-set=-all"
            steps.append(f'{drop} "$@"')
            apart = ["unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]
            command = [*apart, "sh", "-ec", "; ".join(steps), "sh", *command]
        told = self.folder / "told"
        with told.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self.tree,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                code: int | None = process.wait(seconds)
            except subprocess.TimeoutExpired:
                code = None
            except BaseException:
                process.kill()
                raise
            finally:
                process.kill()
                process.wait()
        return code, told.read_text(encoding="utf-8", errors="replace")

    def _environment(self) -> dict[str, str]:
        home = self.folder / "home"
        return {
            "PATH": f"{self.python.parent}:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(home),
            "USER": "nobody",
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.folder / "tmp"),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_RUNTIME_DIR": str(home),
            "LD_LIBRARY_PATH": str(self._base / "lib"),  # of an interpreter whose library lies beside it
            "AETHERFLOW_TORTURE_SEED": "1",
            "PYTHONPATH": str(self.tree / "tests/mutation"),
        }


@dataclass
class Round:
    """The mutants of one run, and what became of each."""

    box: Box
    told: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    unfit: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    beyond: list[str] = field(default_factory=list)
    """The part's own tests that see a mutant only in its file: they start processes, or take long."""

    def judge(self, mutants_: Sequence[Mutant], paths: list[str], label: str) -> None:
        """Ask these tests, inside one process, about these mutants."""
        if not mutants_ or not paths:
            return
        results = self.box.folder / "plans/results"
        results.unlink(missing_ok=True)
        plan = {
            "root": str(self.box.tree),
            "seconds": SECONDS_PER_TEST,
            "paths": paths,
            "mutants": [[mutant.file, mutant.key] for mutant in mutants_],
        }
        plan_file = self.box.folder / "plans/plan.json"
        plan_file.write_text(json.dumps(plan))
        arguments = ["tests/mutation/mutation_judge.py", str(plan_file), str(results)]
        code, output = self.box.run(arguments, 3600 + 60 * len(mutants_))
        lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
        if len(lines) != len(mutants_) + 1:
            raise SystemExit(f"the judge ended with {code}:\n{output[-3000:]}")
        self.unfit[label] |= set(lines[0]["unfit"])
        if label == "own":
            self.beyond = [name for name in lines[0]["beyond"] if name not in self.unfit[label]]
        for told in lines[1:]:
            if told["verdict"] != "unreached":
                self.told[told["file"], told["key"]] = {**told, "tests": label}

    def judge_whole(self, mutant: Mutant, paths: list[str], label: str) -> None:
        """Ask these tests about the file as the mutant leaves it: also what is done at import, and in processes."""
        if not paths:
            return
        path = self.box.tree / mutant.file
        source = path.read_text(encoding="utf-8")
        began = time.monotonic()
        verdict, by = "survived", ""
        try:
            while True:
                path.write_text(mutant.apply(source), encoding="utf-8")
                skipped = [part for name in sorted(self.unfit[label]) for part in ("--deselect", name)]
                code, output = self.box.run(["-m", "pytest", *WHOLE_FILES, *skipped, *paths], WHOLE_SECONDS)
                path.write_text(source, encoding="utf-8")
                if code in (0, 5):
                    break
                if code is None:
                    verdict = "timeout"
                    break
                found = re.search(r"^(?:FAILED|ERROR) (\S+\.py(?:::\S+)?)", output, re.MULTILINE)
                by = found[1] if found else f"pytest ended with {code}"
                # a test that fails without the mutant, too, says nothing
                alone = [by] if found else paths
                if self.box.run(["-m", "pytest", *WHOLE_FILES, *alone], WHOLE_SECONDS)[0] == 0:
                    verdict = "killed"
                    break
                if not found:
                    raise SystemExit(f"the tests do not run at all:\n{output[-3000:]}")
                self.unfit[label].add(by)
        finally:
            path.write_text(source, encoding="utf-8")
        took = round(time.monotonic() - began, 2)
        told = {"file": mutant.file, "key": mutant.key, "verdict": verdict, "by": by, "seconds": took}
        self.told[mutant.file, mutant.key] = {**told, "tests": f"{label}, whole"}

    def left(self, mutants_: Iterable[Mutant]) -> list[Mutant]:
        """Those that no test has noticed yet."""
        done = {"killed", "timeout"}
        told = self.told
        return [each for each in mutants_ if told.get((each.file, each.key), {}).get("verdict") not in done]


def equivalent() -> dict[str, dict[str, str]]:
    """By file, by mutant: why it changes nothing that could be tested."""
    return tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))


def short(file: str) -> str:
    """`kernel/locks/store.py` and `scheduler/loop/planning.py`."""
    return file.removeprefix(f"{CORE}/").replace(f"{SCHEDULER}/", "scheduler/")


def groups(chosen: Sequence[Mutant]) -> Iterator[tuple[list[str], list[str], list[Mutant]]]:
    """Mutants with the same tests: these, those of the neighbours, the mutants."""
    found: dict[tuple[str, ...], list[Mutant]] = defaultdict(list)
    for mutant in chosen:
        found[*own_tests(mutant.file), "", *wider_tests(mutant.file)].append(mutant)
    for paths, group in found.items():
        at = paths.index("")
        yield list(paths[:at]), list(paths[at + 1 :]), group


def try_all(box: Box, chosen: Sequence[Mutant]) -> Round:
    """Judge mutants by their own tests, then by those of neighbours, then as whole files."""
    round_, argued = Round(box), equivalent()
    for own, wider, group in groups(chosen):
        tried = [each for each in group if each.key not in argued.get(short(each.file), {})]
        print(f"{len(tried)} mutants, {', '.join(own)} ...", flush=True)
        inside = [mutant for mutant in tried if mutant.entry is not None]
        round_.judge(inside, own, "own")
        left = round_.left(inside)
        print(
            f"  {len(inside) - len(left)} of {len(inside)} noticed; {', '.join(wider) or 'no others'} ...", flush=True
        )
        round_.judge(left, wider, "wider")
        left = round_.left(tried)
        print(f"  {len(left)} as whole files ...", flush=True)
        for mutant in left:
            reached = (mutant.file, mutant.key) in round_.told
            round_.judge_whole(mutant, round_.beyond if reached else own, "own")
    return round_


def summary(name: str, chosen: Sequence[Mutant], round_: Round, of: int, seed: int | None) -> dict[str, Any]:
    """What is kept in .mutation/ of one module, or of a sample."""
    argued = equivalent()
    survived = round_.left(chosen)
    reasoned = [each.key for each in survived if each.key in argued.get(short(each.file), {})]
    verdicts = [told["verdict"] for told in round_.told.values() if told["file"] in {each.file for each in chosen}]
    return {
        "module": name,
        "mutants": of,
        "tried": len(chosen),
        "killed": verdicts.count("killed"),
        "timed_out": verdicts.count("timeout"),
        "equivalent": len(reasoned),
        "open": [f"{short(each.file)}:{each.line} {each.key}" for each in survived if each.key not in reasoned],
        "seed": seed,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants asked for; 1 if one survived that nobody has argued about."""
    parser = argparse.ArgumentParser(prog="mutation.py")
    parser.add_argument("--module", action="append", default=[], metavar="kernel/locks/store.py")
    parser.add_argument("--sample", type=int, help="so many mutants of all; omitted: every one of the modules named")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    files = modules(given.module)
    every = [each for file in files for each in mutants(file, (ROOT / file).read_text(encoding="utf-8"))]
    number = min(given.sample or (len(every) if given.module else 200), len(every))
    chosen = every
    if number < len(every):
        chosen = sorted(random.Random(given.seed).sample(every, number), key=lambda each: (each.file, each.line))
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        Path(folder).chmod(0o755)
        round_ = try_all(Box(Path(folder)), chosen)
    RESULTS.mkdir(exist_ok=True)
    whole = number == len(every)
    found = []
    for file in files if whole else [""]:
        own = [each for each in chosen if not file or each.file == file]
        name = short(file) if file else f"a sample of {', '.join(given.module) or 'all modules'}"
        told = summary(name, own, round_, len(own) if file else len(every), None if whole else given.seed)
        (RESULTS / f"{re.sub(r'[^a-z0-9]+', '-', name)}.json").write_text(json.dumps(told, indent=1) + "\n")
        found.append(told)
        counted = f"{told['killed']} killed, {told['timed_out']} timed out, {told['equivalent']} equivalent"
        print(f"{name}: {told['tried']} mutants: {counted}, {len(told['open'])} survived")
        for each in told["open"]:
            print(f"  {each}")
    for label, names in round_.unfit.items():
        for name in sorted(names):
            print(f"not asked ({label}), fails here without a mutant: {name}")
    return int(any(told["open"] for told in found))


if __name__ == "__main__":
    raise SystemExit(main())
