"""A program that stands in for a console script, or for Python; the warm interpreter runs the script or the module.

It takes a tenth of the time of a true start. Signals are forwarded to the process that does the work, and its end is
the end of this one; if the script cannot be forked, this process becomes it.
"""

import _signal  # type: ignore[import-not-found]
import os
import sys

from warm_request import NotWarmError, Request, ask, inherited_signals, inherited_umask, receive

SIGNALS = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM, _signal.SIGUSR1, _signal.SIGUSR2)


STARTS = """\
#!/bin/sh
case "$1 $2 $3" in
"-m aetherflow."* | "-P -m aetherflow."*) exec {python} -IS -c {code} "$@" ;;
esac
exec {python} "$@"
"""
"""What stands in for Python: the guard of each run, too, is started by it."""


def write(file: str, path: str, script: str = "") -> None:
    """Write the program `file`; `path` is the socket of the server, `script` the console script, or none for Python."""
    here = os.path.dirname(__file__)  # noqa: PTH120 pathlib takes longer to import than all of this
    code = f"import sys; sys.path[:0] = [{here!r}]; import warm_shim; warm_shim.main({path!r}, {script!r})"
    with open(file, "w", encoding="utf-8") as program:  # noqa: PTH123 likewise
        if script:
            program.write(f"#!{sys.executable} -IS\n{code}\n")
        else:
            from shlex import quote  # takes long to import, too

            program.write(STARTS.format(python=quote(sys.executable), code=quote(code)))
    os.chmod(file, 0o755)  # noqa: PTH101 likewise


def main(path: str, script: str) -> None:
    """Run the script in the warm interpreter, with the arguments and the environment of this process.

    Without a script: our module that `-m` or `-P -m` names.
    """
    handed = inherited_signals()
    handed["ignored"] = [number for number in handed["ignored"] if number not in (_signal.SIGPIPE, _signal.SIGXFSZ)]
    program, arguments = (script, [script, *sys.argv[1:]]) if script else (sys.executable, sys.argv[1:])
    started = arguments if script else [program, *arguments]
    request = Request(
        [sys.executable, *arguments], dict(os.environb), os.getcwd(), inherited_umask(),  # noqa: PTH109 likewise
        session=False, group=-1, tied=True, apart=(), unprivileged=False, **handed,
    )  # fmt: skip
    _signal.pthread_sigmask(_signal.SIG_BLOCK, SIGNALS)  # until there is a process to forward them to
    try:
        pid, connection = ask(path, request, [0, 1, 2])
    except NotWarmError:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, handed["blocked"])
        os.execv(program, started)

    def pass_on(number: int, _frame: object) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    for number in SIGNALS:
        if number not in handed["ignored"]:
            _signal.signal(number, pass_on)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, handed["blocked"])
    code = os.waitstatus_to_exitcode(receive(connection))
    if code < 0:
        if -code != _signal.SIGKILL:
            _signal.signal(-code, _signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
