"""W2: two hosts on one server, one of which is cut off, frozen or lost, and its runners stopped and killed.

A trial is one run id that is started on both. The sessions of each host have its name, and a trigger notes who writes.
"""

import dataclasses
import random
import signal
import time
from collections.abc import Callable, Iterator
from itertools import groupby, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cutting import CuttingProxy
from server_project import OtherHost, keep_states_in
from server_stores import SERVERS, ServerPlace, new_place, place_of
from services import faketime, need
from torture_hosts import LEASE, PORT, Host
from torture_tier import SEED, Suite, full, sized, suite

if TYPE_CHECKING:
    from core_project import Project

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("waiting")]  # one worker waits, while the others work

ROUNDS, RUNS = sized(1, 10), sized(6, 10)
CLOCKS = {"one": "-3h", "two": "+3h"}
FLOW = """\
version: 1
flow: {id: f, params: {n: {type: string}}}
jobs:
  - id: j
    lock: {key: "lock-{{params.n}}", wait_seconds: 600}
    steps:
      - id: s0
        type: external.process
        inputs: {shell: true, command: "echo $HOST s0 $AETHERFLOW_RUN_ID $$ >> $EFFECTS"}
      - id: s1
        type: external.process
        inputs:
          shell: true
          command: >-
            while echo $HOST s1 $AETHERFLOW_RUN_ID $$ >> $EFFECTS; do
            test -e $EFFECTS.go/$AETHERFLOW_RUN_ID && exit; sleep 0.1; done
      - id: s2
        type: external.process
        inputs: {shell: true, command: "echo $HOST s2 $AETHERFLOW_RUN_ID $$ >> $EFFECTS"}
"""
WRITES = "CREATE TABLE writes (id SERIAL, host TEXT, what TEXT, run_id TEXT, generation BIGINT)"
NOTE = """
INSERT INTO {writes} (host, what, run_id, generation) SELECT {user}, '{table}', run_id, generation
FROM {state}.runs WHERE flow_id=NEW.flow_id AND run_id=NEW.run_id"""
TRIGGER = "CREATE TRIGGER watch_{table}_{event} AFTER {event} ON {state}.{table} FOR EACH ROW "
WATCH = {
    "postgres": (
        f"CREATE FUNCTION {{table}}_{{event}}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {NOTE}; RETURN NULL; END$$",
        f"{TRIGGER} EXECUTE FUNCTION {{table}}_{{event}}()",
    ),
    "mysql": (f"{TRIGGER} {NOTE}",),
}
WRITER = {
    "postgres": ("SET torture.host = '{}'", "current_setting('torture.host')"),
    "mysql": ("SET @host = '{}'", "@host"),
}
"""What gives a session the name of its host, and what says it. A trigger of another account would be refused."""
ADMIN: dict[str, dict[str, Any]] = {
    "postgres": {"name": "postgres"},
    "mysql": {"name": "mysql", "user": "root", "password": ""},
}
"""Who may make accounts, and in which database."""
DROP = {"postgres": "DROP DATABASE {} WITH (FORCE)", "mysql": "DROP DATABASE {}"}
WATCHED = ("runs", "job_runs", "step_runs", "journal", "claims", "outbox")
FAULTS = ("kill", "stop", "none")
HOST_FAULTS = ("cut", "freeze", "lose", "none")


@dataclasses.dataclass
class Hosts:
    """Both hosts, their server, and what the runs have done."""

    project: "Project"
    place: ServerPlace
    made: dict[str, OtherHost] = dataclasses.field(default_factory=dict)
    on: dict[str, Host] = dataclasses.field(default_factory=dict)
    ways: dict[str, CuttingProxy] = dataclasses.field(default_factory=dict)

    def bring_up(self, name: str) -> None:
        """Begin a host, or begin it again after it was lost."""
        made = self.made[name] = self.made.get(name) or OtherHost(self.project, name, apart=True)
        clock = {"FAKETIME": CLOCKS[name], "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1", **faketime()}
        env = made.environment({"HOST": name, **clock})
        self.on[name] = host = Host(made, env, self.project.folder / f"{name}.log")
        self.ways[name] = CuttingProxy(self.place.server.port, "up", 1 << 40, times=0, listener=host.listener)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """What the state says."""
        return self.place.within("state", sql)

    def watch(self) -> None:
        """Note from now on who writes into the state."""
        server, state = self.place.server, self.place.schema("state")
        writes = "public.writes" if server.driver == "postgres" else f"{server.name}.writes"
        self.place.ask(WRITES)
        for table, event in product(WATCHED, ("INSERT", "UPDATE")):
            names = {"table": table, "event": event, "state": state, "writes": writes, "user": WRITER[server.driver][1]}
            for statement in WATCH[server.driver]:
                self.query(statement.format(**names))

    def begin(self, host: str, run: str, key: str) -> None:
        argv = ["run", "flow.yaml", "--run-id", run, "--param", f"n={key}"]
        self.on[host].tell("run", run, argv)

    def lines(self, *runs: str) -> list[list[str]]:
        """Host, step, run and process of each line that steps of these runs have written, in order."""
        return [line for text in self.project.lines() if (line := text.split())[2] in runs]

    def release(self, run: str) -> None:
        """Let the second step of a run end."""
        folder = Path(f"{self.project.effects}.go")
        folder.mkdir(exist_ok=True)
        (folder / run).touch()

    def until(self, found: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 600  # with a load of 50 a run takes minutes to begin
        while not found():
            assert time.monotonic() < deadline, f"{what}\n{self.logs()}"
            time.sleep(0.1)

    def logs(self) -> str:
        """The ends of all logs."""
        texts = [(path, path.read_text()[-1500:]) for path in sorted(self.project.folder.glob("*.log"))]
        return "\n".join(f"-- {path.name}\n{text}" for path, text in texts if text)


@pytest.fixture(params=SERVERS)
def hosts(project: "Project", request: pytest.FixtureRequest) -> Iterator[Hosts]:
    need("ip", "unshare")
    place = new_place(request, "hosts")
    server = place.server
    admin = place_of(dataclasses.replace(server, **ADMIN[server.driver]))
    keep_states_in(project, dataclasses.replace(server, host="127.0.0.1", port=PORT))
    named = WRITER[server.driver][0].format("{{env.HOST}}")
    written = project.folder / "aetherflow.yaml"
    written.write_text(
        written.read_text().replace("{connect_timeout: 5}", f'{{connect_timeout: 5, init_sql: ["{named}"]}}')
    )
    project.write(FLOW)
    found = Hosts(project, place)
    try:
        for name in CLOCKS:
            found.bring_up(name)
        found.release("first")
        found.begin("one", "first", "first")
        found.until(lambda: found.on["one"].ended().get("first") == 0, "the first run, which makes the tables")
        found.watch()
        yield found
    finally:
        for host in found.on.values():
            host.lose()
        for way in found.ways.values():
            way.close()
        admin.ask(DROP[server.driver].format(server.name))


@dataclasses.dataclass
class Round:
    """Some runs that are started on both hosts, of which the `bad` one is disturbed."""

    hosts: Hosts
    faults: dict[str, str]
    """Each run with what happens to its process on the bad host."""
    bad: str
    good: str
    fault: str
    """What happens to the whole host."""
    chance: random.Random
    hurt: set[str] = dataclasses.field(default_factory=set)
    """The runs whose owner was disturbed."""

    @property
    def followed(self) -> list[str]:
        """The runs for whose lock another run waits on the good host."""
        return list(self.faults)[::5]

    def start(self) -> None:
        """Start all; a quarter of them on both hosts at once."""
        late = set[str]()
        for run in self.faults:
            both = [self.bad, self.good]
            if self.chance.random() < 0.25:
                self.chance.shuffle(both)
            else:
                late.add(run)
            for host in both[:1] if run in late else both:
                self.hosts.begin(host, run, run)
        self.hosts.until(lambda: all(map(self.hosts.lines, self.faults)), "not all have begun")
        for run in late:
            self.hosts.begin(self.good, run, run)
        for run in self.followed:
            self.hosts.release(f"{run}-next")
            self.hosts.begin(self.good, f"{run}-next", run)

    def disturb(self) -> None:
        """Do to the runners, and then to their host, what is to be done."""
        host, owners = self.hosts.on[self.bad], f"SELECT run_id FROM owners WHERE host='{self.bad}'"
        owned = {str(run) for (run,) in self.hosts.query(owners)} & set(self.faults)
        self.hurt = {run for run in owned if (self.fault, self.faults[run]) != ("none", "none")}
        for run, fault in self.faults.items():
            if fault != "none":
                host.tell("kill", run, signal.SIGKILL if fault == "kill" else signal.SIGSTOP)
        if self.fault == "cut":
            host.tell("link", "down")
        elif self.fault == "freeze":
            host.tell("kill_all", signal.SIGSTOP)
        elif self.fault == "lose":
            host.lose()
            self.hosts.ways[self.bad].close()

    def await_others(self) -> None:
        """Wait until the good host has taken over; sometimes not so long."""
        if full() and self.chance.random() < 0.25:
            time.sleep(self.chance.uniform(0, LEASE["LEASE_SECONDS"] + 1))
        else:
            taken = f"{self.hurt} are not taken over"
            self.hosts.until(lambda: all(self.hosts.lines(run)[-1][0] == self.good for run in self.hurt), taken)

    def heal(self) -> None:
        """Bring the host back, with whoever believes to own a run there."""
        if self.fault == "lose":
            self.hosts.bring_up(self.bad)
        else:
            self.hosts.on[self.bad].tell("link", "up")
            self.hosts.on[self.bad].tell("kill_all", signal.SIGCONT)
        time.sleep(self.chance.uniform(0, 1))

    def end(self) -> None:
        """Let all runs end."""
        for run in self.faults:
            self.hosts.release(run)
        waited = {*self.faults, *(f"{run}-next" for run in self.followed)}
        self.hosts.until(lambda: waited <= self.hosts.on[self.good].ended().keys(), "not all have ended")
        self.hosts.until(
            lambda: not any(host.processes() for host in self.hosts.on.values()), "processes are left on a host"
        )

    def judge(self, counted: Suite) -> None:
        """Count each run as a case."""
        codes = self.hosts.on[self.good].ended()
        for run, fault in self.faults.items():
            with counted.case(f"{run}: {fault} on {self.bad}, {self.fault}"):
                assert codes[run] == 0, self.hosts.logs()
                together = (run, f"{run}-next") if run in self.followed else (run,)
                for each in together:
                    assert codes[each] == 0, self.hosts.logs()
                    _check_writes(self.hosts, each)
                lines = self.hosts.lines(*together)
                if self.fault == "freeze":  # with the guard: what woke up in the middle of a step goes on for a moment
                    lines = [line for line in lines if line[0] != self.bad or line[1] == "s2"]
                processes = [of for of, _ in groupby(lines, lambda line: (line[0], line[3]))]
                assert len(processes) == len(set(processes)), f"children at the same time: {lines}"
        with counted.case(f"locks after {list(self.faults)}"):
            self.hosts.place.check_free()


def _check_writes(hosts: Hosts, run: str) -> None:
    """Of each generation one host writes, and none of an earlier one when a later one has begun."""
    owners = dict[int, str]()
    for generation, host, what in hosts.place.ask(
        f"SELECT generation, host, what FROM writes WHERE run_id='{run}' ORDER BY id"
    ):
        assert generation >= max(owners, default=0)
        owner = owners.setdefault(generation, host)
        assert host == owner, f"{host} writes into {what} of {run} when generation {generation} is {owner}'s"
    ended = f"SELECT step_id FROM step_runs WHERE run_id='{run}' AND status='SUCCESS' ORDER BY 1"
    assert hosts.query(ended) == [("s0",), ("s1",), ("s2",)]
    assert hosts.query(f"SELECT status FROM runs WHERE run_id='{run}'") == [("SUCCESS",)]


@pytest.mark.parametrize("bad", CLOCKS if full() else ["one"])
def test_two_hosts_never_execute_one_run_both(hosts: Hosts, bad: str) -> None:
    kind = hosts.place.server.driver
    chance = random.Random(f"{SEED}-W2-{bad}")
    (good,) = set(CLOCKS) - {bad}
    with suite(f"W2 {bad} {kind}", 4, 5, 6) as counted:
        for number in range(ROUNDS):
            runs = [f"r{number}-{each}" for each in range(RUNS)]
            faults = {run: chance.choice(FAULTS) if full() else FAULTS[each % 3] for each, run in enumerate(runs)}
            played = Round(hosts, faults, bad, good, HOST_FAULTS[number % 4], chance)
            played.start()
            time.sleep(chance.uniform(0, 2))
            played.disturb()
            played.await_others()
            played.heal()
            played.end()
            played.judge(counted)
