"""Bundles that were changed after they were signed: none is accepted."""

import base64
import random
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from core_bundle_signing import SIGNATURE, STATEMENT, Key, Site
from core_bundle_store import FLOW, store

from aetherflow.core.bundle import sshsig
from aetherflow.core.bundle.failures import BundleSignatureError
from aetherflow.core.bundle.signed import SigningRules, rules_for
from aetherflow.core.bundle.statement import NAMESPACE, read_statement, statement_of

KINDS = 12
TREE = {"flow.yaml": FLOW.encode(), "profiles.yaml": b"{}\n", "sql/a.sql": b"select 1;\n", "go.sh": b"#!/bin/sh\n"}


def flipped(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + bytes([data[at] ^ dice.randrange(1, 256)]) + data[at + 1 :]


def in_the_blob(data: bytes, dice: random.Random) -> bytes:
    """A signature with another byte in it, armoured as it should be."""
    blob = base64.b64decode(b"".join(data.split(b"\n")[1:-2]))
    return sshsig.armored(flipped(blob, dice)).encode()


def other_number(text: bytes, dice: random.Random) -> bytes:
    return text.replace(b'"version": 7', b'"version": %d' % dice.randrange(8, 99))


def other_hash(text: bytes, dice: random.Random) -> bytes:
    """A statement that is sound in itself, about another file."""
    found = read_statement(text)
    return statement_of(
        found.bundle, found.version, {**found.files, "flow.yaml": f"{dice.getrandbits(256):064x}"}, None
    ).text()


def tampered(tree: dict[str, bytes], other: dict[str, bytes], number: int) -> dict[str, bytes]:
    """The tree with one change, of KINDS kinds in turn."""
    dice = random.Random(number)
    found = dict(tree)
    path = dice.choice(list(TREE))
    match number % KINDS:
        case 0:
            found[path] = flipped(found[path], dice)
        case 1:
            found[path] += b"\n" * dice.randrange(1, 9)
        case 2:
            del found[path]
        case 3:
            found[f"new{number}.yaml"] = b"x"
        case 4:
            found[f"moved/{path}"] = found.pop(path)
        case 5:
            found[STATEMENT] = flipped(found[STATEMENT], dice)
        case 6:
            found[SIGNATURE] = in_the_blob(found[SIGNATURE], dice)
        case 7:
            found[SIGNATURE] = found[SIGNATURE][: dice.randrange(len(found[SIGNATURE]) - 1)]
        case 8:
            found[STATEMENT] = other_number(found[STATEMENT], dice)
        case 9:
            found[STATEMENT] = other_hash(found[STATEMENT], dice)
        case 10:  # parts of another version, which is signed by the same key
            part = dice.choice([[SIGNATURE], [STATEMENT], [STATEMENT, SIGNATURE], ["sql/a.sql"]])
            found |= {name: other[name] for name in part}
        case _:
            found[SIGNATURE] = flipped(found[SIGNATURE], dice)
    assert found != tree
    return found


def judged(rules: SigningRules, tree: dict[str, bytes]) -> None:
    rules.judge({path: sha256(data).hexdigest() for path, data in tree.items()}, lambda path, _: tree[path])


def signed(tree: dict[str, bytes], key: Key, number: int) -> dict[str, bytes]:
    text = statement_of("nightly", number, {path: sha256(data).hexdigest() for path, data in tree.items()}, None).text()
    return {**tree, STATEMENT: text, SIGNATURE: sshsig.sign(key.signer, text, NAMESPACE).encode()}


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-256", "rsa"])
def test_no_tampered_bundle_is_accepted(keys: dict[str, Key], kind: str, tmp_path: Path) -> None:
    (tmp_path / "allowed_signers").write_text(f"nightly {keys[kind].line}\n")
    rules = rules_for(tmp_path / "allowed_signers", "nightly", tmp_path / "bundle.yaml", [])
    tree, other = signed(TREE, keys[kind], 7), signed({**TREE, "sql/a.sql": b"x"}, keys[kind], 8)
    judged(rules, tree)
    judged(rules, other)
    accepted = []
    for number in range(300):
        try:
            judged(rules, tampered(tree, other, number))
        except BundleSignatureError:
            continue
        accepted.append(number)
    assert accepted == []


@pytest.mark.parametrize("number", range(KINDS))
def test_no_tampered_bundle_is_synced(site: Site, number: int) -> None:
    def put(tree: dict[str, bytes]) -> None:
        shutil.rmtree(site.release)
        for path, data in tree.items():
            (site.release / path).parent.mkdir(parents=True, exist_ok=True)
            (site.release / path).write_bytes(data)

    tree, other = signed(TREE, site.key, 7), signed({**TREE, "sql/a.sql": b"x"}, site.key, 8)
    put(tree)
    site.call("bundle", "sync")
    put(tampered(tree, other, number))
    active = (store(site.project) / "active").readlink()
    done = site.project.cli("bundle", "sync", "-m", "bundle.yaml")
    # a file that the manifest names is missed before the signature is looked at
    assert (done.code, done.err[:6]) in {(1, "AF7006"), (1, "AF7007"), (1, "AF7008"), (2, "bundle")}, done.err
    assert "AF7004" in done.err or done.code == 1
    assert (store(site.project) / "active").readlink() == active
