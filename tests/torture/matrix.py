"""Write the tables of docs/reference/reliability.md from the result files that `make torture` leaves in .torture/.

matrix.py            all suites
matrix.py A7 E1      only these rows; all others stay as they are on the page
"""

import dataclasses
import json
import platform
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / ".torture"
PAGE = ROOT / "docs/reference/reliability.md"
BEGIN, END = "<!-- begin: written by tests/torture/matrix.py -->", "<!-- end -->"
NOT_BUILT = "not yet built"
PROMISES = (
    "A step recorded SUCCESS never runs again; its typed outputs, skips and `when` decisions survive any crash.",
    "SUCCESS means that the artifacts are on disk with their recorded size and sha256, after a power cut too.",
    "An interrupted step is visible; it runs again (at least once) under a stable idempotency key.",
    "One executor per run; takeover within 1 s of kill -9 on the same host.",
    "No write with a stale fencing token is accepted; waiting is first come, first served.",
    "No process is left behind, but for one that has left its group and has cleared its environment too.",
    "A path, local or remote, holds the old or the new file, never a part; nothing hangs.",
    "POST and mail at most once unless keyed.",
    "Full disk or I/O error at any system call: the first error is shown, resume works.",
    "Nothing outside the roots is read, written or deleted.",
    "No secret reaches any sink.",
    "Schedules follow cron's rules; each due time fires once or is recorded as missed.",
    "What a run claims is taken for good only by a good run: a new run instead of a resume loses and doubles nothing.",
    "A server that misbehaves is given up within limits of time, memory and disk.",
    "What needs attention of a run or slot is sent once per cause, however it was started and whatever was killed.",
    "What was recorded is not changed, cut off or moved unseen; what the engine and people do is no finding.",
    "`status` shows in red what needs attention and nothing else, whatever clocks do; its exit code says so.",
    "A value leaves and enters a database as it is, or its row is refused; a page states each exception.",
)
SUITES = {
    "A1": "kill -9 at every failpoint",
    "A2": "kill -9 at system calls of the real command (strace)",
    "A3": "killed in the middle of a write: 0, 1, half, all but one of its bytes",
    "A4": "killed again during the resume",
    "A5": "power cut: a copy of an ext4 image, journal replayed, data=ordered and data=writeback",
    "A6": "power cut: the recorded operations without subsets of those that no fsync had made lasting",
    "A7": "signals and kill -9 to runner and guard, over trees of children",
    "A8": "A1 and A4 with state, locks and registry in PostgreSQL and MariaDB",
    "B": "locks under kill -9, SIGSTOP, stalled writers and jumping clocks (tests; T0: on PostgreSQL, MariaDB too)",
    "B4": "many processes start one run at the same time, and its owner is killed",
    "C1": "kill -9 at every failpoint of pick-ups and watermark extracts, then a new run instead of a resume",
    "C2": "nights at random: good, failed, killed, resumed, settled ones; everything once, and `status` after each",
    "C3": "nights of a schedule: hold, skip, release, ack at random; `next`, `status`, `audit`, ledger against a model",
    "C4": "nights with clocks that jump, two hosts, lost brokers, older states: red rows of `status` against a model",
    "D1": "each of ENOSPC, EIO, EDQUOT, EROFS, EMFILE at system calls (strace)",
    "D2": "full disks of 64 sizes (tmpfs), then room",
    "D3": "limits of memory, open files and file size",
    "D4": "cleanup after random flows, with folders of others in the way",
    "D5": "no space at each write of packing and unpacking, then room",
    "D6": "workbooks filled, written and read on full disks of 64 sizes (tmpfs), then room",
    "E1": "programs that print 0 B to 1 GB: byte-exact files, exact head and tail of captures, bounded memory",
    "E2": "grandchildren that ignore SIGTERM, at a time limit of 1 s and after kill -9 of the runner",
    "E3": "kill -9 at every failpoint while a program's folder is published: by swap, by renames, from another device",
    "E4": "random arguments and variables of programs, byte for byte",
    "K1": "a simulated year of the scheduler, killed again and again, against a model: 12 policies, 20 zones",
    "K2": "kill -9 at every failpoint of the scheduler; years of random kills, outages and set clocks (lives)",
    "K3": "three schedulers on a ledger in a file, PostgreSQL, MariaDB: the leader killed while catching up",
    "K4": "Debian's cron runs an exported crontab; the ledger accounts for every minute",
    "L1": "kill -9 of loads and scripts on four databases, at failpoints and at random times",
    "L2": "loads and scripts cut off from PostgreSQL and MariaDB, in the middle and at the commit",
    "L3": "kill -9 at every failpoint and around every request: rows from a database to a workbook and back (F7)",
    "L4": "PostgreSQL and MariaDB cut after n bytes or silent, while reading, loading, committing; then repeated",
    "L5": "kill -9 around every statement of loads and copies that make their table, on four databases",
    "N": "connections cut after n bytes, either way: reset, closed, stalled; then repeated",
    "N1": "kill -9 of runs, schedulers and senders: the end of a run is sent by SMTP and HTTP, each cause once",
    "P10": "ids and paths lead nowhere else (tests, each of many examples)",
    "P11": "hostile archives: nothing outside of the destination, limits hold",
    "P13": "slots against Debian cron's main loop, cronsim and the program itself: weeks with a change, months",
    "P12": "changes, syncs, crashes, damaged blobs; flows and syncs of one store at the same time",
    "P15": "captured output of 0 B to 10 MB is what the program wrote, both streams",
    "P1": "random edits of states, registry and logs, cut ends, nights that change places; and honest nights",
    "P16": "random edits of states, ledger and signed statements, cut tails, swapped nights; and honest days",
    "P2": "failures of 12 kinds beside at least five innocent differences: `runs diff` names the cause",
    "P5": "typed values through state and resume (values, not runs)",
    "R1": "kill -9 of SFTP and SMB flows at every failpoint and around every request to the server (F9, F10)",
    "R2": "SFTP and SMB cut after n bytes, either way: reset, closed, stalled; then repeated: whole files, each once",
    "S1": "canaries: secrets that enter by every way, and no trace of them (tests, each of many flows)",
    "S5": "hostile documents are refused (tests, each of many documents)",
    "S6": "code beside a flow runs in `run` only (tests)",
    "S9": "endless, slow, silent, lying, cut off, nonsense: SFTP, SMB, SMTP, HTTP, PostgreSQL, MySQL, git (tests)",
    "V": "values of every type out of databases and into them, each format, fast and plain: against other readers",
    "V1": "state or lock store removed, replaced, or without its log at each failpoint of a run: an error, not SUCCESS",
    "V2": "state in PostgreSQL and MariaDB: connection cut after n bytes, either way; server killed under runs",
    "W1": "runs on Celery workers that are killed and frozen at random, over RabbitMQ and Redis; runs side by side",
    "W2": "two hosts on one PostgreSQL or MariaDB, clocks 6 h apart: cut off, frozen, lost; runners stopped, killed",
    "W3": "50 commands over states in PostgreSQL and MariaDB; the server is killed in their middle and brought back",
    "X1": "rows inserted into random workbooks: every place as after LibreOffice's own insertion",
}


@dataclasses.dataclass
class Total:
    """The results of all parts of one suite."""

    test: str
    promises: set[int]
    cases: int = 0
    violations: int = 0
    seconds: float = 0
    seeds: set[int] = dataclasses.field(default_factory=set)
    tier: str = ""
    complete: bool = True


def totals(results: list[dict[str, Any]]) -> dict[str, Total]:
    """Results by suite; the first word of a part's name is its suite."""
    found: dict[str, Total] = {}
    for result in sorted(results, key=lambda result: str(result["suite"])):
        name = str(result["suite"]).split()[0]
        total = found.setdefault(name, Total(result["test"], set()))
        total.promises |= set(result["promises"])
        total.cases += result["cases"]
        total.violations += result["violations"]
        total.seconds += result["seconds"]
        total.seeds.add(result["seed"])
        total.tier = result["tier"]
        total.complete &= result["completed"]
    return found


def published(page: str) -> dict[str, Total]:
    """What the page says now."""
    found: dict[str, Total] = {}
    row = r"^\| ([A-Z]\d*) \| .* \| `([\w/.]+::\w+)` \| (T\d) \| ([\d,]+)( \(.*\))? \| (\d+) \| (\d+) \| ([\d, ]+) \|$"
    for name, test, tier, cases, stopped, violations, seconds, seeds in re.findall(row, page, re.MULTILINE):
        numbers = int(cases.replace(",", "")), int(violations), float(seconds)
        found[name] = Total(test, set(), *numbers, {int(seed) for seed in seeds.split(",")}, tier, not stopped)
    for number, names in re.findall(
        r"^\| (\d+) \| .* \| ([A-Z]\d*(?:, [A-Z]\d*)*) \| [\d,]+ \| \d+ \|$", page, re.MULTILINE
    ):
        for name in names.split(", "):
            found[name].promises.add(int(number))
    return found


def tables(results: list[dict[str, Any]]) -> str:
    """The two tables of these results."""
    return rows(totals(results))


def rows(found: dict[str, Total]) -> str:
    """The two tables: promise by suites, suites by numbers."""
    lines = ["| # | Promise | Tests | Cases | Violations |", "|---|---|---|---|---|"]
    for number, promise in enumerate(PROMISES, 1):
        own = {name: total for name, total in found.items() if number in total.promises}
        if own:
            cases = sum(total.cases for total in own.values())
            violations = sum(total.violations for total in own.values())
            lines.append(f"| {number} | {promise} | {', '.join(own)} | {cases:,} | {violations} |")
        else:
            lines.append(f"| {number} | {promise} | {NOT_BUILT} | | |")
    lines += [
        "",
        "| Suite | What is done | Test | Tier | Cases | Violations | Seconds | Seed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, total in found.items():
        seeds = ", ".join(map(str, sorted(total.seeds)))
        stopped = "" if total.complete else " (stopped early)"
        numbers = f"{total.cases:,}{stopped} | {total.violations} | {total.seconds:.0f} | {seeds}"
        lines.append(f"| {name} | {SUITES.get(name, '')} | `{total.test}` | {total.tier} | {numbers} |")
    lines += ["", f"Python {platform.python_version()}, Linux, 2 cores shared with other work."]
    return "\n".join(lines)


def read_results() -> list[dict[str, Any]]:
    """The full results, and those of the sample for suites that were not run in full."""
    full, sample = (
        [json.loads(path.read_text()) for path in sorted((RESULTS / tier).glob("*.json"))] for tier in ("T1", "T0")
    )
    done = {str(result["suite"]).split()[0] for result in full}
    return full + [result for result in sample if str(result["suite"]).split()[0] not in done]


def write(page: str, text: str) -> str:
    """The page with the tables between its two marks."""
    head, mark, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"{PAGE} lacks the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}"


def main(wanted: list[str]) -> int:
    """Rewrite the page: these suites, or all."""
    found = totals(read_results())
    if missing := [name for name in wanted if name not in found] or ([] if found else ["any suite"]):
        print(f"no results of {', '.join(missing)} in {RESULTS}; run `make torture` first", file=sys.stderr)
        return 1
    page = PAGE.read_text(encoding="utf-8")
    if wanted:
        found = published(page) | {name: found[name] for name in wanted}
    PAGE.write_text(write(page, rows(dict(sorted(found.items())))), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}: {sum(total.cases for total in found.values()):,} cases")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
