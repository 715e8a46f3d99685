"""The lock of plugins: what differs from it is refused by name, in every group, before any of it is imported."""

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import wheels

from aetherflow.core.base.errors import PluginConflictError, PluginNotFoundError, PluginOverrideError, SpecError
from aetherflow.core.checks.prepare import prepare_flow
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.contents import Contents
from aetherflow.core.host.distributions import find_distribution
from aetherflow.core.host.folder import load_folder_plugins
from aetherflow.core.host.locked import Locks, PluginLockError, lock_of, lock_text
from aetherflow.core.host.metadata import installed_in, legacy_plugins
from aetherflow.core.host.names import HOOKS, LAUNCHERS, MANY, STATUS, STEPS, WORDS
from aetherflow.core.host.rules import Rules, preference
from aetherflow.core.runtime.environment.allowed import hooks_for, hooks_of_group, usable_in
from aetherflow.core.runtime.environment.lock_files import read_lock
from aetherflow.core.runtime.environment.snapshot import build_snapshot
from aetherflow.core.runtime.opening.circumstances import circumstances_of, plugin_changes

POINTS = "".join(f"[{group}]\nacme.it = acme_it.code:It\n" for group in WORDS)
CODE = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\nclass It: pass\n"
FILES = {"acme_it/__init__.py": "", "acme_it/code.py": CODE, "acme_it/deep/data.txt": "1\n", "acme_it/deep/more.py": ""}


class World:
    """Where acme-it is installed, and its lock."""

    def __init__(self, folder: Path) -> None:
        self.site = folder / "site"
        self.lock = folder / "plugins.lock"
        self.ran = self.site / "acme_it" / "ran"

    def install(self, version: str = "1.0", *, recorded: bool = True) -> Path:
        """Install it; pip removes the version that is there."""
        shutil.rmtree(self.site, ignore_errors=True)
        return wheels.install(self.site, "acme-it", POINTS, FILES, version=version, recorded=recorded)

    def write(self, distribution: str = "acme-it") -> str:
        """Write a lock of one distribution; returns it."""
        wheels.forget()
        self.lock.write_text(lock_text(lock_of(each for each in installed_in() if each.distribution == distribution)))
        return self.lock.read_text()

    def rules(self) -> Rules:
        """The rules of the lock, as a new process sees them."""
        wheels.forget()
        return Rules(locks=Locks([read_lock(self.lock)]))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path)
    made.site.mkdir()
    monkeypatch.syspath_prepend(made.site)
    monkeypatch.chdir(tmp_path)
    yield made
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]
    wheels.forget()


def uses(world: World, rules: Rules) -> dict[str, Callable[[], object]]:
    """How each group is loaded."""
    found: dict[str, Callable[[], object]] = {
        group: partial(Catalog(installed_in(), rules=rules).find, group, "acme.it")
        for group in WORDS
        if group not in (HOOKS, STATUS, LAUNCHERS)
    }
    (world.lock.parent / "aetherflow.yaml").write_text("plugins: {locked: plugins.lock}\n")
    return found | {
        HOOKS: lambda: hooks_for(rules),
        STATUS: lambda: hooks_of_group(STATUS, rules),
        LAUNCHERS: lambda: usable_in(LAUNCHERS, "acme.it", world.lock.parent, {}),
    }


def edit(file: str) -> Callable[[World], None]:
    def change(world: World) -> None:
        path = world.site / file
        path.write_bytes(path.read_bytes()[:-1] + b"#")

    return change


def another_record(world: World) -> None:
    (info,) = world.site.glob("*.dist-info")
    shutil.rmtree(world.site)
    wheels.install(world.site, "acme-it", POINTS, {**FILES, "acme_it/code.py": CODE + "x = 1\n"})
    assert info.exists()


def shadow(world: World) -> None:
    first = world.site.parent / "first"
    (first / "acme_it").mkdir(parents=True)
    for name in ("__init__.py", "code.py"):
        (first / "acme_it" / name).write_text(FILES[f"acme_it/{name}"])
    sys.path.insert(0, str(first))


CHANGES: dict[str, tuple[Callable[[World], object], str]] = {
    "a byte of the module": (edit("acme_it/code.py"), r"acme_it/code\.py was changed"),
    "a byte of another module": (edit("acme_it/__init__.py"), r"acme_it/__init__\.py was changed"),
    "a byte of data": (edit("acme_it/deep/data.txt"), r"acme_it/deep/data\.txt was changed"),
    "a byte of the entry points": (edit("acme_it-1.0.dist-info/entry_points.txt"), r"entry_points\.txt was changed"),
    "a file less": (lambda world: (world.site / "acme_it/deep/data.txt").unlink(), r"data\.txt cannot be read"),
    "a module more": (lambda world: (world.site / "acme_it/os.py").touch(), r"acme_it/os\.py was added"),
    "a package more": (
        lambda world: wheels.install(world.site, "other", "", {"acme_it/code/__init__.py": ""}),
        r"acme_it/code/__init__\.py was added",
    ),
    "another version": (lambda world: world.install("1.1"), r"acme-it 1\.1 is not as .*: 1\.0 is locked"),
    "another build": (another_record, r"it was built or installed from other files"),
    "another one of its name before it": (shadow, r"first/acme_it/__init__\.py would be imported"),
    "no RECORD": (lambda world: world.install(recorded=False), r"it was built or installed from other files"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_differs_is_refused_in_every_group(world: World, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    world.install()
    world.write()
    for group, use in uses(world, world.rules()).items():
        if group not in (HOOKS, STATUS):  # nothing of what is not changed is refused; `It` is no hook
            use()
    make, words = CHANGES[change]
    make(world)
    tried = 0
    for use in uses(world, world.rules()).values():
        with pytest.raises(PluginLockError, match=words) as caught:
            use()
        assert "acme-it" in str(caught.value)
        assert str(world.lock) in str(caught.value)
        assert caught.value.code == "AF2108"
        assert "aetherflow plugins lock" in caught.value.fix
        tried += 1
    assert tried == len(WORDS)
    assert not world.ran.exists()


@pytest.mark.parametrize("group", [group for group in WORDS if group not in MANY])
def test_a_rival_of_the_name_is_refused_with_both_names(world: World, group: str) -> None:
    world.install()
    world.write()
    rival = f"[{group}]\nacme.it = acme_rival:It\n"
    wheels.install(world.site, "acme-rival", rival, {"acme_rival.py": CODE})
    rules = world.rules()
    with pytest.raises(PluginConflictError, match=r"acme-it 1\.0 .*acme-rival 1\.0"):
        Catalog(installed_in(), rules=rules).find(group, "acme.it")
    preferred = rules._replace(prefer={preference(group, "acme.it"): "acme-rival"})
    with pytest.raises(PluginLockError, match=r"acme-rival 1\.0 is not as .*plugins\.lock says: it is not in it"):
        Catalog(installed_in(), rules=preferred).find(group, "acme.it")
    assert not (world.site / "ran").exists()


@pytest.mark.parametrize("group", sorted(MANY))
def test_a_hook_beside_the_locked_one_is_refused(world: World, group: str) -> None:
    world.install()
    world.write()
    wheels.install(world.site, "acme-rival", f"[{group}]\nacme.it = acme_rival:It\n", {"acme_rival.py": CODE})
    rules = world.rules()
    use = hooks_for if group == HOOKS else partial(hooks_of_group, group)
    with pytest.raises(PluginLockError, match=r"hook 'acme.it' of acme-rival 1\.0 is not as .*: it is not in it"):
        use(rules)
    assert not (world.site / "ran").exists()


def test_what_the_installer_notes_is_no_difference(world: World) -> None:
    info = world.install()
    before = world.write()
    assert "record:" in before
    record = info / "RECORD"
    record.write_text(record.read_text().replace("of-the-shebang", "another"))
    (info / "INSTALLER").write_text("uv\n")
    cache = world.site / "acme_it" / "__pycache__"
    cache.mkdir()
    (cache / "code.cpython-311.pyc").touch()
    assert world.write() == before


@pytest.mark.parametrize("editable", [True, False])
def test_an_edited_or_editable_one_is_locked_by_its_files(world: World, editable: bool) -> None:
    info = world.install()
    if editable:
        source = world.site.parent / "src"
        source.mkdir()
        (world.site / "acme_it").rename(source / "acme_it")
        (info / "RECORD").write_text("acme_it-1.0.dist-info/METADATA,,\n_editable.pth,sha256=x,1\n")
        sys.path.append(str(source))
        code = source / "acme_it" / "deep" / "more.py"
    else:
        edit("acme_it/code.py")(world)
        code = world.site / "acme_it" / "deep" / "more.py"
    try:
        assert re.search(r'"acme-it": \{version: "1.0", hash: "files:[0-9a-f]{64}"\}', world.write())
        Catalog(installed_in(), rules=world.rules()).find(STEPS, "acme.it")
        code.write_text("x = 1\n")
        with pytest.raises(PluginLockError, match="a file was changed, added or removed"):
            Catalog(installed_in(), rules=world.rules()).find(STEPS, "acme.it")
        code.write_text("")
        code.with_name("added.py").touch()
        with pytest.raises(PluginLockError, match="a file was changed, added or removed"):
            Catalog(installed_in(), rules=world.rules()).find(STEPS, "acme.it")
    finally:
        if editable:
            sys.path.remove(str(source))


def test_the_core_answers_for_its_own_modules_alone() -> None:
    found = find_distribution("aetherflow-core")
    assert found is not None
    assert {module.partition(".builtins")[0] for module in Contents(found)._modules} == {"aetherflow.core"}


def test_a_folder_plugin_takes_no_locked_name(world: World, tmp_path: Path) -> None:
    world.install()
    world.write()
    own = tmp_path / "own.py"
    own.write_text(
        "from aetherflow.core.api import Step, register_step\n\n@register_step('acme.it')\nclass Own(Step):\n"
        "    def run(self):\n        return None\n"
    )
    catalog = Catalog(installed_in(), rules=world.rules(), folder=load_folder_plugins([str(own)]))
    with pytest.raises(PluginOverrideError):
        catalog.find(STEPS, "acme.it")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "AF1001"),
        ("version: 1\n", "AF1102"),
        ("version: 2\ndistributions: {}\n", "AF1103"),
        ("version: 1\ndistributions: {acme-it: {version: '1.0', hash: 'sha1:00'}}\n", "AF1103"),
    ],
)
def test_a_lock_that_is_missing_or_wrong_stops_everything(world: World, text: str | None, code: str) -> None:
    if text is not None:
        world.lock.write_text(text)
    (world.lock.parent / "aetherflow.yaml").write_text("plugins: {locked: plugins.lock}\n")
    with pytest.raises(SpecError) as caught:
        build_snapshot(world.lock.parent, ambient={})
    assert [problem.af for problem in caught.value.problems] == [code]


def test_a_lock_that_others_may_write_is_refused(world: World) -> None:
    world.install()
    world.write()
    world.lock.chmod(0o666)
    (world.lock.parent / "aetherflow.yaml").write_text("plugins: {locked: plugins.lock}\n")
    with pytest.raises(SpecError) as caught:
        build_snapshot(world.lock.parent, ambient={})
    assert [problem.af for problem in caught.value.problems] == ["AF1601"]


def test_names_are_compared_as_pip_does(world: World) -> None:
    world.install()
    world.lock.write_text(world.write().replace("acme-it", "Acme_It"))
    assert Catalog(installed_in(), rules=world.rules()).find(STEPS, "acme.it").distribution == "acme-it"


def test_a_run_records_the_lock_and_a_resumed_one_tells_what_changed(world: World, tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(
        "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: b, type: check_items, inputs: {items: [1]}}]}]\n"
    )
    (tmp_path / "aetherflow.yaml").write_text("plugins: {locked: plugins.lock}\nroots: {work: w, state: s}\n")
    world.write("aetherflow-core")
    wheels.forget()

    flow = prepare_flow(tmp_path / "flow.yaml", build_snapshot(tmp_path, ambient={}, run_hooks=True))
    found = circumstances_of(flow)
    assert found["locks"] == [read_lock(world.lock).sha256]
    assert set(found["locked"]) == {"aetherflow-core"}
    assert plugin_changes(found, flow) == []
    before = {**found, "locked": {"aetherflow-core": "record:" + "0" * 64}}
    assert re.match(r"aetherflow-core record 0{12} -> (files|record) \w{12}\Z", str(plugin_changes(before, flow)[0]))


def test_an_entry_of_the_old_group_is_not_called_and_told(world: World) -> None:
    wheels.install(world.site, "acme-it", "[aetherflow.plugins]\nold = acme_it.code:It\n", FILES)
    wheels.forget()
    world.lock.write_text("version: 1\ndistributions: {}\n")
    catalog = Catalog(installed_in(), rules=world.rules(), legacy=legacy_plugins())
    for _ in range(2):
        with pytest.raises(PluginNotFoundError):
            catalog.find(STEPS, "acme.it")
    assert [notice.error.code for notice in catalog.notices] == ["AF2108"]
    assert not world.ran.exists()
