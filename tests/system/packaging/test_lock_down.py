"""The pages "Install" and "Lock down an installation" typed word for word, and then attacks on what they make."""

import json
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import release
from hostile_index import hostile_index, wheel_of
from locked_down import ACCOUNT, FLOWS, OTHER, SECRET, STATE, TEAM, Site, Told, locked_down
from services import Database, Sshd
from uv_program import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]

EVIL = "open('/srv/outbox/ran', 'w').close()\n"
SITE_PACKAGES = "/opt/aetherflow/lib/python3*/site-packages"


class Attack(NamedTuple):
    """Who tries it, what he does, and what the refusal says; empty where his work is passed over, and nothing fails."""

    actor: str
    refusal: str
    act: Callable[[Site], Told]


ATTACKS: dict[str, Attack] = {}


def attack(actor: str, refusal: str) -> Callable[[Callable[[Site], Told]], Callable[[Site], Told]]:
    """Add a function to the table of attacks."""

    def add(act: Callable[[Site], Told]) -> Callable[[Site], Told]:
        ATTACKS[act.__name__] = Attack(actor, refusal, act)
        return act

    return add


@pytest.fixture(scope="module")
def site(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if os.geteuid() != 0:
        pytest.skip("only root can be several accounts, and mount")
    folder = tmp_path_factory.mktemp("locked-down")
    made = folder / "release"
    shutil.copytree(dist, made)
    extras = "postgres sftp sign"
    locks = release.locks_of(ROOT)
    release.write_locks(ROOT, made, {name: locks[name] for name in ("aetherflow", *extras.split())})
    with locked_down(folder, made, extras) as found:
        found.done("chmod 1777 /srv/inbox /srv/outbox")  # others deliver, and pick up
        found.done(f"install -d -o {ACCOUNT} -m 700 {STATE}/.ssh && install -d -o {TEAM} /srv/releases/team")
        found.done(f"printf %s {SECRET} | install -o {ACCOUNT} -m 600 /dev/stdin {STATE}/.ssh/id_rsa")
        found.done(f"echo mine | install -o {ACCOUNT} -m 600 /dev/stdin /srv/precious")
        yield found


def flow(step: str, inputs: str, resources: str = "{}", head: str = "") -> str:
    """A flow with one step."""
    return (
        f"version: 1\nflow: {{id: try{head}}}\nresources: {resources}\n"
        f"jobs: [{{id: j, steps: [{{id: s, type: {step}, inputs: {inputs}}}]}}]\n"
    )


WRITE = flow("file_write", "{path: x, content: hi}")


def run_of(site: Site, text: str, **files: str) -> Told:
    """Run a flow that root has deployed with these files in a folder of its own, as its author wanted."""
    site.done("rm -rf /srv/aetherflow/try")
    for name, content in files.items():
        site.write(f"try/{name.replace('__', '/').replace('_', '.')}", content)
    site.write("try/flow.yaml", text)
    return site.run("run", "try/flow.yaml")


def harmed(site: Site) -> list[str]:
    """What an attack must not have reached."""
    looks = {
        "code of somebody else has run": "test ! -e /srv/outbox/ran",
        "a package of somebody else is installed": f"! ls {SITE_PACKAGES}/third_party_*",
        "a file outside of the folders was written": "grep -qx mine /srv/precious",
        "the secret of the account is readable": f"! grep -r {SECRET} /srv {STATE}/work {STATE}/state /var/log",
        "the policy was changed": "cmp policy.yaml /etc/aetherflow/policy.yaml",
        "a flow was exchanged": f"cmp nightly.yaml {FLOWS}/nightly.yaml",
        "the scheduler has ended": "pgrep -u aetherflow -f 'aetherflow-scheduler run'",
    }
    active = json.loads(site.run("bundle", "status", "-m", "team.yaml", "--json").text)["active_dir"]
    looks["another version of the bundle is active"] = f"grep -q 'hi 2' {active}/flow.yaml"
    return [harm for harm, look in looks.items() if site.type(look).code != 0]


def third_party(site: Site, name: str, points: str) -> None:
    """Install a package of somebody else, as root would who trusts its name."""
    info = f"{name.replace('-', '_')}-1.0.dist-info"
    made = wheel_of(
        site.sources, name, "1.0", "py3-none-any", {"acme_evil.py": EVIL, f"{info}/entry_points.txt": points}
    )
    site.done(f"/opt/aetherflow/bin/python -m pip install -q --no-index {made}")


# The owner of a name on the index


@attack("index", "")
def newer_wheels_under_our_names(site: Site) -> Told:
    with hostile_index(site.folder / "index") as address:
        site.done("/opt/aetherflow/bin/python -m pip uninstall -qy aetherflow-builtins-transfer")
        again = "/opt/aetherflow/bin/python /opt/aetherflow/share/aetherflow/install.py"
        return site.type(f"PIP_INDEX_URL={address} {again}")


@attack("index", "AF2104")
def a_step_of_a_package_that_was_installed_later(site: Site) -> Told:
    third_party(site, "acme-steps", "[aetherflow.steps]\nacme = acme_evil:S\n")
    return run_of(site, flow("acme", "{}"))


@attack("index", "AF2108")
def our_package_exchanged_later(site: Site) -> Told:
    file = f"{SITE_PACKAGES}/aetherflow_builtins_transfer/steps/unzip.py"
    site.done(f"cp {file} kept.py && echo {EVIL.strip()!r} >> {file}")
    told = run_of(site, flow("unzip", "{resource: r, archive_path: /srv/inbox/a.zip, dest_dir: x}", ZIP))
    site.done(f"cp kept.py {file}")
    return told


ZIP = "{r: {kind: archive, driver: zipfile}}"

# An author of flows: what he writes, root deploys


@attack("author", "AF1610")
def a_variable_of_the_process(site: Site) -> Told:
    return site.run("run", "nightly.yaml", env={"AETHERFLOW_MODE": "internal_fast"})


@attack("author", "AF1610")
def a_nearer_project_file(site: Site) -> Told:
    text = flow("file_write", "{path: /srv/precious, content: his}")
    return run_of(site, text, aetherflow_yaml="policy: {mode: internal_fast}\npaths: {write: [/]}\n")


@attack("author", "AF1610")
def a_project_file_that_is_named(site: Site) -> Told:
    site.write("try/other.yaml", "roots: {work: /srv/inbox}\n")
    return site.run("run", "nightly.yaml", "--config", "try/other.yaml")


@attack("author", "AF1610")
def a_plugin_path(site: Site) -> Told:
    return run_of(site, WRITE, aetherflow_yaml="plugins: {paths: [p]}\n", p__e_py=EVIL)


@attack("author", "AF1610")
def a_secrets_hook(site: Site) -> Told:
    return run_of(site, WRITE, aetherflow_yaml="secrets: {path: hook.py}\n", hook_py=EVIL)


@attack("author", "AF1610")
def an_env_file_of_a_folder_of_the_account(site: Site) -> Told:
    told = f"paths: {{write: [/srv/outbox]}}\nenv_files: [{{type: dir, path: {STATE}/.ssh}}]\n"
    return run_of(site, flow("file_write", "{path: /srv/outbox/leak, content: '{{env.id_rsa}}'}"), aetherflow_yaml=told)


def listing(site: Site, config: str, **files: str) -> Told:
    """Run a flow that lists a folder of an SFTP server."""
    resource = f"{{r: {{kind: sftp, driver: paramiko, config: {{{config}}}}}}}"
    return run_of(site, flow("sftp_list_files", "{resource: r, remote_dir: x}", resource), **files)


def querying(site: Site, driver: str, config: str, sql: str = "SELECT 1", more: str = "") -> Told:
    """Run a flow that executes a statement of a database."""
    resource = f"{{r: {{kind: db, driver: {driver}, config: {{{config}}}{more}}}}}"
    return run_of(site, flow("db_execute", f"{{resource: r, sql: {sql}}}", resource))


@attack("author", "AF1610")
def keys_of_hosts_written_to_a_file(site: Site) -> Told:
    return listing(site, "host: h, user: u, known_hosts: /srv/precious")


@attack("author", "AF1610")
def a_key_of_the_account_for_his_own_server(site: Site) -> Told:
    return listing(site, f"host: h, user: u, pkey_path: {STATE}/.ssh/id_rsa")


@attack("author", "AF1610")
def a_file_in_an_argument_of_a_driver(site: Site) -> Told:
    options = f", options: {{connect_args: {{passfile: {STATE}/.ssh/id_rsa}}}}"
    return querying(site, "postgres", "host: 127.0.0.1, database: x, user: u", more=options)


@attack("author", "AF1610")
def a_server_that_nobody_checks(site: Site) -> Told:
    return querying(site, "postgres", "host: db.example.com, database: x, user: u, ssl: disable")


@attack("author", "AF2104")
def a_program(site: Site) -> Told:
    return run_of(site, flow("external.process", "{command: [touch, /srv/outbox/ran]}"))


@attack("author", "AF2104")
def a_program_that_packs(site: Site) -> Told:
    resource = "{r: {kind: archive, driver: external, config: {zip_cmd: [touch, /srv/outbox/ran]}}}"
    return run_of(site, flow("zip", "{resource: r, items: [x], dest_path: a.zip}", resource))


@attack("author", "AF2104")
def a_database_in_a_file(site: Site) -> Told:
    return querying(site, "sqlite3", "path: x", "\"ATTACH '/srv/precious' AS p\"")


@attack("author", "AF5003")
def a_file_of_the_account_read(site: Site) -> Told:
    return run_of(site, flow("file_copy", f"{{src: {STATE}/.ssh/id_rsa, dest_dir: /srv/outbox}}"))


@attack("author", "AF5003")
def a_file_of_the_account_written(site: Site) -> Told:
    return run_of(site, flow("file_write", "{path: /srv/precious, content: his}"))


@attack("author", "AF1610")
def a_state_elsewhere(site: Site) -> Told:
    return run_of(site, flow("file_write", "{path: x, content: x}", head=", state: {path: /srv/inbox/s.sqlite}"))


@attack("author", "AF1222")
def the_state_of_the_engine(site: Site) -> Told:
    site.run("run", "nightly.yaml")
    index = site.done(f"find {STATE}/state -name registry.sqlite").strip()
    return run_of(site, flow("file_write", "{path: x, content: x}", head=f", state: {{path: {index}}}"))


@attack("author", "AF5003")
def the_store_of_bundles(site: Site) -> Told:
    return run_of(site, flow("file_write", f"{{path: {STATE}/state/engine/bundles/work/team/active, content: his}}"))


@attack("author", "AF1307")
def a_template_of_gigabytes(site: Site) -> Told:
    steps = [{"id": "s0", "type": "check_items", "inputs": {"items": [1]}, "outputs": {"x0": "x" * 60_000}}]
    for number in range(1, 6):
        text = f"{{{{job.outputs.x{number - 1}}}}}" * 30
        outputs = {f"x{number}": text}
        steps.append({"id": f"s{number}", "type": "check_items", "inputs": {"items": [1]}, "outputs": outputs})
    return run_of(site, json.dumps({"version": 1, "flow": {"id": "try"}, "jobs": [{"id": "j", "steps": steps}]}))


@attack("author", "is not allowed in enterprise mode")
def a_launcher_of_a_package(site: Site) -> Told:
    site.write("try/flow.yaml", WRITE)
    third_party(site, "acme-launch", "[aetherflow.launchers]\nevil = acme_evil:L\n")
    item = "{id: a, flow_yaml: flow.yaml, cron: '0 6 * * *', launcher: evil}"
    site.write("try/schedule.yaml", f"version: 1\ntimezone: UTC\nitems: [{item}]\n")
    return site.run("schedule", "run-item", "try/schedule.yaml", "a", "--slot", "2026-01-01T06:00")


@attack("author", "AF1610")
def a_ledger_elsewhere(site: Site) -> Told:
    site.write("try/flow.yaml", WRITE)
    item = "{id: a, flow_yaml: flow.yaml, cron: '0 6 * * *'}"
    site.write("try/schedule.yaml", f"version: 1\ntimezone: UTC\nstate: /srv/inbox/l.sqlite\nitems: [{item}]\n")
    return site.run("schedule", "tick", "try/schedule.yaml")


# Another author, whose flows run under the same account


def other_run(site: Site) -> str:
    """The folder of the artifacts of another author's run."""
    site.write("theirs.yaml", WRITE.replace("id: try", "id: theirs, workspace: {cleanup_policy: never}"))
    site.done(f"sudo -u {ACCOUNT} sh -c 'cd {FLOWS} && /opt/aetherflow/bin/aetherflow run theirs.yaml -q'")
    return site.done(f"ls -d {STATE}/work/theirs/j/*/artifacts | tail -1").strip()


@attack("co-author", "AF5003")
def the_results_of_another_flow_read(site: Site) -> Told:
    return run_of(site, flow("file_copy", f"{{src: {other_run(site)}/x, dest_dir: /srv/outbox}}"))


@attack("co-author", "AF5003")
def the_results_of_another_flow_written(site: Site) -> Told:
    return run_of(site, flow("file_write", f"{{path: {other_run(site)}/x, content: his}}"))


@attack("co-author", "AF5003")
def the_results_of_another_flow_removed(site: Site) -> Told:
    return run_of(site, flow("file_delete", f"{{path: {other_run(site)}/x}}"))


# Another account of the machine


@attack("account", "AF1601")
def a_link_to_his_flow(site: Site) -> Told:
    site.write("/srv/inbox/his.yaml", WRITE, user=OTHER)
    site.type("ln -sf his.yaml /srv/inbox/link.yaml", user=OTHER, cwd=Path("/srv/inbox"))
    return site.run("run", "/srv/inbox/link.yaml")


@attack("account", "AF1601")
def profiles_of_his(site: Site) -> Told:
    site.write("/srv/inbox/profiles.yaml", "{}\n", user=OTHER)
    return site.run("run", "nightly.yaml", env={"AETHERFLOW_PROFILES_FILE": "/srv/inbox/profiles.yaml"})


@attack("account", "AF1610")
def a_state_folder_made_beforehand(site: Site) -> Told:
    site.type("mkdir -pm 777 /srv/inbox/state", user=OTHER, cwd=Path("/srv/inbox"))
    return site.run("run", "nightly.yaml", env={"AETHERFLOW_STATE_ROOT": "/srv/inbox/state"})


@attack("account", "AF1610")
def a_work_folder_made_beforehand(site: Site) -> Told:
    site.type("mkdir -pm 777 /srv/inbox/work", user=OTHER, cwd=Path("/srv/inbox"))
    return run_of(site, flow("file_write", "{path: x, content: x}", head=", workspace: {root: /srv/inbox/work}"))


@attack("account", "AF5003")
def a_link_in_the_drop_folder(site: Site) -> Told:
    site.type(f"ln -sfn {STATE}/.ssh /srv/inbox/sub", user=OTHER, cwd=Path("/srv/inbox"))
    return run_of(site, flow("file_copy", "{src: /srv/inbox/sub/id_rsa, dest_dir: /srv/outbox}"))


@attack("account", "")
def a_pipe_in_the_drop_folder(site: Site) -> Told:
    site.done("mkfifo /srv/inbox/p.csv")
    told = site.run("run", "nightly.yaml")
    site.done("rm /srv/inbox/p.csv")
    return told


@attack("account", "Permission denied")
def the_states_of_runs_read(site: Site) -> Told:
    return site.type(f"cat {STATE}/state/*.sqlite {STATE}/work/*", user=OTHER)


@attack("account", "Permission denied")
def the_credentials_read(site: Site) -> Told:
    return site.type("cat /run/credentials/aetherflow-scheduler.service/DB_PASSWORD", user=OTHER)


@attack("account", "Permission denied")
def the_memory_of_the_scheduler_read(site: Site) -> Told:
    return site.type("cat /proc/$(pgrep -o -u aetherflow -f 'aetherflow-scheduler run')/environ", user=OTHER)


@attack("account", "Operation not permitted")
def the_scheduler_killed(site: Site) -> Told:
    return site.type("kill -9 $(pgrep -o -u aetherflow -f 'aetherflow-scheduler run')", user=OTHER)


@attack("account", "Permission denied")
def a_flow_exchanged(site: Site) -> Told:
    return site.type(f"echo '{WRITE}' > {FLOWS}/nightly.yaml", user=OTHER)


# A user of a database that flows read, and servers


def reading(database: Database | None, sql: str, step: str) -> str:
    """A flow that reads rows, and does a step for each."""
    assert database is not None
    config = f"host: 127.0.0.1, port: {database.port}, database: {database.name}, user: {database.user}"
    resource = f"{{kind: db, driver: postgres, config: {{{config}, password: {database.password}}}}}"
    return (
        f"version: 1\nflow: {{id: try}}\nresources: {{r: {resource}}}\njobs:\n  - id: j\n    steps:\n"
        f'      - {{id: rows, type: db_extract, inputs: {{resource: r, sql: "{sql}", output: rows.csv}}}}\n{step}'
    )


@pytest.fixture(scope="module")
def tried(site: Site, postgres: Database, sshd: Sshd) -> Site:
    """The site, with a database whose rows another user has written, and a partner's server."""
    site.database, site.partner = postgres, sshd
    return site


@attack("database user", "")
def a_template_in_a_row(site: Site) -> Told:
    keep = "      - {id: k, type: file_copy, inputs: {src: rows.csv, dest_dir: /srv/outbox, overwrite: true}}\n"
    row = "SELECT chr(123) || chr(123) || 'env.DB_PASSWORD' || chr(125) || chr(125) AS a"
    return run_of(site, reading(site.database, row, keep))


@attack("server", "server requested a cleartext password")
def a_server_that_asks_for_the_password_in_clear(site: Site) -> Told:
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(4):
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    peer.settimeout(10)
                    first = peer.recv(4096)
                    if len(first) == 8:  # may it be encrypted?
                        peer.sendall(b"N")
                        first = peer.recv(4096)
                    peer.sendall(b"R\x00\x00\x00\x08\x00\x00\x00\x03")
                    got.append(peer.recv(4096))

        threading.Thread(target=serve, daemon=True).start()
        database = Database(server.getsockname()[1], "u", "'{{env.DB_PASSWORD}}'", "d")
        told = run_of(site, reading(database, "SELECT 1 AS a", ""))
    assert SECRET.encode() not in b"".join(got)
    return told


@attack("network", "host key")
def another_machine_answers_for_a_partner(site: Site) -> Told:
    assert site.partner is not None
    site.done("rm -f other && ssh-keygen -q -t ed25519 -N '' -f other")
    known = f"[127.0.0.1]:{site.partner.port} {site.done('cat other.pub')}"
    config = f"host: 127.0.0.1, port: {site.partner.port}, username: u, password: '{{{{env.DB_PASSWORD}}}}'"
    return listing(site, f"{config}, known_hosts: {FLOWS}/try/known.hosts", known_hosts=known)


# Who holds an old version of a bundle, or may write to the place that it comes from

RELEASE = "/srv/releases/team"


def publish(site: Site, number: int, *, signed: bool = True, bundle: str = "team", key: str = "release_key") -> None:
    """Publish a version of the team's bundle, signed by the team's key."""
    site.done(f"rm -rf {RELEASE}/*")
    site.write(f"{RELEASE}/flow.yaml", WRITE.replace("id: try", "id: teams").replace("hi", f"hi {number}"))
    site.write(f"{RELEASE}/profiles.yaml", "{}\n")
    if signed:
        place = site.folder / "releasing"  # elsewhere: root reads no environment of the account
        site.done(f"mkdir -p {place} && sed 's/id: team/id: {bundle}/' team.yaml > {place}/team.yaml")
        words = f"-m team.yaml --key {site.sources}/{key} --version {number}"
        site.done(f"/opt/aetherflow/bin/aetherflow bundle sign {RELEASE} {words}", cwd=place)
    site.done(f"chown -R {TEAM} {RELEASE}")


def synced(site: Site) -> Told:
    """What a sync says; its own bundle is at version 2 before."""
    return site.run("bundle", "sync", "-m", "team.yaml")


@pytest.fixture(scope="module")
def second(tried: Site) -> Site:
    """The site, with version 2 of the team's bundle active."""
    for number in (1, 2):
        publish(tried, number)
        told = synced(tried)
        assert told.code == 0, told.text
    return tried


@attack("bundle", "AF7010")
def an_older_version(site: Site) -> Told:
    publish(site, 1)
    return synced(site)


@attack("bundle", "AF7006")
def a_version_without_signature(site: Site) -> Told:
    publish(site, 3, signed=False)
    return synced(site)


@attack("bundle", "AF7007")
def a_signed_version_with_another_flow(site: Site) -> Told:
    publish(site, 3)
    site.type(f"echo '# his' >> {RELEASE}/flow.yaml", user=TEAM)
    return synced(site)


@attack("bundle", "AF7008")
def a_version_signed_by_another_key(site: Site) -> Told:
    site.done("ssh-keygen -q -t ed25519 -N '' -f his")
    publish(site, 3, key="his")
    return synced(site)


@attack("bundle", "AF7007")
def a_signed_version_of_another_bundle(site: Site) -> Told:
    publish(site, 3, bundle="others")
    return synced(site)


@attack("bundle", "AF7010")
def an_older_version_activated_again(site: Site) -> Told:
    return site.run("bundle", "rollback", "-m", "team.yaml")


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_succeeds(name: str, second: Site) -> None:
    told = ATTACKS[name].act(second)
    refusal = ATTACKS[name].refusal
    assert refusal in told.text, told.text
    assert (told.code != 0) is (refusal != ""), told.text
    assert harmed(second) == []


def test_the_installation_works(second: Site) -> None:
    second.write("/srv/inbox/a.csv", "1", user=OTHER)
    done = second.run("run", "nightly.yaml")
    assert done.code == 0, done.text
    assert second.done("cat /srv/outbox/a.csv") == "1"
    watched = second.run("schedule", "status", "scheduler.yaml", "--check")
    assert watched.code == 0, watched.text
    assert harmed(second) == []
