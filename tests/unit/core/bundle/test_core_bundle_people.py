"""A policy that asks for signatures of several people, and for a lowest version: attacks, and the way of two people."""

import json
from pathlib import Path

import pytest
from core_bundle_signing import SIGNATURE, STATEMENT, Key, Site, make_key, refused
from core_bundle_store import store

TWO = "version: 1\nbundles:\n  signers: allowed_signers\n  threshold: 2\n"
FLOOR = "version: 1\nbundles:\n  signers: allowed_signers\n  min_version: {nightly: 2, other: 9}\n"
USES = pytest.mark.parametrize("words", [("bundle", "sync"), ("run", "-q"), ("validate",)], ids=lambda words: words[-1])


def of(person: str, key: Key, namespaces: str = "aetherflow-bundle") -> str:
    return f'nightly,{person} namespaces="{namespaces}" {key.line}'


@pytest.fixture
def alice(site: Site) -> Key:
    return site.key


@pytest.fixture
def bob(site: Site) -> Key:
    return make_key(site.project.folder / "bob")


@pytest.fixture
def two(site: Site, alice: Key, bob: Key) -> Site:
    """The policy asks for two people; Alice and Bob may sign."""
    site.policy.write_text(TWO)
    site.allow(of("alice@example.com", alice), of("bob@example.com", bob))
    return site


# Two people


def test_two_people_sign_the_same_files(two: Site, alice: Key, bob: Key) -> None:
    assert two.sign(key=alice)["signatures"] == 1
    before = (two.release / STATEMENT).read_bytes()
    told = two.call("bundle", "sign", "--key", str(bob.path)).out
    assert told.splitlines()[0].endswith(", in addition to 1 other signature")
    assert (two.release / STATEMENT).read_bytes() == before, "the first signature holds"
    found = two.document("bundle", "sync")["signature"]
    assert [each["person"] for each in found["signatures"]] == ["alice@example.com", "bob@example.com"]
    two.call("run", "--run-id", "r1", "-q")
    shown = two.project.cli("runs", "show", "r1").out
    assert ", signed as version 1 by alice@example.com SHA256:" in shown
    assert ", bob@example.com SHA256:" in shown
    assert "by alice@example.com ssh-ed25519 SHA256:" in two.call("bundle", "verify").out
    assert "; by bob@example.com ssh-ed25519 SHA256:" in two.call("bundle", "verify", "release").out


def test_a_change_is_signed_by_both_again(two: Site, alice: Key, bob: Key) -> None:
    for key in (alice, bob, alice):  # who signs twice has one signature
        made = two.sign(key=key)
    assert (made["version"], made["signatures"]) == (1, 2)
    two.publish("select 2;\n")
    made = two.sign(key=alice)
    assert (made["version"], made["signatures"]) == (2, 1), "that of another statement is dropped"
    refused(two, "AF7011", told="is signed by 1 of the 2 people")
    assert two.sign(key=bob)["signatures"] == 2
    two.call("bundle", "sync")


@USES
def test_one_person_is_not_two(two: Site, alice: Key, words: tuple[str, ...]) -> None:
    two.sign(key=alice)
    told = refused(two, "AF7011", *words, told=f"{two.policy}:4:14 asks for: alice@example.com\n")
    assert "bundle nightly, version 1, is signed by 1 of the 2 people" in told
    assert f"fix: let another person of {two.signers} sign the same files as well: aetherflow bundle sign" in told


@USES
@pytest.mark.parametrize("name", ["alice@example.com", "Alice@Example.COM"])
def test_two_keys_of_one_person_count_once(two: Site, alice: Key, bob: Key, words: tuple[str, ...], name: str) -> None:
    two.allow(of("alice@example.com", alice), of(name, bob))
    two.sign(key=alice)
    two.sign(key=bob)
    refused(two, "AF7011", *words, told="is signed by 1 of the 2 people")
    refused(two, "AF7011", *words, told="asks for: alice@example.com with 2 keys\n")


def test_one_signature_twice_counts_once(two: Site, alice: Key) -> None:
    two.sign(key=alice)
    path = two.release / SIGNATURE
    path.write_text(path.read_text() * 2)
    refused(two, "AF7011", told="asks for: alice@example.com\n")


@USES
def test_a_stranger_does_not_count(two: Site, alice: Key, words: tuple[str, ...]) -> None:
    two.sign(key=alice)
    two.sign(key=make_key(two.project.folder / "mallory"))
    told = refused(two, "AF7011", *words, told="is signed by 1 of the 2 people")
    assert "alice@example.com; not counted: bundle nightly is signed by SHA256:" in told


def test_a_key_for_another_purpose_and_one_that_has_ended_do_not_count(two: Site, alice: Key, bob: Key) -> None:
    two.sign(key=alice)
    two.sign(key=bob)
    two.allow(of("alice@example.com", alice), of("bob@example.com", bob, "file"))
    refused(two, "AF7011", told='the key is allowed for namespaces="file", not for aetherflow-bundle')
    two.allow(of("alice@example.com", alice), f'nightly,bob@example.com valid-before="20200101Z" {bob.line}')
    refused(two, "AF7011", told="the key was valid until 2020-01-01")


def test_a_signature_of_another_statement_does_not_count(two: Site, alice: Key, bob: Key) -> None:
    two.sign(key=bob)
    old = (two.release / SIGNATURE).read_text()
    two.publish("drop table x;\n")
    two.sign(key=alice)
    (two.release / SIGNATURE).write_text((two.release / SIGNATURE).read_text() + old)
    refused(two, "AF7007", told=f"{SIGNATURE} does not fit {STATEMENT}")


@pytest.mark.parametrize(
    ("principals", "told"),
    [
        ("nightly", "the line names no person"),
        ("nightly,*@example.com", "*@example.com is not one person"),
        ("nightly,bob@example.com,carol@example.com", "bob@example.com, carol@example.com is not one person"),
        ("nightly,!bob@example.com", "the line names no person"),
    ],
)
def test_a_line_without_one_person_is_told_at_its_place(
    two: Site, alice: Key, bob: Key, principals: str, told: str
) -> None:
    two.allow(of("alice@example.com", alice), f"{principals} {bob.line}")
    two.sign(key=alice)
    two.sign(key=bob)
    err = two.call("bundle", "sync", code=2).err
    assert err.startswith(f"{two.signers}:2:1: AF1103 {told}, and the policy's threshold counts people"), err
    assert "fix: write the person next to the ids of bundles, without blanks: nightly,alice@example.com" in err


def test_only_the_policy_of_the_machine_decides(two: Site, alice: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    two.sign(key=alice)
    project = two.project.folder / "aetherflow.yaml"
    project.write_text("version: 1\nbundles: {threshold: 1}\n")
    assert "unknown key 'bundles'" in two.call("run", "-q", code=2).err
    project.write_text("version: 1\n")
    for name in ("AETHERFLOW_BUNDLES_THRESHOLD", "AETHERFLOW_THRESHOLD"):
        monkeypatch.setenv(name, "1")
    refused(two, "AF7011", "run", "-q")
    manifest = two.project.folder / "bundle.yaml"
    manifest.write_text(manifest.read_text() + "bundles: {threshold: 1}\n")
    assert "unknown key 'bundles'" in two.call("run", "-q", code=2).err


def test_with_a_threshold_of_one_lines_need_no_person(two: Site, alice: Key) -> None:
    two.policy.write_text(TWO.replace("2", "1"))
    two.allow(f"nightly {alice.line}")
    two.sign(key=alice)
    two.sign(key=make_key(two.project.folder / "mallory"))
    two.call("bundle", "sync")
    two.allow(f"nightly,alice@example.com {alice.line}", f"nightly {make_key(two.project.folder / 'ci').line}")
    two.sign(key=Key(two.project.folder / "ci", None))
    assert " by alice@example.com, SHA256:" in two.call("doctor").out


@pytest.mark.parametrize("more", ["threshold: 2", "min_version: {nightly: 2}"])
def test_both_are_about_signed_bundles(site: Site, more: str) -> None:
    site.policy.write_text(f"version: 1\nbundles: {{{more}}}\n")
    told = "`threshold` and `min_version` are about signed bundles: name the file `signers`"
    assert told in site.call("bundle", "sync", code=2).err
    assert told in site.project.cli("validate", "--kind", "policy", str(site.policy)).out


@pytest.mark.parametrize("wrong", ["threshold: 0", "threshold: many", "min_version: {nightly: 0}", "min_version: 3"])
def test_what_is_no_number_of_people_and_no_version_is_refused(site: Site, wrong: str) -> None:
    site.policy.write_text(f"version: 1\nbundles: {{signers: allowed_signers, {wrong}}}\n")
    assert "policy.yaml:2:" in site.call("run", "-q", code=2).err


# Lowest versions


def release(site: Site, text: str) -> dict[str, bytes]:
    """Publish a signed version; returns its files."""
    site.publish(text)
    site.sign()
    return {name: (site.release / name).read_bytes() for name in (STATEMENT, SIGNATURE, "sql/a.sql")}


def replay(site: Site, files: dict[str, bytes]) -> None:
    """Put an older version back into the source."""
    for name, data in files.items():
        (site.release / name).write_bytes(data)


def erase(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.parent.chmod(0o700)
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


@USES
def test_a_version_below_the_floor_is_refused_though_the_store_was_erased(site: Site, words: tuple[str, ...]) -> None:
    site.policy.write_text(FLOOR)
    old = release(site, "a")
    release(site, "b")
    site.call("bundle", "sync")
    replay(site, old)
    erase(store(site.project))
    told = refused(site, "AF7010", *words, told="bundle nightly is version 1, and ")
    assert f"{site.policy}:4:26 admits none below 2" in told
    assert "fix: publish version 2 or a later one; a reason does not admit this one" in told


def test_no_reason_goes_below_the_floor(site: Site) -> None:
    old = release(site, "a")
    site.call("bundle", "sync")
    release(site, "b")
    site.call("bundle", "sync")
    site.policy.write_text(FLOOR)
    for words in (("rollback",), ("activate", "previous")):
        refused(site, "AF7010", "bundle", *words, "--reason", "wrong totals", told="admits none below 2")
    replay(site, old)
    refused(site, "AF7010", "bundle", "sync", "--reason", "wrong totals", told="admits none below 2")
    (site.release / SIGNATURE).unlink()
    site.call("run", "-q", "--allow-stale-bundle")  # version 2, which is the floor


def test_what_is_active_is_not_run_below_the_floor(site: Site) -> None:
    release(site, "a")
    site.call("run", "-q")
    site.policy.write_text(FLOOR)
    refused(site, "AF7010", "run", "-q")
    site.release.rename(site.project.folder / "gone")
    refused(site, "AF7010", "run", "-q", "--allow-stale-bundle")


def test_a_pointer_that_was_moved_by_hand_does_not_go_below_the_floor(site: Site) -> None:
    """As a program does that writes to the store."""
    site.policy.write_text(FLOOR.replace("nightly: 2", "nightly: 1"))
    release(site, "a")
    first = site.document("bundle", "sync")["content_fingerprint"]
    release(site, "b")
    site.call("bundle", "sync")
    site.policy.write_text(FLOOR)
    link = store(site.project) / "active"
    link.unlink()
    link.symlink_to(f"versions/{first}")
    (store(site.project) / "pin.json").write_text(json.dumps({"content": first, "at": "", "by": ""}))
    refused(site, "AF7010", "run", "-q", told="admits none below 2")


def test_the_way_back_does_not_let_in_what_is_between(site: Site) -> None:
    """A rollback with a reason is no reason for the source to go back to another version."""
    release(site, "a")
    site.call("bundle", "sync")
    between = release(site, "b")
    release(site, "c")
    site.call("bundle", "sync")
    assert site.document("bundle", "status")["highest_version"] == 3
    site.call("bundle", "rollback", "--reason", "wrong totals")
    replay(site, between)
    site.call("bundle", "sync")
    told = refused(site, "AF7010", "bundle", "activate", "latest")
    assert "is version 2, older than version 3, which was here before" in told
    assert "to go back on purpose, say why, which is recorded: aetherflow bundle activate latest --reason" in told


def test_a_replay_is_refused_though_history_and_pointer_were_erased(site: Site) -> None:
    old = release(site, "a")
    release(site, "b")
    site.call("bundle", "sync")
    replay(site, old)
    for name in ("active", "history.jsonl", "fingerprints/latest.json"):
        (store(site.project) / name).unlink()
    refused(site, "AF7010", told="is version 1, older than version 2, which was here before")
    assert "highest signed version so far: 2, at " in site.call("bundle", "status").out


def test_what_was_here_before_comes_back_and_no_other_content_of_its_version(site: Site) -> None:
    newest = [release(site, text) for text in ("a", "b")][1]
    site.call("bundle", "sync")
    other = {**newest}
    erase(store(site.project) / "versions")
    (store(site.project) / "active").unlink()
    (site.release / STATEMENT).unlink()
    site.publish("c")
    site.sign("--version", "2")
    told = refused(site, "AF7010", told="has other content than the one that was here before, and the same version 2")
    assert "sign it with a higher one: aetherflow bundle sign --key FILE --version 3" in told
    replay(site, other)
    site.call("bundle", "sync")


def test_a_damaged_record_is_told(site: Site) -> None:
    release(site, "a")
    site.call("bundle", "sync")
    release(site, "b")
    for text in ("{", "[]", '{"version": "1", "statement": "", "at": ""}'):
        (store(site.project) / "highest.json").write_text(text)
        assert "highest.json" in site.call("bundle", "sync", code=4).err


def test_a_version_that_is_back_for_a_reason_stays_in_use(site: Site) -> None:
    old = release(site, "a")
    release(site, "b")
    site.call("bundle", "sync")
    replay(site, old)
    site.call("bundle", "sync", "--reason", "wrong totals")
    (site.release / "profiles.yaml").touch()
    site.call("run", "-q")
    release(site, "c")
    assert site.sign("--version", "3")["version"] == 3
    site.call("run", "-q")


# What is shown


def test_validate_doctor_and_explain_show_the_policy(two: Site, alice: Key, bob: Key) -> None:
    two.policy.write_text(f"{TWO}  min_version: {{nightly: 1}}\n")
    two.sign(key=alice)
    two.sign(key=bob)
    line = (
        f"signed: nightly version 1 by alice@example.com, bob@example.com; {two.policy}:4:14 asks for 2 people; "
        f"{two.policy}:5:26 admits none below version 1\n"
    )
    assert line in two.call("validate").err
    assert line in two.call("doctor").out
    for words in (("explain", "bundle.yaml"), ("explain", "-m", "bundle.yaml")):
        shown = " ".join(two.project.cli(*words).out.split())
        assert f"bundles.threshold 2 policy {two.policy}:4:14" in shown
        assert f'bundles.min_version {{"nightly": 1}} policy {two.policy}:5:16' in shown
        assert "bundles.rollback forbid default" in shown
    value = two.document("explain", "--value", "settings.bundles.threshold")["values"]
    assert value["settings.bundles.threshold"]["value"] == 2
