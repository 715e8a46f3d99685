"""Programs that a fork server starts are as programs that were started by themselves."""

import json
import os
import resource
import signal
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.runtime.processes import fork_server
from aetherflow.core.runtime.processes.fork_server import UNKNOWN, ForkedProcess, ForkServer
from aetherflow.core.runtime.processes.fork_server_program import RUNS

pytestmark = pytest.mark.xdist_group("fork_server")  # one worker starts the server, once

PROGRAMS = {
    "tells": """
        import json, os, signal, sys
        told = {
            "argv": sys.argv[1:], "folder": os.getcwd(), "env": dict(os.environ), "stdin": sys.stdin.read(),
            "group": os.getpgrp() == os.getpid(), "parent": os.getppid(), "name": __name__,
            "signals": [signal.getsignal(each) in (signal.SIG_DFL, signal.default_int_handler)
                        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)],
            "open": len(os.listdir("/proc/self/fd")) - 1, "changed": hasattr(json, "changed"),
            "optimized": sys.flags.optimize, "forked": "aetherflow.core.runner" in sys.modules,
        }
        json.changed = os.environ["CHANGED"] = "for others"
        print(json.dumps(told))
        print("to stderr", file=sys.stderr)
    """,
    "ends": """
        import atexit, sys, threading, time
        atexit.register(print, "at the exit")
        def late():
            time.sleep(0.3)
            print("in a thread")
        threading.Thread(target=late).start()
        exec(sys.argv[1])
    """,
    "does": """
        import os, sys
        print(os.getpid(), vars(os).get("mark"), file=sys.__stdout__)
        os.mark = "left"
        exec(sys.argv[1])
    """,
    "extra": "",
    "stays": "import time; print('here', flush=True); time.sleep(600)",
}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Site:
    """A fork server, and programs that it can start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = ForkServer()

    def start(self, module: str, *arguments: str, folder: Path | None = None, stdin: bytes = b"", **env: Any) -> Any:
        """Start a program whose output is in `out`."""
        where = folder or self.folder
        (self.folder / "in").write_bytes(stdin)
        with (
            (self.folder / "in").open("rb") as given,
            (self.folder / "out").open("wb") as out,
            (self.folder / "err").open("wb") as err,
        ):
            return self.server.start(
                module, arguments, cwd=where, env={**os.environ, **env}, stdin=given, stdout=out, stderr=err
            )

    def told(self, **env: Any) -> dict[str, Any]:
        """What a program says of itself."""
        assert self.start("tells", **env).wait() == 0, self.text("err")
        found: dict[str, Any] = json.loads(self.text("out"))
        return found

    def done(self, code: str = "pass", *, exit_code: int = 0, **more: Any) -> tuple[int, bool]:
        """Run code; the process that did it, and whether that has executed something before."""
        assert self.start("does", code, **more).wait() == exit_code, self.text("err")
        pid, mark = self.text("out").split()[:2]
        return int(pid), mark == "left"

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()

    def until_here(self, here: str = "here") -> None:
        until(lambda: here in self.text("out"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "modules").mkdir()
    for name, text in PROGRAMS.items():
        (folder / f"modules/{name}.py").write_text(textwrap.dedent(text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder / "modules"))
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        made = Site(folder)
        yield made
        made.server.close()


def test_a_program_gets_what_it_would_get_at_a_start(site: Site, tmp_path: Path) -> None:
    process = site.start("tells", "a", "ü", folder=tmp_path, stdin=b"given", OWN="mine")
    assert process.wait() == 0
    found = json.loads(site.text("out"))
    assert found["argv"] == ["a", "ü"]
    assert (found["folder"], found["stdin"], found["name"]) == (str(tmp_path), "given", "__main__")
    assert found["env"] == {**os.environ, "OWN": "mine"}
    assert found["group"]
    assert found["signals"] == [True] * 4
    assert found["open"] == 4, "the streams, and the line to the server"
    assert found["forked"]
    assert site.text("err") == "to stderr\n"


def test_nothing_of_one_run_reaches_another(site: Site) -> None:
    assert not site.told(OWN="mine")["changed"]
    again = site.told()
    assert not again["changed"]
    assert not {"OWN", "CHANGED"} & set(again["env"])


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        ("pass", 0, ""),
        ("sys.exit(7)", 7, ""),
        ("sys.exit('why')", 1, "why\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
    ],
)
def test_a_program_ends_as_an_interpreter_does(site: Site, ending: str, code: int, said: str) -> None:
    assert site.start("ends", ending).wait() == code
    assert site.text("out") == "in a thread\nat the exit\n"
    assert site.text("err").endswith(said)


def test_a_process_is_used_again_and_ends_after_some_runs(site: Site) -> None:
    used = [site.done(COUNTED="1") for _ in range(RUNS + 1)]
    assert len({pid for pid, _ in used}) == 2
    assert [again for _, again in used].count(False) == 2


def test_other_environments_and_folders_get_other_processes(site: Site, tmp_path: Path) -> None:
    pid, _ = site.done(SECRET="a")
    assert site.done(SECRET="a") == (pid, True)
    assert site.done(SECRET="b")[1] is False
    assert site.done(SECRET="b", folder=tmp_path)[1] is False


def test_a_process_knows_no_environment_but_its_own(site: Site) -> None:
    site.done(SECRET="a")
    others = "[each.place for each in gc.get_objects() if type(each).__name__ == '_Executor']"
    site.done(f"import gc; print('others', {others})", SECRET="b")
    assert site.text("out").endswith("others []\n")


@pytest.mark.parametrize(
    "code",
    [
        "os.chdir('/')",
        "os.environ['OWN'] = 'left'",
        "os.umask(0o77)",
        "os.nice(1)",
        "os.left = open('/dev/null')",
        "import subprocess; os.left = subprocess.Popen(['true'])",
        "import signal; signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
        "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])",
        "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
        "import threading, time; threading.Thread(target=time.sleep, args=[60], daemon=True).start()",
        """import _thread, threading, time
_thread.start_new_thread(lambda: (threading.current_thread(), time.sleep(60)), ())
while len(threading.enumerate()) < 2: time.sleep(0.01)""",
        "import logging; logging.root.addHandler(logging.NullHandler())",
        "import atexit; atexit.register(print)",
        "sys.path.append('/nowhere')",
        "import extra",
        "sys.modules['_aetherflow_secrets'] = os",
        "from aetherflow.core.runtime.hooks.metrics import load_metrics; os.METRICS = os; load_metrics('os')",
        """import pathlib; from aetherflow.core.runtime.environment.snapshot import build_snapshot; os.SETTINGS = {}
build_snapshot(pathlib.Path(), ambient={'AETHERFLOW_SETTINGS_MODULE': 'os'})""",
        "bytearray(128 << 20)",
    ],
)
def test_a_process_that_is_not_as_it_was_is_not_used_again(site: Site, code: str) -> None:
    pid, _ = site.done(FRESH=code)
    assert site.done(code, FRESH=code) == (pid, True)
    assert site.done(FRESH=code)[1] is False


def test_a_finalizer_that_has_done_its_work_is_nothing_that_is_left_behind(site: Site) -> None:
    code = "import weakref; weakref.finalize(type('Connection', (), {})(), print)"
    pid, _ = site.done(code, FINALIZER="1")
    assert site.done(code, FINALIZER="1") == (pid, True)


def test_a_thread_that_is_about_to_end_is_nothing_that_is_left_behind(site: Site) -> None:
    code = "import threading, time; threading.Thread(target=time.sleep, args=[0.03], daemon=True).start()"
    pid, _ = site.done(code, THREAD="1")
    assert site.done(code, THREAD="1") == (pid, True)


def test_a_limit_of_processor_time_is_one_for_each_run(site: Site) -> None:
    limited = Site(site.folder)
    with closing(limited.server):
        server = limited.told(BEFORE="1")["parent"]
        # not of this process: Linux would count its processor time in ticks from then on, for other tests, too
        resource.prlimit(server, resource.RLIMIT_CPU, (1_000_000, resource.getrlimit(resource.RLIMIT_CPU)[1]))
        assert [limited.done()[1] for _ in range(2)] == [False, False]


def test_a_process_whose_run_has_failed_is_not_used_again(site: Site) -> None:
    site.done("sys.exit(1)", exit_code=1, FAILED="1")
    assert site.done(FAILED="1")[1] is False


def test_a_run_may_remove_its_folder(site: Site, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    site.done("os.rmdir(os.getcwd())", folder=tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def test_a_free_process_that_is_killed_is_replaced(site: Site) -> None:
    os.kill(site.done()[0], signal.SIGKILL)
    assert site.done()[1] is False


def test_a_free_process_that_is_stopped_holds_nothing_up(site: Site) -> None:
    stopped, _ = site.done(STOPPED="1")
    os.kill(stopped, signal.SIGSTOP)
    until(lambda: ") T " in Path(f"/proc/{stopped}/stat").read_text())
    pid, again = site.done(STOPPED="1")
    assert (pid != stopped, again) == (True, False)
    assert site.done(STOPPED="1") == (pid, True)
    until(lambda: not Path(f"/proc/{stopped}").exists())


def test_what_a_library_has_printed_is_of_its_run(site: Site) -> None:
    printed = "import ctypes; ctypes.CDLL(None).printf(b'%s')"
    pid, _ = site.done(printed % "by the first", C="1")
    assert site.text("out").endswith("by the first")
    assert site.done(printed % "by the second", C="1") == (pid, True)
    assert "first" not in site.text("out")
    site.done(f"{printed % 'by one that fails'}; sys.exit(1)", C="1", exit_code=1)
    assert site.text("out").endswith("by one that fails")


REMEMBERED = {
    "a warning that is shown once": """
        import warnings
        warnings.warn_explicit("said", UserWarning, "library.py", 1, registry=vars(os).setdefault("said", {}))
    """,
    "the rules of a time zone": """
        import zoneinfo
        os.zone, before = zoneinfo.ZoneInfo("UTC"), vars(os).get("zone")
        print(os.zone is before)
    """,
    "the members of a group": """
        from aetherflow.core.base import owners
        print(owners.is_private.cache_info().currsize)
        owners.is_private(0, 0)
    """,
}


@pytest.mark.parametrize("what", REMEMBERED)
def test_a_process_forgets_what_it_remembers_of_a_run(site: Site, what: str) -> None:
    code = textwrap.dedent(REMEMBERED[what])
    first = site.done(code, REMEMBERED=what)[0], site.text("out").split()[2:], site.text("err")
    assert (*site.done(code, REMEMBERED=what), *site.text("out").split()[2:]) == (first[0], True, *first[1])
    assert site.text("err") == first[2]


def test_a_process_is_free_when_the_end_of_its_run_is_known(site: Site) -> None:
    process = site.start("does", "pass", SLOW="1")
    site.until_here("None")
    time.sleep(0.3)
    assert site.done(SLOW="1")[1] is False, "a signal for the first run must not reach the second one"
    assert process.wait() == 0
    process.terminate()
    process.kill()
    assert {site.done(SLOW="1")[1] for _ in range(2)} == {True}


def test_a_program_that_is_killed_leaves_the_server_as_it_was(site: Site) -> None:
    server = site.told()["parent"]
    process = site.start("stays")
    assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == process.poll() == -signal.SIGKILL
    assert site.told()["parent"] == server


def test_the_server_has_no_thread(site: Site) -> None:
    assert len(os.listdir(f"/proc/{site.told()['parent']}/task")) == 1  # noqa: PTH208 of a number


def test_what_the_interpreter_reads_at_its_start_needs_one(site: Site) -> None:
    assert (site.told(PYTHONOPTIMIZE="1")["optimized"], site.told()["optimized"]) == (1, 0)
    assert not site.told(PYTHONOPTIMIZE="1")["forked"]


def test_what_is_installed_meanwhile_is_seen(site: Site) -> None:
    server = site.told()["parent"]
    (site.folder / "modules/tells.py").rename(site.folder / "modules/old.py")
    (site.folder / "modules/tells.py").write_text(textwrap.dedent(PROGRAMS["tells"]) + "# changed\n")
    assert not site.told()["forked"], "a true start"
    again = site.told()
    assert again["forked"], "by the next server"
    assert again["parent"] != server
    assert site.done()[1] is False
    (site.folder / "modules/extra.py").unlink()
    assert site.done()[1] is False, "nor does a process go on that has imported what was there before"


def test_a_server_that_is_killed_takes_its_runs_along_and_is_replaced(site: Site) -> None:
    server = site.told()["parent"]
    process: ForkedProcess = site.start("stays")
    site.until_here()
    os.kill(server, signal.SIGKILL)
    assert process.wait() == UNKNOWN
    assert site.told()["parent"] != server


def test_a_folder_that_is_not_there_is_an_error(site: Site) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        site.start("tells", folder=site.folder / "missing")


def test_runs_outlive_who_asked_for_them_and_the_server_outlives_the_runs(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Site(site.folder)
    process = asked.start("stays")
    asked.until_here()
    with monkeypatch.context() as patch:
        patch.setattr(fork_server, "END_SECONDS", 0.1)
        asked.server.close()
    assert process.poll() is None
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    asked.server.close()
