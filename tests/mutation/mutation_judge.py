"""Judge mutants inside one pytest process: it collects once, then forks per mutant and swaps the code of one function.

mutation_judge.py PLAN RESULTS     PLAN is JSON: mutants, test paths, seconds per test. Nothing here protects the
                                   machine from a mutant; mutation.py starts it where it can do no harm.
"""

import gc
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest

from mutants import Mutant, mutants

MEMORY_BYTES = 3 << 30
FILE_BYTES = 1 << 30
LEAST_SECONDS = 15
FAILED, UNSWAPPABLE, BROKEN = 93, 94, 95
SLOWER = 10
"""A mutant may take so many times as long as the tests take without it."""


def codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a module and of all that is defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def key_of(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def swap(file: str, source: str) -> None:
    """Let every function of this file that exists in this process run the code of `source`.

    Raises ValueError where a function would need other variables of the function around it.
    """
    new = {key_of(code): code for code in codes(compile(source, file, "exec", dont_inherit=True))}
    for thing in gc.get_objects():
        if type(thing) is FunctionType and thing.__code__.co_filename == file:
            code = new.get(key_of(thing.__code__))
            if code is not None:
                thing.__code__ = code


class Judge:
    """Replaces pytest's own loop over the tests."""

    def __init__(self, plan: dict[str, Any], results: Path) -> None:
        self._root = Path(plan["root"])
        self._most = float(plan["seconds"])
        self._wanted = {(file, key) for file, key in plan["mutants"]}
        self._files = sorted({file for file, _ in self._wanted})
        self._results = results
        self._failed: str | None = None
        self._hits: set[tuple[str, str, int]] = set()
        self._starts = False
        self._sound: dict[str, bool] = {}
        """Tests that failed with a mutant: whether each passes alone without one."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the first failure."""
        if report.failed and self._failed is None:
            self._failed = report.nodeid

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests without a mutant, then those that reach it with each."""
        import hypothesis  # not before pytest has looked at its plugins

        # which example is the smallest does not matter here
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("judge", phases=phases, max_examples=50, deadline=None, database=None)
        hypothesis.settings.load_profile("judge")
        gc.collect()
        items = {item.nodeid: item for item in session.items}
        usual = self._without_mutant(list(items.values()))
        with self._results.open("a") as results:
            for file in self._files:
                source = (self._root / file).read_text(encoding="utf-8")
                for mutant in mutants(file, source):
                    if (file, mutant.key) not in self._wanted:
                        continue
                    reaching = [] if mutant.entry is None else self._reaching(mutant, usual)
                    began = time.monotonic()
                    verdict, by = self._verdict(mutant, source, [items[name] for name in reaching], usual)
                    took = round(time.monotonic() - began, 2)
                    told = {"file": file, "key": mutant.key, "verdict": verdict, "by": by, "seconds": took}
                    results.write(json.dumps({**told, "tests": len(reaching)}) + "\n")
                    results.flush()
        return True

    def _reaching(self, mutant: Mutant, usual: dict[str, dict[str, Any]]) -> list[str]:
        assert mutant.entry is not None
        at = [mutant.file, *mutant.entry]
        names = [name for name, told in usual.items() if at in told["hits"]]
        return sorted(names, key=lambda name: usual[name]["seconds"])

    def _without_mutant(self, items: list[pytest.Item]) -> dict[str, dict[str, Any]]:
        """By test that passes: how long it takes, and the functions that it reaches."""
        path = self._results.with_suffix(".usual")
        path.unlink(missing_ok=True)

        def run() -> None:
            paths = {str(self._root / file): file for file in self._files}

            def note(frame: FrameType, event: str, _: object) -> None:
                if event == "call" and (file := paths.get(frame.f_code.co_filename)) is not None:
                    self._hits.add((file, *key_of(frame.f_code)))

            def late(_number: int, _frame: object) -> None:
                raise TimeoutError("this test takes longer than it may")

            def audit(event: str, _: tuple[object, ...]) -> None:
                self._starts |= event in ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec")

            sys.addaudithook(audit)
            signal.signal(signal.SIGALRM, late)
            with path.open("w") as told:
                threading.setprofile(note)
                for item in items:
                    self._failed, self._hits, self._starts = None, set(), False
                    started = time.monotonic()
                    signal.setitimer(signal.ITIMER_REAL, self._most)
                    sys.setprofile(note)
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
                    sys.setprofile(None)
                    signal.setitimer(signal.ITIMER_REAL, 0)
                    seconds = time.monotonic() - started
                    line = {"name": item.nodeid, "passes": self._failed is None, "seconds": seconds}
                    told.write(json.dumps({**line, "starts": self._starts, "hits": sorted(self._hits)}) + "\n")

        assert self._fork(run, 3600) == 0, "the tests end the process"
        told = [json.loads(line) for line in path.read_text().splitlines()]
        slow = [each["name"] for each in told if each["seconds"] >= self._most]
        unfit = [each["name"] for each in told if not each["passes"] and each["name"] not in slow]
        with self._results.open("a") as results:
            beyond = [each["name"] for each in told if each["starts"] or each["name"] in slow]
            results.write(json.dumps({"tests": len(told), "unfit": unfit, "beyond": beyond}) + "\n")
        return {each["name"]: each for each in told if each["passes"] and each["seconds"] < self._most}

    def _verdict(
        self, mutant: Mutant, source: str, items: list[pytest.Item], usual: dict[str, dict[str, Any]]
    ) -> tuple[str, str]:
        changed = mutant.apply(source)
        while items:
            limit = max(LEAST_SECONDS, SLOWER * sum(usual[item.nodeid]["seconds"] for item in items))
            code, by = self._ask(items, limit, str(self._root / mutant.file), changed)
            if code == UNSWAPPABLE:
                break
            if code == 0:
                return "survived", ""
            if code is None:
                return "timeout", ""
            if code != FAILED:
                return "killed", f"the process ended with {code}"
            if by not in self._sound:
                alone = [item for item in items if item.nodeid == by]
                self._sound[by] = self._ask(alone, LEAST_SECONDS)[0] == 0
            if self._sound[by]:
                return "killed", by
            items = [item for item in items if item.nodeid != by]  # it fails without its neighbours
            del usual[by]
        return "unreached", ""

    def _ask(
        self, items: list[pytest.Item], seconds: float, file: str = "", source: str = ""
    ) -> tuple[int | None, str]:
        """Run tests in a child, with the code of one file swapped; how it ended, and the test that failed."""
        by = self._results.with_suffix(".by")
        by.unlink(missing_ok=True)

        def run() -> None:
            if file:
                try:
                    swap(file, source)
                except ValueError:
                    os._exit(UNSWAPPABLE)
            self._failed = None
            for item in items:
                try:
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
                except BaseException:  # noqa: BLE001 a mutant may raise KeyboardInterrupt, or what ends pytest
                    self._failed = item.nodeid
                if self._failed is not None:
                    by.write_text(self._failed)
                    os._exit(FAILED)

        return self._fork(run, seconds), by.read_text() if by.exists() else ""

    def _fork(self, run: Any, seconds: float) -> int | None:
        """Exit status of a child that runs this; None if it took longer."""
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
                resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                run()
            except BaseException:  # noqa: BLE001 whatever it is, this process must not go on as the judge
                traceback.print_exc()
                os._exit(BROKEN)
            os._exit(0)
        deadline = time.monotonic() + seconds
        while True:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found or time.monotonic() > deadline:
                break
            time.sleep(0.005)
        try:
            os.killpg(pid, signal.SIGKILL)  # what it has started and left behind, too
        except ProcessLookupError:
            pass
        if not found:
            os.waitpid(pid, 0)
            return None
        code = os.waitstatus_to_exitcode(status)
        if code == BROKEN:
            raise RuntimeError("the judge itself failed")
        return code


def main(plan_path: str, results_path: str) -> int:
    """Judge what the plan says."""
    plan = json.loads(Path(plan_path).read_text())
    arguments = ["-q", "-p", "no:cacheprovider", "-m", "not slow", *plan["paths"]]
    return int(pytest.main(arguments, plugins=[Judge(plan, Path(results_path))]))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
