"""Many processes that fight over locks, and what they report. Run by test_torture_locks.py, one suite per call.

python tests/torture/torture_locks.py SUITE FOLDER SEED JSON-OPTIONS     prints one JSON map
"""

import collections
import contextlib
import itertools
import json
import os
import random
import signal
import sqlite3
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.base.errors import LockBusyError
from aetherflow.core.kernel.locks.clock import Clock
from aetherflow.core.kernel.locks.lease import Lease
from aetherflow.core.kernel.locks.records import Owner
from aetherflow.core.kernel.locks.store import LockStore

if TYPE_CHECKING:
    from server_stores import ServerPlace

HOUR, YEARS = 3_600_000, 10 * 365 * 24 * 3_600_000


class JumpyClock(Clock):
    """The wall clock jumps at every look; the monotonic clock is the real one."""

    def __init__(self, rnd: random.Random) -> None:
        super().__init__()
        self._rnd = rnd

    def wall_ms(self) -> int:
        return super().wall_ms() + self._rnd.choice([0, HOUR, -HOUR, YEARS, -YEARS])


class HandClock(Clock):
    """A monotonic clock that moves only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000

    def mono_ms(self) -> int:
        return self.now


def fork(work: Callable[[], None]) -> int:
    """Run `work` in a child process; it never returns here."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001 nothing of the parent may run in the child
        traceback.print_exc()
    finally:
        os._exit(code)


class Log:
    """Events of one process, each one write, so that none is lost by a kill."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def add(self, **event: Any) -> None:
        os.write(self._descriptor, (json.dumps(event) + "\n").encode())


def read_logs(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.log")):
        for line in path.read_text().splitlines():
            yield json.loads(line)


# Where the locks are: in a file of the folder, or in the server that the options name


class InFile:
    """Locks in a file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "locks.sqlite"

    def clock(self, rnd: random.Random) -> Clock | None:
        """The clock of a worker."""
        return JumpyClock(rnd)

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """While the block runs, another connection has the write lock of the store."""
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            yield

    def facts(self) -> dict[str, Any]:
        """Whether the store is whole, and how many locks it holds."""
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            intact = db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            return {"intact": intact, "locks left": db.execute("SELECT count(*) FROM locks").fetchone()[0]}


class InServer:
    """Locks in a server, whose clock counts for all."""

    def __init__(self, place: "ServerPlace", folder: Path) -> None:
        self._place = place
        self.path = place.use(folder)

    def clock(self, rnd: random.Random) -> Clock | None:
        del rnd
        return None

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        with self._place.stalled("locks", "locks"):
            yield

    def facts(self) -> dict[str, Any]:
        return {"intact": True, "locks left": len(self._place.within("locks", "SELECT * FROM locks"))}


def locks_of(folder: Path, options: dict[str, Any]) -> InFile | InServer:
    """Where the locks of a suite are."""
    if (given := options.get("server")) is None:
        return InFile(folder)
    from server_stores import place_of  # which other suites have no path to
    from services import Database

    return InServer(place_of(Database(**given)), folder)


# B1, history of locks under faults


class Guard:
    """The protected resource: refuses a token lower than the highest it has seen."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
        self._db.execute("PRAGMA synchronous=OFF")  # it has to survive kills, not power cuts
        self._db.execute("CREATE TABLE IF NOT EXISTS guard(key TEXT PRIMARY KEY, token INTEGER)")
        self._db.execute("CREATE TABLE IF NOT EXISTS writes(seq INTEGER PRIMARY KEY, key TEXT, token INTEGER, pid INT)")

    def write(self, key: str, token: int) -> bool:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT OR IGNORE INTO guard VALUES (?, 0)", (key,))
        done = self._db.execute("UPDATE guard SET token=? WHERE key=? AND token<=?", (token, key, token)).rowcount
        if done:
            self._db.execute("INSERT INTO writes(key, token, pid) VALUES (?, ?, ?)", (key, token, os.getpid()))
        self._db.execute("COMMIT")
        return bool(done)

    def close(self) -> None:
        self._db.close()

    def accepted(self) -> list[tuple[str, int, int]]:
        return self._db.execute("SELECT key, token, pid FROM writes ORDER BY seq").fetchall()


def worker(folder: Path, seed: int, end: float, options: dict[str, Any]) -> None:
    rnd = random.Random(seed)
    log = Log(folder / f"{os.getpid()}.log")
    guard = Guard(folder / "guard.sqlite")
    ttl, longest = options["ttl"], options["longest"]
    place = locks_of(folder, options)
    with LockStore(place.path, clock=place.clock(rnd)) as store:
        for number in itertools.count():
            if time.monotonic() >= end:
                return
            key = f"k{rnd.randrange(options['keys'])}"
            owner = Owner("b1", str(os.getpid()), number)
            try:
                lease = store.acquire(key, owner, ttl_seconds=ttl, wait_seconds=rnd.choice([0, 0.5, 3]))
            except LockBusyError:
                time.sleep(rnd.uniform(0.01, 0.1))
                continue
            except Exception as error:  # noqa: BLE001 counted
                log.add(what="error", error=repr(error))
                continue
            granted = lease.hold.expires_mono - lease.hold.ttl_ms
            log.add(what="granted", key=key, token=lease.token, pid=os.getpid(), at=granted)
            until = time.monotonic() + 0.001 * (longest * 1000) ** rnd.random()
            while True:
                log.add(what="accepted" if guard.write(key, lease.token) else "refused", key=key, token=lease.token)
                if (left := until - time.monotonic()) <= 0:
                    break
                time.sleep(min(left, 0.2))
            now = time.monotonic_ns() // 1_000_000
            log.add(what="end", key=key, token=lease.token, at=now, expires=lease.hold.expires_mono, lost=lease.lost)
            lease.release()


def nemesis(folder: Path, rnd: random.Random, end: float, start: Callable[[], int], options: dict[str, Any]) -> None:
    """Kill holders, stop holders, stall the writers, until the end."""
    log = Log(folder / "nemesis.log")
    place = locks_of(folder, options)
    stopped: list[tuple[float, int]] = []
    killed: set[int] = set()  # whom a busy server may take for alive for a while: it has not seen their sessions end
    while (now := time.monotonic()) < end:
        for item in [item for item in stopped if item[0] <= now]:
            os.kill(item[1], signal.SIGCONT)
            stopped.remove(item)
        # closed again before a worker is forked: SQLite allows no connection to be carried across a fork
        with LockStore(place.path) as store:
            holders = [h for h in store.holders() if h.alive and h.pid not in killed | {pid for _, pid in stopped}]
            waited = {waiter.key for waiter in store.waiters() if waiter.alive}
        action = rnd.choice(options["faults"])
        if not holders and action != "stall":
            time.sleep(0.02)  # until there is somebody
            continue
        if action == "stall":
            with place.stalled():
                time.sleep(0.3 if options["ttl"] <= 1 else 0.5)
        elif action == "kill":
            victim = rnd.choice(holders)
            at = time.monotonic_ns() // 1_000_000
            os.kill(victim.pid, signal.SIGKILL)
            os.waitpid(victim.pid, 0)
            killed.add(victim.pid)
            log.add(what="kill", pid=victim.pid, at=at, key=victim.key, waited=victim.key in waited)
            start()
        elif action == "stop":
            victim = rnd.choice(holders)
            os.kill(victim.pid, signal.SIGSTOP)
            stopped.append((now + 2.5 * options["ttl"], victim.pid))
            log.add(what="stop", pid=victim.pid)
        time.sleep(options["pause"])
    for _, pid in stopped:
        os.kill(pid, signal.SIGCONT)


def b1(folder: Path, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    rnd = random.Random(seed)
    pids: list[int] = []

    def start() -> int:
        own = rnd.randrange(1 << 30)
        pids.append(fork(lambda: worker(folder, own, end, options)))
        return pids[-1]

    place = locks_of(folder, options)
    LockStore(place.path).close()
    Guard(folder / "guard.sqlite").close()
    end = time.monotonic() + options["seconds"]
    for _ in range(options["workers"]):
        start()
    failed = 0
    try:
        nemesis(folder, rnd, end, start, options)
    finally:
        limit = time.monotonic() + options["longest"] + 30
        for pid in pids:
            status = None
            while time.monotonic() < limit and status is None:
                with contextlib.suppress(ChildProcessError):
                    found, code = os.waitpid(pid, os.WNOHANG)
                    if found == 0:
                        time.sleep(0.01)
                        continue
                    failed += code != 0
                status = 0
            if status is None:
                os.kill(pid, signal.SIGKILL)
                failed += 1
    return {"failed workers": failed, **judge(folder), **place.facts()}


def judge(folder: Path) -> dict[str, Any]:
    """What the logs say: grants by key and token, and everything that must not be."""
    grants: dict[str, dict[int, dict[str, Any]]] = collections.defaultdict(dict)
    ends: dict[tuple[str, int], dict[str, Any]] = {}
    kills: list[dict[str, Any]] = []
    counts: collections.Counter[str] = collections.Counter()
    duplicates = 0
    for event in read_logs(folder):
        counts[event["what"]] += 1
        if event["what"] == "granted":
            duplicates += event["token"] in grants[event["key"]]
            grants[event["key"]][event["token"]] = event
        elif event["what"] == "end":
            ends[event["key"], event["token"]] = event
        elif event["what"] == "kill":
            kills.append(event)
    killed = {event["pid"]: event["at"] for event in kills}
    stopped = {event["pid"] for event in read_logs(folder) if event["what"] == "stop"}
    disorder = steals = overlaps = 0
    for key, tokens in grants.items():
        for (low, first), (_, second) in itertools.pairwise(sorted(tokens.items())):
            disorder += second["at"] < first["at"]
            end = ends.get((key, low))
            if end is None:  # its holder was killed
                steals += second["at"] < killed.get(first["pid"], 1 << 62) and first["pid"] not in stopped
            elif second["at"] < end["at"]:
                overlaps += 1
                steals += second["at"] < end["expires"]  # neither released, nor expired, nor dead
    takeovers = []
    for kill in kills:
        later = [grant["at"] for grant in grants[kill["key"]].values() if grant["at"] >= kill["at"]]
        if kill["waited"] and later:
            takeovers.append(min(later) - kill["at"])
    stale = 0
    highest: dict[str, int] = {}
    writers: dict[tuple[str, int], int] = {}
    for key, token, pid in Guard(folder / "guard.sqlite").accepted():
        stale += token < highest.get(key, 0) or writers.setdefault((key, token), pid) != pid
        highest[key] = max(token, highest.get(key, 0))
    return {
        **{name: counts[name] for name in ("granted", "accepted", "refused", "kill", "stop")},
        "errors": [event["error"] for event in read_logs(folder) if event["what"] == "error"][:3],
        "lost": sum(end["lost"] for end in ends.values()),
        "duplicate tokens": duplicates,
        "tokens out of order": disorder,
        "steals from live holders": steals,
        "overlapping holds": overlaps,
        "stale writes accepted": stale,
        "takeovers": len(takeovers),
        "longest takeover ms": max(takeovers, default=0),
    }


# B2, fairness


def b2(folder: Path, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    path, count, hold = locks_of(folder, options).path, options["waiters"], options["hold"]
    log = folder / "order.log"

    def once(number: int) -> None:
        with LockStore(path) as store:
            lease = store.acquire("k", Owner("b2", str(number)), wait_seconds=120)
            Log(log).add(number=number, at=time.monotonic())
            time.sleep(hold)
            lease.release()

    # all are forked before a store is opened here: SQLite allows no connection to be carried across a fork
    gates = [os.pipe() for _ in range(count)]

    def at_the_gate(number: int) -> None:
        os.read(gates[number][0], 1)
        once(number)

    pids = [fork(lambda number=number: at_the_gate(number)) for number in range(count)]  # type: ignore[misc]
    with LockStore(path) as store:
        first = store.acquire("k", Owner("b2", "first"))
        for number in range(count):  # one after the other, so that the order of arrival is known
            os.write(gates[number][1], b".")
            while len(store.waiters()) <= number:
                time.sleep(0.002)
        released = time.monotonic()
        first.release()
        codes = [os.waitpid(pid, 0)[1] for pid in pids]
    events = [json.loads(line) for line in log.read_text().splitlines()]
    longest = max(event["at"] for event in events) - released

    counts = folder / "counts.log"
    end = time.monotonic() + options["seconds"]

    def often(number: int) -> None:
        rnd = random.Random(seed + number)
        done = 0
        with LockStore(path) as own:
            while time.monotonic() < end:
                own.acquire("j", Owner("b2", str(number)), wait_seconds=120).release()
                done += 1
                time.sleep(rnd.uniform(0, 0.01))
        Log(counts).add(done=done)

    pids = [fork(lambda number=number: often(number)) for number in range(options["loopers"])]  # type: ignore[misc]
    codes += [os.waitpid(pid, 0)[1] for pid in pids]
    done = [json.loads(line)["done"] for line in counts.read_text().splitlines()]
    return {
        "failed workers": sum(code != 0 for code in codes),
        "in order": [event["number"] for event in events] == list(range(count)),
        "longest wait / sum of holds": round(longest / (hold * count), 2),
        "acquisitions": sum(done),
        "jain": round(sum(done) ** 2 / (len(done) * sum(n * n for n in done)), 3),
    }


# B3, linearizability

Operation = tuple[int, int, str, Any, Any]
"""Called at, returned at, what, argument, result."""
State = tuple[int, bool, int]
"""Token in force (0: none), whether it has expired, last token."""


def step(state: State, what: str, argument: Any, result: Any) -> State | None:
    """The sequential lock: the state afterwards, or None if the result is impossible."""
    token, expired, last = state
    if what == "acquire":
        if result == "busy":
            return state if token and not expired else None
        return (last + 1, False, last + 1) if (not token or expired) and result == last + 1 else None
    if what == "release":
        if token == argument:
            return (0, False, last) if result else None
        return None if result else state
    if what == "break":
        return (0, False, last) if result == token else None
    return (token, bool(token), last)  # the time to live passes


def linearizable(operations: list[Operation], state: State = (0, False, 0)) -> bool:
    """Exhaustive search for an order that respects real time and the sequential lock."""
    seen = set()

    def search(left: frozenset[int], state: State) -> bool:
        if not left:
            return True
        if (left, state) in seen:
            return False
        seen.add((left, state))
        horizon = min(operations[index][1] for index in left)
        for index in left:
            called, _, what, argument, result = operations[index]
            then = step(state, what, argument, result) if called <= horizon else None
            if then is not None and search(left - {index}, then):
                return True
        return False

    return search(frozenset(range(len(operations))), state)


def stop_renewing(store: LockStore) -> None:
    """As if its process did not run: what it holds from now on is not renewed."""
    thread = threading.Thread(target=str)
    thread.start()
    thread.join()
    store._renewal._thread = thread


class Clients:
    """Three stores on one file, each with a thread that performs its part of a history."""

    def __init__(self, folder: Path) -> None:
        self.clock = HandClock()
        self.stores = [LockStore(folder / "locks.sqlite", clock=self.clock) for _ in range(3)]
        self.plans: list[list[str]] = [[] for _ in self.stores]
        self.key = ""
        self.history: list[Operation] = []
        self.errors: list[str] = []
        self._owners = itertools.count()
        self._ticking = threading.Lock()
        self._barrier = threading.Barrier(len(self.stores) + 1)
        for store in self.stores:
            stop_renewing(store)
        self._threads = [
            threading.Thread(target=self._serve, args=each) for each in zip(self.stores, self.plans, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def play(self, key: str, rnd: random.Random) -> list[Operation]:
        for plan in self.plans:
            plan.clear()
        for _ in range(rnd.randint(3, 8)):
            rnd.choice(self.plans).append(rnd.choice(["acquire"] * 5 + ["release"] * 4 + ["tick", "break"]))
        self.history.clear()
        self.key = key
        self._barrier.wait()
        self._barrier.wait()
        return sorted(self.history, key=lambda operation: operation[:2])

    def close(self) -> None:
        self.key = ""
        self._barrier.wait()
        for thread in self._threads:
            thread.join()
        for store in self.stores:
            store.close()

    def _serve(self, store: LockStore, plan: list[str]) -> None:
        while True:
            self._barrier.wait()
            if not self.key:
                return
            held: list[Lease] = []
            for what in plan:
                if what == "release" and not held:
                    continue
                called = time.perf_counter_ns()
                try:
                    argument, result = self._perform(store, what, held)
                except Exception as error:  # noqa: BLE001 counted
                    self.errors.append(repr(error))
                    continue
                self.history.append((called, time.perf_counter_ns(), what, argument, result))
            self._barrier.wait()
            for lease in held:
                lease.release()

    def _perform(self, store: LockStore, what: str, held: list[Lease]) -> tuple[Any, Any]:
        if what == "acquire":
            try:
                held.append(store.acquire(self.key, Owner("b3", str(next(self._owners))), ttl_seconds=1000))
            except LockBusyError:
                return None, "busy"
            return None, held[-1].token
        if what == "release":
            lease = held.pop(0)
            return lease.token, lease.release()
        if what == "break":
            broken = store.break_lock(self.key, reason="test", actor="test")
            return None, broken.token if broken else 0
        with self._ticking:
            self.clock.now += 2_000_000
        return None, None


def b3(folder: Path, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    rnd = random.Random(seed)
    clients = Clients(folder)
    illegal = []
    operations = concurrent = 0
    for number in range(options["histories"]):
        history = clients.play(f"h{number}", rnd)
        operations += len(history)
        concurrent += any(first[1] > second[0] for first, second in itertools.pairwise(history))
        if not linearizable(history):
            illegal.append(history)
    clients.close()
    return {
        "histories": options["histories"],
        "operations": operations,
        "concurrent histories": concurrent,
        "errors": clients.errors[:3],
        "illegal": illegal[:3],
    }


# B5, a holder and a contender as processes, each with the clock that its environment gives it


def holder(folder: Path, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    del seed
    with LockStore(folder / "locks.sqlite") as store:
        lease = store.acquire("k", Owner("b5", "holder"), ttl_seconds=options["ttl"])
        print("ready", flush=True)
        sys.stdin.read()
        return {"lost": lease.lost}


def contender(folder: Path, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    del seed
    with LockStore(folder / "locks.sqlite") as store:
        started = time.monotonic()
        try:
            store.acquire("k", Owner("b5", "contender"), wait_seconds=options["wait"]).release()
        except LockBusyError:
            return {"got": False, "wall": time.time()}
        return {"got": True, "seconds": time.monotonic() - started, "wall": time.time()}


if __name__ == "__main__":
    suite = {"b1": b1, "b2": b2, "b3": b3, "holder": holder, "contender": contender}[sys.argv[1]]
    print(json.dumps(suite(Path(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4]))))
