"""A forked command is as one that was started: each sample is run both ways, and all that can be seen is compared."""

import ast
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import termios
import textwrap
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from wheels import install

import immortal
import warm
import warm_server
from core_project import Project
from server_project import OtherHost
from warm_request import UNPRIVILEGED, Request

WAYS: dict[str, Any] = {"started": warm.true_start("what a fork is compared with"), "forked": warm}
PROBE = textwrap.dedent("""\
    import json, locale, os, resource, signal, subprocess, sys, threading, time, warnings

    def status():
        lines = open("/proc/self/status").read().splitlines()
        kept = ("Umask", "SigBlk", "SigIgn", "SigCgt", "ShdPnd", "Uid", "Gid", "Groups", "CapEff", "CapBnd", "Threads")
        return [line for line in lines if line.split(":")[0] in kept]

    def descriptors(text):
        return sorted(line.split(" -> ")[0].split()[-1] for line in text.splitlines() if " -> " in line)

    def stream(one):
        names = ("encoding", "errors", "line_buffering", "write_through", "mode", "name", "newlines")
        return one and [*(getattr(one, name) for name in names), type(one.buffer).__name__, one.isatty()]

    # not among them: dont_write_bytecode and utf8_mode, of which the effects are compared
    FLAGS = ("debug", "inspect", "optimize", "no_site", "ignore_environment", "isolated", "dev_mode", "safe_path")
    listed = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True).stdout
    seen = subprocess.run(["env", "-0"], capture_output=True, text=True, errors="surrogateescape").stdout
    greps = ["grep", "-E", "^(Sig[BICP]|Umask|Cap)", "/proc/self/status"]
    child = subprocess.run(greps, capture_output=True, text=True).stdout
    limits = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    print(json.dumps({
        "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path, "executable": sys.executable,
        "flags": [getattr(sys.flags, name) for name in FLAGS], "bytecode": sys.dont_write_bytecode,
        "warnoptions": sys.warnoptions,
        "filters": [str(each) for each in warnings.filters if not (each[4] or each[3] is not None)],
        "main": sorted(name for name in vars(sys.modules["__main__"]) if name.startswith("__")),
        "name": __name__, "environ": dict(os.environ), "environb": {k.hex(): v.hex() for k, v in os.environb.items()},
        "cwd": os.getcwd(), "status": status(), "streams": [stream(sys.stdin), stream(sys.stdout), stream(sys.stderr)],
        "originals": [sys.stdin is sys.__stdin__, sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__],
        "descriptors": sorted(os.listdir("/proc/self/fd")), "handlers": {
            int(n): str(getattr(signal.getsignal(n), "__name__", signal.getsignal(n))) for n in signal.valid_signals()},
        "leads": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()],
        "as the test": [os.getsid(0) == int(os.environ["SID"]), os.getpgid(0) == int(os.environ["PGID"])],
        "limits": {name: resource.getrlimit(getattr(resource, name)) for name in limits}, "nice": os.nice(0),
        "host": [os.uname().nodename, open("/proc/sys/kernel/random/boot_id").read()],
        "locale": locale.setlocale(locale.LC_ALL), "encoding": locale.getencoding(), "tz": time.tzname,
        "threads": [thread.name for thread in threading.enumerate()], "hook": str(sys.excepthook),
        "env of a program": sorted(seen.split(chr(0))), "descriptors of a program": descriptors(listed),
        "status of a program": child, "wakeup": signal.set_wakeup_fd(-1), "read": sys.stdin and sys.stdin.read(),
    }))
""")
Options = Callable[[Path], dict[str, Any]]
CASES: dict[str, Options] = {
    "plain": lambda _: {},
    "input": lambda _: {"input": "höher\r\nweiter".encode()},
    "folder": lambda folder: {"cwd": folder},
    "relative folder": lambda folder: {"cwd": os.path.relpath(folder)},
    "umask": lambda _: {"umask": 0o027},
    "session": lambda _: {"start_new_session": True},
    "group": lambda _: {"process_group": 0},
    "no environment but": lambda _: {"env": {"PATH": os.environ["PATH"], "A": "ü", "B": "\udcff", "C": ""}},
    "zone": lambda _: {"more": {"TZ": "Asia/Kolkata"}},
    "strict warnings": lambda _: {"more": {"PYTHONWARNINGS": "error,ignore::ImportWarning"}},
    "no bytecode": lambda _: {"more": {"PYTHONDONTWRITEBYTECODE": "1"}},
    "unbuffered": lambda _: {"more": {"PYTHONUNBUFFERED": "1"}},
    "encoding": lambda _: {"more": {"PYTHONIOENCODING": "latin-1"}},
    "errors": lambda _: {"more": {"PYTHONIOENCODING": ":replace"}},
    "path": lambda folder: {"more": {"PYTHONPATH": f"{folder}/site:{folder}/other"}},
    "C.UTF-8": lambda _: {"more": {"LC_ALL": "C.UTF-8"}},
    "no locale": lambda _: {"more": {"LC_ALL": "", "LC_CTYPE": "", "LANG": ""}},
    "errors to stdout": lambda _: {"stderr": subprocess.STDOUT},
    "nothing to read": lambda _: {"stdin": subprocess.DEVNULL},
    "prefix": lambda _: {"prefix": UNPRIVILEGED},
    "another host": lambda folder: {"prefix": OtherHost(Project(folder)).prefix},
}


def both(argv: list[str], *, prefix: list[str] | None = None, **options: Any) -> dict[str, Any]:
    return {
        way: module.run([*(prefix or []), *argv], **{"capture_output": True, "timeout": 60, **options})
        for way, module in WAYS.items()
    }


def environment(given: Mapping[str, str] | None, more: Mapping[str, str]) -> dict[str, str]:
    ambient = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_", "AETHERFLOW_"))
    }
    ids = {"SID": str(os.getsid(0)), "PGID": str(os.getpgid(0))}
    return {**(ambient if given is None else given), **more, **ids}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks /proc")
@pytest.mark.parametrize("case", CASES)
def test_a_forked_process_sees_what_a_started_one_sees(case: str, tmp_path: Path) -> None:
    options = CASES[case](tmp_path)
    if case == "prefix" and os.geteuid() != 0:
        pytest.skip("drops capabilities, which only root has")
    (tmp_path / "probe.py").write_text(PROBE)
    env = environment(options.pop("env", None), options.pop("more", {}))
    if options.get("stderr"):
        options |= {"capture_output": False, "stdout": subprocess.PIPE}
    for argv in (["-c", PROBE, "one", ""], [str(tmp_path / "probe.py"), "--two"]):
        done = both([sys.executable, *argv], env=env, **options)
        forked, started = (json.loads(done[way].stdout) for way in ("forked", "started"))
        assert {key: value for key, value in forked.items() if started[key] != value} == {}, started
        assert (done["forked"].returncode, done["forked"].stderr) == (0, done["started"].stderr)
        assert started["cwd"] == str(tmp_path if "cwd" in options else Path.cwd())
        assert (started["host"][0] == "two") is (case == "another host")


def test_a_forked_process_writes_to_no_page_for_using_what_was_imported() -> None:
    code = "import sys, aetherflow.core.errors as kept; print(sys.getrefcount(kept), sys.getrefcount(object()))"
    done = warm.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kept, new = map(int, done.stdout.split())
    assert (kept == immortal.COUNT) is (sys.version_info >= (3, 12))
    assert new < 3


# How a process ends: code, what it tells last

ENDS = {
    "end": "print('a'); print('b', file=__import__('sys').stderr)",
    "nothing": "",
    "exit": "raise SystemExit",
    "exit code": "raise SystemExit(300)",
    "negative code": "raise SystemExit(-1)",
    "exit text": "raise SystemExit('höher')",
    "true": "raise SystemExit(True)",
    "error": "def f():\n    1 / 0\ntry:\n    f()\nexcept Exception as error:\n    raise ValueError('x') from error",
    "syntax": "a = = b",
    "own hook": "import sys; sys.excepthook = lambda *found: print(found[0]); 1 / 0",
    "interrupt": "raise KeyboardInterrupt",
    "signal": "import os; print('lost'); os.kill(os.getpid(), 15)",
    "alarm": "import signal; signal.alarm(1); signal.pause()",
    "at exit": "import atexit; atexit.register(print, 'last'); print('first'); raise SystemExit(3)",
    "error at exit": "import atexit; atexit.register(lambda: 1 / 0)",
    "thread": "import threading, time; threading.Thread(target=lambda: (time.sleep(.1), print('late'))).start()",
    "daemon": "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "error in a thread": "import threading; threading.Thread(target=lambda: 1 / 0, name='t').start()",
    "unclosed": "import os; open(os.devnull)",
    "unclosed in a cycle": "import os; a = [open(os.devnull)]; a.append(a); del a",
    "unclosed global": "import os; kept = open(os.devnull)",
    "default warnings": "import warnings; warnings.warn('x', DeprecationWarning); warnings.warn('y')",
    "never awaited": "async def f(): pass\nf()",
    "closed stdout": "import sys; sys.stdout.close()",
    "no stdout": "import os; os.close(1); print('x')",
    "_exit": "import os; print('lost'); os._exit(7)",
    "exec": "import os, sys; print('x', flush=True); os.execvp('sh', ['sh', '-c', 'echo $0 $$ >/dev/null; exit 9'])",
}


_OWN_FRAME = r'Traceback .*\n  File ".*warm_server\.py", line \d+, in leave\n    .*\n( +\^+\n)?'
_HINT = "ResourceWarning: Enable tracemalloc to get the object allocation traceback\n"
_OWN_LINE = r".*warm_server\.py:\d+: (ResourceWarning: .*\n)  .*\n"


def shown(done: subprocess.CompletedProcess[bytes]) -> tuple[int, bytes, str]:
    """Code, stdout and stderr; a file that is closed while the process ends has no line in a started one."""
    text = re.sub(_OWN_FRAME, "", done.stderr.decode())
    text = re.sub(_OWN_LINE, r"sys:1: \1", text).replace(_HINT, "")
    return done.returncode, done.stdout, re.sub(r" at 0x[0-9a-f]+", "", text)


@pytest.mark.parametrize("warnings", ["", "error"])
@pytest.mark.parametrize("end", ENDS)
def test_a_forked_process_ends_as_a_started_one(end: str, warnings: str) -> None:
    env = environment(None, {"PYTHONWARNINGS": warnings})
    # what `make coverage` does at an end would be seen: it opens files, and garbage is collected within it
    env = {name: value for name, value in env.items() if not name.startswith("COVERAGE_PROCESS_")}
    done = both([sys.executable, "-c", ENDS[end]], env=env)
    assert shown(done["forked"]) == shown(done["started"])


# Commands: the programs themselves, their files, programs that they start

FLOW = """
version: 1
flow: {id: f}
jobs:
  - id: a
    steps:
      - id: s
        type: external.process
        inputs: {command: [sh, -c, "env; umask; pwd; ls -l /proc/self/fd | wc -l; exit $CODE"], log: {stdout: capture}}
        outputs: {seen: "{{result.stdout}}"}
"""
MODULE = ["-m", "aetherflow.core"]
COMMANDS = {
    "version": [*MODULE, "--version"],
    "help": [*MODULE, "--help"],
    "console script": ["aetherflow", "--version"],
    "help of the console script": ["aetherflow-scheduler", "--help"],
    "unknown": [*MODULE, "rnu"],
    "usage": [*MODULE, "run"],
    "validate": [*MODULE, "validate", "flow.yaml"],
    "wrong": [*MODULE, "validate", "wrong.yaml", "--json"],
    "missing": [*MODULE, "explain", "none.yaml"],
    "explain": [*MODULE, "explain", "flow.yaml", "--json"],
    "schema": [*MODULE, "schema", "flow"],
    "plugins": [*MODULE, "plugins", "list"],
    "run": [*MODULE, "run", "flow.yaml", "--run-id", "r", "--json"],
    "scheduler": ["-m", "aetherflow.scheduler", "list", "scheduler.yaml"],
    "no schedule": ["-m", "aetherflow.scheduler", "tick", "none.yaml"],
    "wrap": [*MODULE, "wrap", "--id", "w", "--", "sh", "-c", "exit 7"],
}
_VARYING = [
    (r"\d{4}-\d\d-\d\dT[\d:.]+(\+00:00|Z)?", "TIME"),
    (r'("?duration_ms"?[:=] ?)\d+', r"\1MS"),
    (r"\bpid \d+ on ", "pid PID on "),
    (r"\b\d+\.\d+ s\b", "SECONDS"),
    (r"\b[0-9a-f]{12}\b", "RUN_ID"),
    (r"\b[0-9a-f]{32}\b", "TOKEN"),
    (r"/(started|forked)\b", "/FOLDER"),
    (r"\bwork-[0-9a-f]{8}\b", "WORK"),
]


def neutral(text: str) -> str:
    for pattern, replacement in _VARYING:
        text = re.sub(pattern, replacement, text)
    return text


def left(folder: Path) -> dict[str, tuple[int, str | None]]:
    """All files that a command left, with their mode; their text, where it is not full of times."""
    return {
        neutral(path.relative_to(folder).as_posix()): (
            path.stat().st_mode,
            neutral(path.read_text()) if path.suffix in (".lock", ".log", ".yaml") else None,
        )
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_a_forked_command_does_what_a_started_one_does(command: str, tmp_path: Path) -> None:
    seen = {}
    program, *arguments = COMMANDS[command]
    beside = Path(sys.executable).with_name(program)
    argv = [str(beside), *arguments] if beside.exists() else [sys.executable, program, *arguments]
    for way, module in WAYS.items():
        folder = tmp_path / way
        folder.mkdir()
        (folder / "flow.yaml").write_text(FLOW)
        (folder / "wrong.yaml").write_text(FLOW.replace("type:", "tpye:"))
        item = "version: 1\ntimezone: UTC\nitems: [{id: i, flow: flow.yaml, cron: '0 3 * * *'}]\n"
        (folder / "scheduler.yaml").write_text(item)
        env = environment(
            None, {"AETHERFLOW_WORK_ROOT": f"{folder}/work", "AETHERFLOW_STATE_ROOT": f"{folder}/state", "CODE": "3"}
        )
        done = module.run(argv, cwd=folder, env=env, capture_output=True, text=True, umask=0o027, timeout=60)
        seen[way] = (done.returncode, neutral(done.stdout), neutral(done.stderr), left(folder))
    assert seen["forked"] == seen["started"]


@pytest.mark.parametrize("way", WAYS)
def test_a_forked_command_sees_what_is_installed_where_it_looks(way: str, tmp_path: Path) -> None:
    install(tmp_path / "site", "acme", "[aetherflow.steps]\nacme.it = acme:It\n", {"acme.py": ""})
    argv = [sys.executable, *MODULE, "plugins", "list"]
    for path, listed in ((tmp_path / "site", True), (tmp_path, False)):
        env = environment(None, {"PYTHONPATH": str(path)})
        done = WAYS[way].run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
        assert ("acme.it" in done.stdout) is listed, done


def test_what_is_installed_later_is_looked_at_anew(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    os.utime(tmp_path / "before", (1, 1))
    seen = {str(tmp_path / "before"): 10**9, str(tmp_path / "absent"): -1}
    assert not warm_server.other_distributions(seen, list(seen))
    (tmp_path / "other").mkdir()
    assert not warm_server.other_distributions(seen, [*seen, str(tmp_path / "other")])
    for name in ("acme-1.0.dist-info", "acme.egg-info", "acme.EGG"):
        (tmp_path / "other" / name).mkdir()
        assert warm_server.other_distributions(seen, [*seen, str(tmp_path / "other")])
        (tmp_path / "other" / name).rmdir()
    (tmp_path / "before" / "acme-1.0.dist-info").mkdir()
    assert warm_server.other_distributions(seen, list(seen))


# What a test does with a process that runs

WAITS = "import signal, sys; signal.signal(15, lambda *_: sys.exit(5)); print('ready', flush=True); signal.pause()"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("number", "code"), [(15, 5), (9, -9), (2, -2), (1, -1), (3, -3)])
def test_a_running_process_is_waited_for_and_signalled(way: str, number: int, code: int) -> None:
    with WAYS[way].Popen(
        [sys.executable, "-c", WAITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        assert process.poll() is None
        assert os.getsid(process.pid) == process.pid
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        process.send_signal(number)
        assert process.wait(60) == process.poll() == process.returncode == code
        assert ("KeyboardInterrupt" in process.stderr.read()) == (number == 2)
        process.send_signal(9)  # nobody is hit


@pytest.mark.parametrize("way", WAYS)
def test_a_process_that_takes_too_long_is_killed(way: str) -> None:
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        WAYS[way].run(
            [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"],
            capture_output=True,
            timeout=2,
        )
    pid = int(caught.value.output)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_that_is_not_there(way: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        WAYS[way].run([sys.executable, "-c", ""], cwd=tmp_path / "none")


@pytest.mark.parametrize("way", WAYS)
def test_a_failure_is_raised_where_that_is_asked_for(way: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        WAYS[way].run(
            [sys.executable, "-c", "print('x'); raise SystemExit(3)"], check=True, stdout=subprocess.PIPE, text=True
        )
    assert (caught.value.returncode, caught.value.stdout) == (3, "x\n")


@pytest.mark.parametrize("way", WAYS)
def test_many_threads_may_start_processes(way: str) -> None:
    argv = [sys.executable, "-c", "import sys; sys.stdout.write(sys.stdin.read() * 1000)"]
    got: dict[int, bytes] = {}

    def one(number: int) -> None:
        got[number] = WAYS[way].run(argv, input=b"%d" % number * 500, capture_output=True, timeout=60).stdout

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {number: b"%d" % number * 500_000 for number in range(8)}


def test_signals_that_are_ignored_or_blocked_stay_so(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN), signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        done = both([sys.executable, "-c", "import os; os.system('grep ^Sig[BIC] /proc/self/status')"])
    finally:
        signal.signal(signal.SIGHUP, before[0])
        signal.pthread_sigmask(signal.SIG_SETMASK, before[1])
    assert done["forked"].stdout == done["started"].stdout != b""


# What cannot be forked, and the end of all


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONHASHSEED": "7"},
        {"PYTHONSAFEPATH": "1"},
        {"LD_PRELOAD": "x.so"},
        {"LC_ALL": "C"},
        {"LANG": "de_DE.ISO-8859-1"},
    ],
    ids=str,
)
def test_what_an_interpreter_reads_at_its_start_is_refused(env: dict[str, str]) -> None:
    with pytest.raises(warm.NotWarmError):
        warm.run([sys.executable, "-c", ""], env={"PATH": os.environ["PATH"], **env})


@pytest.mark.parametrize("name", ["yaml.py", "typer/__init__.py", "sitecustomize.py", "aetherflow/core.py"])
@pytest.mark.parametrize("where", ["PYTHONPATH", "cwd"])
def test_a_module_that_would_be_imported_instead_is_refused(name: str, where: str, tmp_path: Path) -> None:
    file = tmp_path / "there" / name
    file.parent.mkdir(parents=True)
    file.touch()
    given = {"cwd": tmp_path / "there"} if where == "cwd" else {"cwd": tmp_path, "env": {"PYTHONPATH": "there"}}
    with pytest.raises(warm.NotWarmError, match=str(Path(name).parts[0]).removesuffix(".py")):
        warm.run([sys.executable, "-m", "aetherflow.core", "--version"], **given)


@pytest.mark.parametrize(
    "argv",
    [
        ["true"],
        ["-I", "-c", ""],
        ["strace", "-o", "x"],
        ["-W", "error", "-c", ""],
        ["unshare", "--uts", "--mount", "--pid", "sh", "-c", ""],
        [],
    ],
    ids=str,
)
def test_another_program_is_refused(argv: list[str]) -> None:
    command = argv if argv[:1] == ["true"] else [sys.executable, *argv]
    command = [*argv, sys.executable, "-c", ""] if argv[:1] in (["strace"], ["unshare"]) else command
    with pytest.raises(warm.NotWarmError):
        warm.run(command)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_nothing_is_left_when_the_tests_are_killed(tmp_path: Path) -> None:
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(warm.__file__).parent)!r})
import warm
child = warm.Popen([sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"], stdout=-1)
child.stdout.readline()
print(child.pid, warm._server()._process.pid, flush=True)
signal.pause()
"""
    with warm.true_start("it stands for a whole process of tests").Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as tests:
        assert tests.stdout is not None
        pids = [int(pid) for pid in tests.stdout.readline().split()]
        tests.kill()
    until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids))


def test_a_process_may_end_just_when_nobody_waits_for_it_any_more() -> None:
    server = warm._server()
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    request = Request(argv, dict(os.environb), "/", 0o022, session=False, group=-1, tied=True, ignored=(), blocked=())
    with socket.socket(socket.AF_UNIX) as slow, Path(os.devnull).open("r+b") as nothing:
        pid, connection = server.start(request, [nothing.fileno()] * 3)
        slow.connect(str(server.path))
        socket.send_fds(slow, [b"\0"], [nothing.fileno()] * 3)
        until(lambda: fcntl.ioctl(slow, termios.TIOCOUTQ, bytes(4)) == bytes(4))  # the server waits for the rest of it
        os.kill(pid, signal.SIGKILL)
        until(lambda: ") Z " in Path(f"/proc/{pid}/stat").read_text())
        connection.close()
    assert warm.run([sys.executable, "-c", "print('well')"], stdout=subprocess.PIPE, text=True).stdout == "well\n"


def test_an_interpreter_that_cannot_begin_says_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "server.py").write_text("raise SystemExit('out of luck')")
    monkeypatch.setattr(warm, "SERVER", tmp_path / "server.py")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(warm, "_servers", {})
    with pytest.raises(RuntimeError, match="out of luck"):
        warm.run([sys.executable, "-c", ""])
    assert list((tmp_path / "temporary").iterdir()) == []


# Shells find a program of the same name, which has the warm interpreter run the console script

BEGIN = "aetherflow run wait.yaml --run-id r -q & until [ -e begun ]; do sleep .02; done"
SHELLS = {
    "version": "aetherflow --version",
    "code": "aetherflow rnu; echo $?",
    "pipe": "echo 'version: 1' | cat | aetherflow validate flow.yaml 2>&1 | head -1; echo ${PIPESTATUS[@]}",
    "variables and folder": "mkdir x && cd x && A=1 CODE=0 aetherflow run ../flow.yaml --run-id r -q; echo $?",
    "terminated": f"{BEGIN}; kill $!; wait $!; echo $?",
    "killed": f"{BEGIN}; kill -9 $!; wait $!; echo $?",
    "umask and group": "umask 077; aetherflow run flow.yaml --run-id r -q 2>/dev/null; echo $?; ls -l work",
    "own module": "mkdir s; echo 1/0 > s/yaml.py; PYTHONPATH=s aetherflow validate flow.yaml 2>&1 | tail -1",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_sees_no_difference(shell: str, tmp_path: Path) -> None:
    shims, here = warm.shims(), Path(sys.executable).parent
    seen = {}
    for way, first in (("started", here), ("forked", shims)):
        folder = tmp_path / way
        folder.mkdir()
        (folder / "flow.yaml").write_text(FLOW)
        (folder / "wait.yaml").write_text(FLOW.replace('"env; ', f'"touch {folder}/begun; sleep 60; '))
        env = environment(None, {"AETHERFLOW_WORK_ROOT": "work", "AETHERFLOW_STATE_ROOT": "state", "CODE": "3"})
        env["PATH"] = f"{first}:{here}:{env['PATH']}"
        done = subprocess.run(
            ["bash", "-c", SHELLS[shell]], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60
        )
        out = re.sub(r"root +root.*", "", done.stdout)
        err = re.sub(r"line \d+: +\d+ ", "", neutral(done.stderr)).replace(str(first), "BIN")
        seen[way] = (done.returncode, neutral(out), err)
    assert seen["forked"] == seen["started"]


STARTS = """
import os, subprocess, sys
python = ["-c", "import sys; print(sys.flags.isolated, sys.argv)", "a"]
ours = ["-m", "aetherflow.core", "plugins", "nope"]
for words in (ours, ["-P", *ours], python):
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    print(done.returncode, done.stdout, done.stderr)
print([name for name in os.environ if name.startswith("AETHERFLOW_TESTS_EXE")])
"""


def test_what_a_forked_command_starts_can_be_forked_too() -> None:
    """As the scheduler starts its runs; whatever is no command of ours is a true start."""
    seen = []
    for more in ({}, warm.forking()):
        done = warm.run(
            [sys.executable, "-c", STARTS], env=environment(None, more), capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, "")
        seen.append(done.stdout)
    assert seen[0] == seen[1]
    assert ("No such command" in seen[0], "0 ['-c', 'a']" in seen[0]) == (True, True)
    executable = [sys.executable, "-c", "import sys; print(sys.executable)"]
    done = warm.run(executable, env=environment(None, warm.forking()), capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == warm.forking()["AETHERFLOW_TESTS_EXECUTABLE"]


def test_what_is_started_on_another_host_is_forked_there(tmp_path: Path) -> None:
    project = Project(tmp_path)
    host = OtherHost(project)
    seen = "uname -n; cat /proc/sys/kernel/random/boot_id; tr '\\\\0' ' ' < /proc/$PPID/cmdline"
    (tmp_path / "flow.yaml").write_text(FLOW.replace("env;", f"({seen}) > {tmp_path}/seen;"))
    run = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'aetherflow.core', 'run', 'flow.yaml'])"
    env = project.env | host.env | warm.forking()
    warm.run([*host.prefix, sys.executable, "-c", run], cwd=tmp_path, env=env, capture_output=True, check=True)
    name, boot, program = (tmp_path / "seen").read_text().splitlines()
    assert (name, boot + "\n") == ("two", host.boot.read_text())
    assert str(warm.SERVER) in program


# True starts: a test says why it makes one

MOST = 60
"""So many places may start a command truly; each of them costs every run of the tests a fifth of a second or more."""


def true_starts() -> list[tuple[str, ast.expr]]:
    """Every `true_start` in the tests: its place, and its reason."""
    return [
        (f"{file}:{node.lineno}", node.args[0])
        for file in Path(__file__).parents[2].rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"true_start", "warm.true_start"}
    ]


def test_few_places_start_a_command_and_say_why() -> None:
    found = true_starts()
    assert 0 < len(found) <= MOST
    assert [place for place, reason in found if not isinstance(reason, ast.Constant)] == []


@pytest.mark.parametrize(
    "argv",
    [
        [sys.executable, "-m", "aetherflow.core", "--version"],
        ["nice", sys.executable, "-m", "aetherflow.scheduler", "--version"],
        [str(Path(sys.executable).with_name("aetherflow")), "--version"],
        [Path(sys.executable).with_name("aetherflow-scheduler")],
    ],
    ids=lambda argv: Path(argv[0]).name,
)
def test_a_start_without_a_reason_fails(argv: list[str]) -> None:
    with pytest.raises(AssertionError, match="or say why not"):
        subprocess.run(argv, check=False)
    with pytest.raises(AssertionError, match="or say why not"):
        subprocess.Popen(argv)
