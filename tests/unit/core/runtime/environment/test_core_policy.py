"""The administrator's policy: no layer loosens it, and each attempt is told with its place and that of the policy."""

import grp
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from core_policy import administered

from aetherflow.core.base import owners
from aetherflow.core.base.errors import AetherflowError, PluginNotAllowedError, SpecError
from aetherflow.core.base.location import Location
from aetherflow.core.checks.report import check_flow
from aetherflow.core.host.metadata import PluginEntry
from aetherflow.core.runtime.environment.bundle_layer import BundleLayer
from aetherflow.core.runtime.environment.policy import catalog_for
from aetherflow.core.runtime.environment.snapshot import Snapshot, build_snapshot
from aetherflow.core.runtime.environment.spec.environment import EnvFileSpec
from aetherflow.core.runtime.environment.spec.project import ManifestPluginsSpec
from aetherflow.core.runtime.workspace.state_root import find_state_root

if TYPE_CHECKING:
    from core_project import Project

POLICY = """\
version: 1
mode: enterprise
roots:
  work: [{site}/work]
  state: [{site}/state]
paths:
  read: [{site}/in]
  write: [{site}/out]
  env: [{site}/env]
plugins:
  allow: [acme-a]
  paths: [{site}/plugins]
  modules: [acme_vault]
steps:
  deny: [external.*, run_flow]
connectors:
  allow: ["db:*"]
zip_drivers: [zipfile]
child_env: [CITY]
unmasked: [MONKEY]
"""


def lines_of(text: str) -> dict[str, int]:
    """The line of each key, as `section.key`."""
    found, section = {}, ""
    for at, line in enumerate(text.splitlines(), start=1):
        key = line.strip().partition(":")[0]
        section = section if line.startswith(" ") else key
        found[f"{section}.{key}" if line.startswith(" ") else key] = at
    return found


LINES = lines_of(POLICY)
FLOW = """\
version: 1
flow: {id: one}
jobs: [{id: a, steps: [{id: b, type: file_write, inputs: {path: x, content: hi}}]}]
"""


class Site(NamedTuple):
    """A machine with a policy, and a project on it."""

    folder: Path
    policy: Path
    project: "Project"

    def snapshot(self, env: Mapping[str, str] | None = None, **options: Any) -> Snapshot:
        """The environment of the flows of the project."""
        return build_snapshot(self.project.folder, ambient=env or {}, **options)


@pytest.fixture
def site(project: "Project", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    folder = tmp_path / "site"
    for name in ("work", "state", "in", "out", "plugins"):
        (folder / name).mkdir(parents=True)
    policy = administered(folder, POLICY, monkeypatch)
    project.write(FLOW)
    return Site(folder, policy, project)


PROJECT = {
    "policy: {mode: internal_fast}": "mode",
    "policy: {strict_sandbox: false}": "mode",
    "policy: {zip_drivers: [pyzipper]}": "zip_drivers",
    "policy: {child_env: [CITY, LD_PRELOAD]}": "child_env",
    "roots: {work: /}": "roots.work",
    "roots: {work: mine}": "roots.work",
    "roots: {state: ../state}": "roots.state",
    "log: {events_file: /etc/cron.d/x}": "paths.write",
    "plugins: {allow: [acme-b]}": "plugins.allow",
    "plugins: {paths: [plugins]}": "plugins.paths",
    "secrets: {module: os}": "plugins.modules",
    "secrets: {path: hook.py}": "plugins.paths",
    "secrets: {ignore: [TOKEN]}": "unmasked",
    "paths: {read: [/etc]}": "paths.read",
    "paths: {write: [/etc]}": "paths.write",
}
"""What a project file says, to the key of the policy that it meets."""
VARIABLES = {
    "AETHERFLOW_MODE=internal_fast": "mode",
    "AETHERFLOW_STRICT_SANDBOX=false": "mode",
    "AETHERFLOW_WORK_ROOT=/": "roots.work",
    "AETHERFLOW_STATE_ROOT=/tmp": "roots.state",
    "AETHERFLOW_LOCK_STORE=/tmp/locks.sqlite": "roots.state",
    "AETHERFLOW_EVENTS_FILE=/etc/cron.d/x": "paths.write",
    "AETHERFLOW_PLUGIN_PATHS=/tmp": "plugins.paths",
    "AETHERFLOW_SECRETS_PATH=/tmp/hook.py": "plugins.paths",
    "AETHERFLOW_SECRETS_MODULE=os": "plugins.modules",
    "AETHERFLOW_METRICS_MODULE=os": "plugins.modules",
    "AETHERFLOW_SETTINGS_MODULE=os": "plugins.modules",
}
IN_FILES = [each for each in VARIABLES if not each.startswith(("AETHERFLOW_MODE", "AETHERFLOW_ST", "AETHERFLOW_SET"))]
IN_FILES.append("AETHERFLOW_STATE_ROOT=/tmp")
ARGUMENTS: dict[str, tuple[Any, str]] = {
    "mode": ("internal_fast", "mode"),
    "strict_sandbox": (False, "mode"),
    "work_root": ("/", "roots.work"),
    "state_root": ("/tmp", "roots.state"),
    "lock_store": ("/tmp/x", "roots.state"),
    "events_file": ("/tmp/x", "paths.write"),
    "plugin_paths": (["/tmp"], "plugins.paths"),
    "secrets_path": ("/tmp/x.py", "plugins.paths"),
    "secrets_module": ("os", "plugins.modules"),
    "metrics_module": ("os", "plugins.modules"),
}
FLOWS = {
    FLOW.replace("id: one", "id: one, workspace: {root: /}"): "roots.work",
    FLOW.replace("id: one", "id: etc, workspace: {root: '{{env.ROOT:/}}'}"): "roots.work",
    FLOW.replace("id: one", "id: one, state: {path: /tmp/x.sqlite}"): "roots.state",
}
FORBIDDEN = {
    FLOW.replace("file_write", "external.process"): "steps.deny",
    FLOW.replace("file_write", "run_flow"): "steps.deny",
    FLOW.replace("jobs:", "resources: {r: {kind: rest, driver: httpx}}\njobs:"): "connectors.allow",
}


def refused(error: AetherflowError, site: Site, key: str, place: str, code: str = "AF1610") -> None:
    """Both places are in the message, and the code says what it is."""
    assert isinstance(error, SpecError)
    (problem,) = error.problems
    assert problem.af == code
    assert str(problem.location).startswith(place), problem
    assert f"{site.policy}:{LINES[key]}:" in problem.message, problem
    assert str(site.policy) in problem.fix


@pytest.mark.parametrize(("text", "key"), PROJECT.items(), ids=list(PROJECT))
def test_a_project_file_loosens_nothing(site: Site, text: str, key: str) -> None:
    file = site.project.write(text, "aetherflow.yaml")
    with pytest.raises(SpecError) as caught:
        site.snapshot()
    refused(caught.value, site, key, f"{file}:1:")


@pytest.mark.parametrize("by", ["option", "variable", "nearer"])
def test_another_project_file_loosens_nothing(site: Site, by: str) -> None:
    """S3: a nearer file, or a named one, took the place of the one that said enterprise."""
    site.project.write("policy: {mode: enterprise}\n", "aetherflow.yaml")
    (site.project.folder / "below").mkdir()
    other = site.project.write("version: 1\npolicy:\n  mode: internal_fast\n", "below/aetherflow.yaml")
    env = {"AETHERFLOW_CONFIG": str(other)} if by == "variable" else {}
    folder = other.parent if by == "nearer" else site.project.folder
    with pytest.raises(SpecError) as caught:
        build_snapshot(folder, ambient=env, config=other if by == "option" else None)
    refused(caught.value, site, "mode", f"{other}:3:")


@pytest.mark.parametrize(("given", "key"), VARIABLES.items(), ids=list(VARIABLES))
def test_a_variable_loosens_nothing(site: Site, given: str, key: str) -> None:
    name, _, value = given.partition("=")
    with pytest.raises(SpecError) as caught:
        site.snapshot({name: value})
    refused(caught.value, site, key, f"{name}:1:")


@pytest.mark.parametrize("given", IN_FILES)
def test_an_env_file_loosens_nothing(site: Site, given: str) -> None:
    file = site.project.write(f"A=1\n{given}\n", "site.env")
    site.project.write("env_files: [site.env]\n", "aetherflow.yaml")
    with pytest.raises(SpecError) as caught:
        site.snapshot()
    refused(caught.value, site, VARIABLES[given], f"{file}:2:")


@pytest.mark.parametrize("by", ["file", "folder", "link", "linked file", "variable"])
def test_an_env_file_is_no_way_to_read_other_files(site: Site, by: str) -> None:
    """One of type `dir` made a variable of each file of any folder, such as ~/.ssh."""
    away, folder = site.folder / "away", site.project.folder
    away.mkdir()
    (away / "id_rsa").write_text("PRIVATE=1")
    (folder / "env").mkdir()
    (folder / "env" / "A").symlink_to(away / "id_rsa")
    (folder / "link").symlink_to(away)
    listed = {
        "file": {"type": "dotenv", "path": str(away / "id_rsa")},
        "folder": {"type": "dir", "path": str(away)},
        "link": {"type": "dir", "path": "link"},
        "linked file": {"type": "dir", "path": "env"},
        "variable": {"type": "dir", "path": str(away)},
    }[by]
    text = json.dumps([listed])
    file = site.project.write("{}\n" if by == "variable" else f"env_files: {text}\n", "aetherflow.yaml")
    with pytest.raises(SpecError) as caught:
        site.snapshot({"AETHERFLOW_ENV_FILES_JSON": text} if by == "variable" else {})
    refused(caught.value, site, "paths.env", "AETHERFLOW_ENV_FILES_JSON:1:" if by == "variable" else f"{file}:1:")


def test_env_files_that_the_policy_admits(site: Site) -> None:
    (site.folder / "env").mkdir()
    (site.folder / "env" / "PASSWORD").write_text("open sesame")
    site.project.write("A=1\n", "site.env")
    site.project.write(f"env_files: [site.env, {site.folder}/env/]\n", "aetherflow.yaml")
    env = site.snapshot().env
    assert (env["A"], env["PASSWORD"]) == ("1", "open sesame")


@pytest.mark.parametrize(("name", "value", "key"), [(name, *rest) for name, rest in ARGUMENTS.items()])
def test_an_embedding_program_loosens_nothing(site: Site, name: str, value: object, key: str) -> None:
    with pytest.raises(SpecError) as caught:
        site.snapshot(overrides={name: value})
    refused(caught.value, site, key, "settings:1:")


def bundle_of(site: Site, env: str = "", **rules: Any) -> BundleLayer:
    """A version of a bundle whose env file holds `env`."""
    folder = site.project.folder / "version"
    folder.mkdir()
    (folder / "b.env").write_text(env)
    manifest = site.project.write("version: 1\nplugins:\n  allow: [acme-b]\npaths:\n  plugins: [x]\n", "bundle.yaml")
    given: dict[str, Any] = {"plugin_paths": (), "plugins": ManifestPluginsSpec(), "mode": "internal_fast", **rules}
    spec = EnvFileSpec(type="dotenv", path="b.env")
    return BundleLayer(
        bundle_id="b",
        content="c",
        fingerprint="f",
        folder=folder,
        cache=folder,
        manifest=manifest,
        profiles_file="profiles.yaml",
        env_files=((spec, Location(str(manifest))),),
        plugins_dir=None,
        zip_drivers=["zipfile"],
        **given,
    )


@pytest.mark.parametrize("given", IN_FILES)
def test_an_env_file_of_a_bundle_loosens_nothing(site: Site, given: str) -> None:
    """S3: it named the secrets hook, whose code then ran in the runner."""
    bundle = bundle_of(site, f"{given}\n")
    with pytest.raises(SpecError) as caught:
        build_snapshot(bundle.folder, ambient={}, bundle=bundle)
    refused(caught.value, site, VARIABLES[given], f"{bundle.folder / 'b.env'}:1:")


@pytest.mark.parametrize(
    ("rules", "key", "line"),
    [
        ({"plugins": ManifestPluginsSpec(allow=["acme-b"])}, "plugins.allow", 3),
        ({"plugin_paths": ("/tmp",), "mode": "enterprise"}, "plugins.paths", 5),
    ],
)
def test_a_manifest_loosens_nothing(site: Site, rules: dict[str, Any], key: str, line: int) -> None:
    bundle = bundle_of(site, **rules)
    with pytest.raises(SpecError) as caught:
        build_snapshot(bundle.folder, ambient={}, bundle=bundle)
    refused(caught.value, site, key, f"{bundle.manifest}:{line}:")


@pytest.mark.parametrize(("text", "key"), FLOWS.items())
@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_a_flow_names_no_folder_outside(site: Site, text: str, key: str, command: str) -> None:
    """S3: `workspace.root: /` with the flow id `etc` made /etc the folder of a flow."""
    site.project.write(text)
    result = site.project.cli(command, "flow.yaml")
    assert result.code == 2
    told = result.out + result.err
    assert "flow.yaml:2:" in told
    assert "AF1610" in told
    assert f"{site.policy}:{LINES[key]}:" in told


@pytest.mark.parametrize(("text", "key"), FORBIDDEN.items())
def test_a_flow_uses_no_refused_step_or_connector(site: Site, text: str, key: str) -> None:
    path = site.project.write(text)
    found = check_flow(path, site.snapshot()).problems.errors
    assert [each.af for each in found] == ["AF2104"]
    assert f"{site.policy}:{LINES[key]}:" in found[0].message
    assert found[0].location.file == str(path)


def test_there_are_at_least_forty_attempts() -> None:
    counts = [PROJECT, range(3), VARIABLES, IN_FILES, ARGUMENTS, IN_FILES, range(2), FLOWS, FORBIDDEN]
    assert sum(map(len, counts)) >= 60


def test_what_the_policy_denies_is_not_imported(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from aetherflow.core.host import catalog, metadata

    site.project.module("acme_evil", "open('ran', 'w').close()\nclass Evil: pass\n")
    monkeypatch.syspath_prepend(site.project.site)
    entry = metadata.PluginEntry("aetherflow.steps", "evil", "acme-b", "1", "acme_evil:Evil")
    denied = metadata.PluginEntry("aetherflow.steps", "external.evil", "acme-a", "1", "acme_evil:Evil")
    monkeypatch.setattr("aetherflow.core.runtime.environment.policy.installed_in", lambda: (entry, denied))
    found = catalog_for(site.snapshot())
    for name in ("evil", "external.evil"):
        with pytest.raises(PluginNotAllowedError):
            found.step(name)
    assert not (site.project.folder / "ran").exists()
    assert isinstance(found, catalog.Catalog)


def test_tightening_is_fine_and_defaults_are_the_policys(site: Site) -> None:
    inner = site.folder / "work" / "team"
    site.project.write(
        f"roots: {{work: {inner}}}\npaths: {{read: [{site.folder}/in/a]}}\nplugins: {{allow: [acme-a]}}\n"
        "policy: {mode: enterprise, child_env: [CITY]}\n",
        "aetherflow.yaml",
    )
    found = site.snapshot()
    assert (found.settings.mode, found.settings.strict_sandbox) == ("enterprise", True)
    assert found.settings.work_root == str(inner)
    assert found.settings.state_root == f"{site.folder}/state"
    assert check_flow(site.project.folder / "flow.yaml", found).problems.errors == []
    (site.project.folder / "aetherflow.yaml").unlink()
    assert site.snapshot().settings.work_root == f"{site.folder}/work"
    assert find_state_root(site.project.folder, {}) == site.folder / "state"


def test_links_lead_nowhere(site: Site) -> None:
    (site.folder / "work" / "out").symlink_to("/")
    with pytest.raises(SpecError):
        site.snapshot({"AETHERFLOW_WORK_ROOT": f"{site.folder}/work/out"})
    with pytest.raises(SpecError):
        site.snapshot({"AETHERFLOW_WORK_ROOT": f"{site.folder}/work/../.."})


def test_all_attempts_are_told_together(site: Site) -> None:
    site.project.write("policy: {mode: internal_fast}\nroots: {work: /}\n", "aetherflow.yaml")
    with pytest.raises(SpecError) as caught:
        site.snapshot({"AETHERFLOW_EVENTS_FILE": "/x"})
    assert len(caught.value.problems) == 3


def test_a_policy_that_fixes_little_leaves_the_rest(site: Site) -> None:
    site.policy.write_text("steps: {allow: [file_*]}\n")
    site.project.write("plugins: {allow: [acme-b]}\nroots: {work: w}\nsecrets: {ignore: [A]}\n", "aetherflow.yaml")
    found = site.snapshot({"AETHERFLOW_MODE": "internal_fast", "AETHERFLOW_METRICS_MODULE": "os"})
    assert found.settings.mode == "internal_fast"
    with pytest.raises(PluginNotAllowedError, match=r"policy\.yaml:1:16 does not allow sleep"):
        catalog_for(found).find("aetherflow.steps", "sleep")


@pytest.mark.parametrize("mode", [0o666, 0o664])
def test_a_policy_that_others_may_write_stops_everything(site: Site, mode: int) -> None:
    if mode == 0o664:
        if os.geteuid() != 0:
            mode = 0o666
        else:
            os.chown(site.policy, 0, 54321)
    site.policy.chmod(mode)
    with pytest.raises(SpecError, match="it decides what is allowed"):
        site.snapshot()
    with pytest.raises(SpecError, match="it decides what is allowed"):
        find_state_root(site.project.folder, {})


@pytest.mark.parametrize("text", ["mode: fast", "unknown: 1", "- 1", "", "trusted_groups: [no-such-group]"])
def test_an_invalid_policy_stops_everything(site: Site, text: str) -> None:
    site.policy.write_text(text)
    with pytest.raises(SpecError) as caught:
        site.snapshot()
    assert {each.location.file for each in caught.value.problems} == {str(site.policy)}


def test_no_policy_no_rules(site: Site) -> None:
    site.policy.write_text(f"trusted_groups: [{grp.getgrgid(100).gr_name}]\n")
    assert site.snapshot().policy is not None
    assert owners.trusted_groups == {100}
    site.policy.unlink()
    assert site.snapshot().policy is None
    assert not owners.trusted_groups, "nor does a process that lives long go on to trust them"


def test_a_bundle_of_enterprise_mode_names_no_code_without_a_policy_either(site: Site) -> None:
    site.policy.unlink()
    bundle = bundle_of(site, "AETHERFLOW_SECRETS_PATH=x.py\n", mode="enterprise")
    with pytest.raises(SpecError, match="an env file of a bundle may not set AETHERFLOW_SECRETS_PATH"):
        build_snapshot(bundle.folder, ambient={}, bundle=bundle)


WEAK = FLOW.replace(
    "jobs:",
    "resources:\n  r:\n    kind: rest\n    driver: httpx\n    config: {base_url: 'https://example.com'}\n"
    "    options: {verify_ssl: WEAK}\njobs:",
)


@pytest.mark.parametrize("written", ["false", '"{{env.VERIFY:no}}"'])
@pytest.mark.parametrize("command", ["validate", "run"])
def test_a_resource_gives_up_no_protection(site: Site, written: str, command: str) -> None:
    site.policy.write_text('mode: internal_fast\ninsecure: ["db:*"]\n')
    path = site.project.write(WEAK.replace("WEAK", written))
    done = site.project.cli(command, str(path))
    assert done.code == 2, done
    told = done.out + done.err
    assert f"{path}:8:" in told
    assert "AF1610 resources.r.options.verify_ssl of a rest:httpx is INSECURE, which loosens the policy" in told
    assert f"{site.policy}:2:11 fixes insecure: db:*" in told
    assert "AF1706" not in told
    for allowed in ('insecure: ["rest:*"]\n', "version: 1\n"):
        site.policy.write_text(allowed)
        assert site.project.cli(command, str(path)).code == 0


def test_a_profile_gives_up_no_protection(site: Site) -> None:
    site.policy.write_text("insecure: []\n")
    path = site.project.write(WEAK.replace("    options: {verify_ssl: WEAK}\n", "    profile: weak\n"))
    site.project.write("weak: {options: {verify_ssl: false}}\n", "profiles.yaml")
    site.project.write("profiles_file: profiles.yaml\n", "aetherflow.yaml")
    for command in ("validate", "run"):
        done = site.project.cli(command, str(path))
        assert (done.code, "profiles.yaml:1:" in done.out + done.err) == (2, True), done
        assert f"{site.policy}:1:11 fixes insecure: none" in done.out + done.err


def test_a_lock_of_the_policy_holds_whatever_the_project_says(site: Site) -> None:
    from aetherflow.core.host.locked import PluginLockError

    lock = site.folder / "plugins.lock"
    lock.write_text("version: 1\ndistributions: {}\n")
    site.policy.write_text(f"plugins: {{locked: {lock}}}\n")
    for text in ("", "plugins: {locked: own.lock}\n"):
        site.project.write(f"version: 1\n{text}", "aetherflow.yaml")
        site.project.write("version: 1\ndistributions: {}\n", "own.lock")
        with pytest.raises(PluginLockError, match="plugins.lock says: it is not in it" if not text else "own.lock"):
            catalog_for(site.snapshot()).find("aetherflow.steps", "sleep")
        assert len(site.snapshot().rules.locks.files) == 1 + bool(text)
    lock.chmod(0o666)
    with pytest.raises(SpecError, match="AF1601"):
        site.snapshot()
    site.policy.write_text("plugins: {locked: plugins.lock}\n")
    with pytest.raises(SpecError, match="is not an absolute path"):
        site.snapshot()


def test_versions_of_the_policy_and_of_the_project_both_hold(site: Site) -> None:
    site.policy.write_text('mode: enterprise\nplugins: {allow: ["Acme_A>=2"]}\n')
    site.project.write('plugins: {allow: ["acme-a<3"]}\n', "aetherflow.yaml")
    rules = site.snapshot().rules
    entry = PluginEntry("aetherflow.steps", "x", "acme-a", "2.5", "acme_a:X")
    assert rules.allows(entry)
    for version in ("1.0", "3.0"):
        assert not rules.allows(entry._replace(version=version))
