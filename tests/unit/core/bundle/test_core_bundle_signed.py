"""A policy that names who may sign bundles: what is refused, and the way to an older version."""

import shlex
from collections.abc import Callable

import pytest
from core_bundle_signing import SIGNATURE, STATEMENT, Site, make_key, refused
from core_bundle_store import store

from aetherflow.core.bundle import sshsig
from aetherflow.core.runtime.environment import administrator

# The policy


def test_a_signed_bundle_is_synced_and_run(site: Site) -> None:
    made = site.sign()
    assert (made["version"], made["files"], made["plugins_lock"]) == (1, 4, None)
    assert made["allowed_signers"] == f'nightly namespaces="aetherflow-bundle" {site.key.line}'
    signed = site.document("bundle", "sync")["signature"]
    by = {
        "key": made["key"],
        "key_type": "ssh-ed25519",
        "signer": f"{site.signers}:1:1",
        "comment": "ci@example",
    }
    about = {"version": 1, "content": made["content"], "plugins_lock": None}
    assert signed == {**about, **by, "signatures": [{**by, "person": None}]}
    site.call("run", "--run-id", "r1", "-q")
    shown = site.project.cli("runs", "show", "r1").out
    assert f", signed as version 1 by {made['key']}\n" in shown


def expired(site: Site) -> None:
    site.sign()
    site.allow(f'nightly valid-before="20200101Z" {site.key.line}')


def too_early(site: Site) -> None:
    site.sign()
    site.allow(f'nightly valid-after="20990101Z" {site.key.line}')


def by_a_stranger(site: Site) -> None:
    (site.release / SIGNATURE).unlink(missing_ok=True)
    site.sign(key=make_key(site.project.folder / "stranger"))


def for_another_purpose(site: Site) -> None:
    site.sign()
    text = (site.release / STATEMENT).read_bytes()
    (site.release / SIGNATURE).write_text(sshsig.sign(site.key.signer, text, "file"))


def by_a_key_for_files(site: Site) -> None:
    site.sign()
    site.allow(f'nightly namespaces="file" {site.key.line}')


def by_a_key_of_another_bundle(site: Site) -> None:
    site.sign()
    site.allow(f"*,!nightly {site.key.line}")


def of_another_bundle(site: Site) -> None:
    text = site.project.write((site.project.folder / "bundle.yaml").read_text().replace("nightly", "daily"), "d.yaml")
    done = site.project.cli("bundle", "sign", "--key", str(site.key.path), "-m", str(text))
    assert done.code == 0, done.err


def changed(site: Site) -> None:
    site.sign()
    site.publish("drop table x;\n")


def with_a_file_more(site: Site) -> None:
    site.sign()
    (site.release / "more.yaml").write_text("")


def with_a_file_less(site: Site) -> None:
    site.sign()
    (site.release / "go.sh").unlink()


def with_another_statement(site: Site) -> None:
    site.sign()
    path = site.release / STATEMENT
    path.write_text(path.read_text().replace('"version": 1', '"version": 9'))


def without_its_signature(site: Site) -> None:
    site.sign()
    (site.release / SIGNATURE).unlink()


def unsigned(site: Site) -> None:
    """As it is."""


REFUSED: dict[Callable[[Site], None], tuple[str, str]] = {
    unsigned: ("AF7006", f"bundle nightly is not signed: it has no file {STATEMENT}"),
    without_its_signature: ("AF7006", f"it has no file {SIGNATURE}"),
    changed: ("AF7007", "is not what was signed as version 1: sql/a.sql was changed"),
    with_a_file_more: ("AF7007", "more.yaml is not part of it"),
    with_a_file_less: ("AF7007", "go.sh is missing"),
    with_another_statement: ("AF7007", f"{SIGNATURE} does not fit {STATEMENT}"),
    of_another_bundle: ("AF7007", "what is signed is bundle 'daily'"),
    for_another_purpose: ("AF7007", "a signature of namespace 'file', not of aetherflow-bundle"),
    by_a_stranger: ("AF7008", "has no line for it whose principals match 'nightly'"),
    by_a_key_for_files: ("AF7008", 'the key is allowed for namespaces="file", not for aetherflow-bundle'),
    by_a_key_of_another_bundle: ("AF7008", "has no line for it"),
    expired: ("AF7009", "the key was valid until 2020-01-01 00:00:00 UTC"),
    too_early: ("AF7009", "the key is valid only from 2099-01-01 00:00:00 UTC on"),
}


@pytest.mark.parametrize("how", REFUSED, ids=lambda how: how.__name__)
@pytest.mark.parametrize("words", [("bundle", "sync"), ("run", "-q"), ("validate",)], ids=lambda words: words[-1])
def test_every_use_of_a_bundle_refuses_it(site: Site, how: Callable[[Site], None], words: tuple[str, ...]) -> None:
    how(site)
    code, told = REFUSED[how]
    refused(site, code, *words, told=told)


@pytest.mark.parametrize("how", [changed, by_a_stranger, expired], ids=lambda how: how.__name__)
def test_a_version_that_was_good_once_is_judged_again_at_every_use(site: Site, how: Callable[[Site], None]) -> None:
    site.sign()
    site.call("bundle", "sync")
    how(site)
    refused(site, REFUSED[how][0], "run", "-q")
    if how is expired:  # nothing else than the version in the store, which is not valid any more
        (site.release).rename(site.project.folder / "gone")
        refused(site, "AF7009", "run", "-q", "--allow-stale-bundle")


def test_a_version_of_the_time_before_the_policy_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr(administrator, "POLICY_FILE", str(site.policy.with_name("none")))
        site.call("bundle", "sync")
    refused(site, "AF7006")
    assert refused(site, "AF7006", "bundle", "activate", "latest")


def test_without_signers_nothing_is_asked(site: Site) -> None:
    site.policy.write_text("version: 1\nbundles: {rollback: forbid}\n")
    assert site.document("bundle", "sync")["signature"] is None


def test_a_gate_before_the_release_needs_no_signature_unless_code_of_the_bundle_is_run(site: Site) -> None:
    site.call("bundle", "check")
    refused(site, "AF7006", "bundle", "check", "--run-hooks")


# Versions


def release(site: Site, text: str, *words: str) -> int:
    site.publish(text)
    found: int = site.sign(*words)["version"]
    return found


def test_the_counter_rises_with_the_content(site: Site) -> None:
    assert [release(site, text) for text in ("a", "a", "b", "c")] == [1, 1, 2, 3]
    assert release(site, "d", "--version", "70") == 70
    told = site.call("bundle", "sign", "--key", str(site.key.path), "--version", "70").out
    assert "nightly version 70" in told, "the same content"
    site.publish("e")
    told = site.call("bundle", "sign", "--key", str(site.key.path), "--version", "70", code=2).err
    assert (
        f"version 70 is too low: {site.release / STATEMENT} is version 70\n  fix: leave --version out, or name 71"
        in told
    )
    site.publish("d")
    assert (
        "version 69 is too low"
        in site.call("bundle", "sign", "--key", str(site.key.path), "--version", "69", code=2).err
    )
    site.publish("e")
    (site.release / STATEMENT).write_text("{}")
    told = site.call("bundle", "sign", "--key", str(site.key.path), code=1).err
    assert "so the next version is not known\n  fix: name the version of this bundle with --version" in told
    assert release(site, "e", "--version", "71") == 71


def older_source(site: Site) -> str:
    """Version 1 comes back after version 2; returns the content of version 2."""
    release(site, "a")
    old = {path.name: path.read_bytes() for path in (site.release / STATEMENT, site.release / SIGNATURE)}
    site.call("bundle", "sync")
    release(site, "b")
    newer: str = site.document("bundle", "sync")["content_fingerprint"]
    site.publish("a")
    for name, data in old.items():
        (site.release / name).write_bytes(data)
    return newer


def typed(site: Site, err: str) -> None:
    """The command of the advice, with TEXT filled in."""
    words = shlex.split(err.rpartition(": ")[2].replace("TEXT", "'wrong totals'"))
    assert words[0] == "aetherflow"
    done = site.project.cli(*words[1:])
    assert done.code == 0, done.err


@pytest.mark.parametrize("words", [("bundle", "sync"), ("run", "-q")], ids=lambda words: words[0])
def test_an_older_version_from_the_source_needs_a_reason(site: Site, words: tuple[str, ...]) -> None:
    newer = older_source(site)
    told = refused(site, "AF7010", *words, told="is version 1, older than the active version 2")
    typed(site, told)
    status = site.document("bundle", "status")
    assert status["content_fingerprint"] != newer
    assert (status["history"][-1]["action"], status["history"][-1]["reason"]) == ("sync", "wrong totals")
    site.call("run", "-q")


@pytest.mark.parametrize("words", [("rollback",), ("activate", "previous")], ids=lambda words: words[0])
def test_a_rollback_needs_a_reason(site: Site, words: tuple[str, ...]) -> None:
    for text in ("a", "b"):
        release(site, text)
        site.call("bundle", "sync")
    refused(site, "AF7010", "bundle", *words)
    refused(site, "AF7010", "bundle", *words, "--reason", " ")
    typed(site, refused(site, "AF7010", "bundle", *words))
    status = site.document("bundle", "status")
    assert status["history"][-1]["reason"] == status["pinned"]["reason"] == "wrong totals"
    site.call("run", "-q")  # the pinned version
    site.call("bundle", "activate", "latest")  # the way up needs none
    refused(site, "AF7010", "bundle", *words)


def test_a_policy_may_allow_the_way_back(site: Site) -> None:
    site.policy.write_text("version: 1\nbundles: {signers: allowed_signers, rollback: allow}\n")
    older_source(site)
    site.call("bundle", "sync")
    site.call("bundle", "rollback")


def test_two_contents_of_one_version_are_not_both_used(site: Site) -> None:
    release(site, "a")
    site.call("bundle", "sync")
    (site.release / STATEMENT).unlink()
    assert release(site, "b") == 1
    told = refused(site, "AF7010", told="has other content than the active one, and the same version 1")
    assert (
        "sign it with a higher one: aetherflow bundle sign --key FILE --version 2 --bundle-manifest bundle.yaml" in told
    )


def test_the_same_content_under_a_lower_version_is_older(site: Site) -> None:
    """Else the one between, which was taken back, could come after it."""
    release(site, "good")
    first = {path.name: path.read_bytes() for path in (site.release / STATEMENT, site.release / SIGNATURE)}
    for text in ("bad", "good"):
        release(site, text)
        site.call("bundle", "sync")
    for name, data in first.items():
        (site.release / name).write_bytes(data)
    refused(site, "AF7010", told="is version 1, older than the active version 3")


def test_a_key_is_exchanged_without_a_new_version(site: Site) -> None:
    site.sign()
    site.call("bundle", "sync")
    new = make_key(site.project.folder / "new")
    site.allow(f'nightly valid-before="20200101Z" {site.key.line}', f"nightly {new.line}")
    refused(site, "AF7009")
    assert site.sign(key=new)["version"] == 1
    site.call("bundle", "sync")


def test_a_damaged_active_version_does_not_lock_the_way(site: Site) -> None:
    release(site, "a")
    content = site.document("bundle", "sync")["content_fingerprint"]
    root = store(site.project)
    for path in (root / "cache").iterdir():
        path.unlink()
    (root / "versions" / content / STATEMENT).chmod(0o600)
    (root / "versions" / content / STATEMENT).write_text("{}")
    release(site, "b")
    site.call("bundle", "sync")


# The file of the signers


def test_a_signers_file_that_cannot_be_read_is_told(site: Site) -> None:
    site.sign()
    site.signers.unlink()
    assert f"{site.signers}:1:1: AF1003 the signers cannot be read" in site.call("bundle", "sync", code=2).err
    site.signers.write_bytes(b"x" * (1 << 20) + b"y")
    assert "it is larger than" in site.call("bundle", "sync", code=2).err


def test_signers_that_others_may_write_are_refused(site: Site) -> None:
    site.sign()
    site.signers.chmod(0o666)
    told = site.call("bundle", "sync", code=2).err
    assert "AF1601" in told
    assert "it decides whose bundles are used" in told
