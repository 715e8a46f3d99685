"""`aetherflow bundle sign` and `verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetherflow.core.cli.arguments import ConfigOption, JsonOption
from aetherflow.core.cli.bundle_context import ManifestFileOption, WorkRootOption
from aetherflow.core.console.streams import print_json

if TYPE_CHECKING:
    from aetherflow.core.bundle.signed import SigningRules
    from aetherflow.core.cli.bundle_context import BundleHere

SCHEMA = 1
FolderArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="FOLDER", readable=False, help="The tree that is published; default: the folder of a filesystem source."
    ),
]


def sign(
    bundle_manifest: ManifestFileOption,
    key: Annotated[
        Path,
        typer.Option(
            "--key", metavar="FILE", readable=False, help="SSH key; FILE.pub: that of the agent.", show_default=False
        ),
    ],
    folder: FolderArgument = None,
    version: Annotated[
        int | None,
        typer.Option(
            "--version", min=1, metavar="N", help="Version counter; omitted: one more than the last one here."
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a bundle where it is released, with an SSH key: ed25519, ECDSA, or RSA of at least 2048 bits.

    Writes bundle.signed.json into the folder: id and version of the bundle, every file with its hash, the hash of the
    plugin lock; and beside it bundle.signed.json.sig, a signature in the format of ssh-keygen. Publish both with the
    rest. A machine whose policy names signers uses nothing else: not what was changed afterwards, not an older version.
    Signatures that others made of the same files stay: a policy may ask for those of several people.

    The passphrase of an encrypted key comes from AETHERFLOW_SIGN_PASSPHRASE, or is asked for. Of a public key,
    FILE.pub, the private part is expected in the SSH agent.

    Example: aetherflow bundle sign --bundle-manifest bundle.yaml --key ~/.ssh/release
    """
    import shlex

    from aetherflow.core.bundle.signing import load_key, release_of, sign_tree
    from aetherflow.core.bundle.statement import SIGNATURE, STATEMENT
    from aetherflow.core.cli.bundle_context import bundle_here
    from aetherflow.core.runtime.environment.policy import catalog_for

    here = bundle_here(bundle_manifest, None, config)
    release = release_of(here.manifest, catalog_for(here.snapshot), here.snapshot.env, folder)
    signer = load_key(key.expanduser(), lambda: _passphrase(here), here.snapshot.env.get("SSH_AUTH_SOCK"))
    made = sign_tree(release, here.manifest, signer, version)
    statement, tree = made.statement, release.folder
    if as_json:
        document = {
            "schema": SCHEMA,
            "bundle_id": statement.bundle,
            "version": statement.version,
            "content": statement.content,
            "plugins_lock": statement.plugins_lock,
            "files": len(statement.files),
            "statement": str(tree / STATEMENT),
            "signature": str(tree / SIGNATURE),
            "key": made.key,
            "key_type": made.key_type,
            "allowed_signers": made.allowed,
            "signatures": made.signatures,
        }
        print_json(document)
        return
    files = f"{len(statement.files)} file{'s' * (len(statement.files) != 1)}"
    by = made.key
    if (others := made.signatures - 1) > 0:
        by += f", in addition to {others} other signature{'s' * (others > 1)}"
    typer.echo(f"signed: {statement.bundle} version {statement.version}, {files}, by {by}")
    typer.echo(f"wrote {tree / STATEMENT} and {SIGNATURE}; publish both with the bundle")
    check = shlex.join(["aetherflow", "bundle", "verify", str(tree), *here.words, "--signers", "allowed_signers"])
    typer.echo(f"whom it may convince has this line in allowed_signers:\n{made.allowed}")
    typer.echo(f"check it: {check}")


def verify(
    bundle_manifest: ManifestFileOption,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", readable=False, help="A signed tree, in place of the store."),
    ] = None,
    signers: Annotated[
        Path | None,
        typer.Option(
            "--signers", metavar="FILE", readable=False, help="File allowed_signers; default: that of the policy."
        ),
    ] = None,
    work_root: WorkRootOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hash every file of every version and of the cache again, and verify the signature of the active version.

    With FOLDER, verify the signature of a tree instead, before it is published. Who may sign is in the file that the
    administrator's policy or --signers names; without either, signatures are not looked at. Exit code 1 if something is
    damaged, or if the signature does not hold.

    Example: aetherflow bundle verify --bundle-manifest bundle.yaml
    """
    from aetherflow.core.cli.bundle_context import bundle_here

    here = bundle_here(bundle_manifest, work_root, config)
    rules = _rules(here, signers)
    report = _of_store(here, rules) if folder is None else _of_folder(here, rules, folder)
    if as_json:
        print_json({"schema": SCHEMA, **report})
    else:
        _show(here, report)
    raise typer.Exit(0 if report["ok"] else 1)


def _passphrase(here: "BundleHere") -> str | None:
    import getpass
    import sys

    from aetherflow.core.bundle.signing import PASSPHRASE

    found = here.snapshot.env.get(PASSPHRASE)
    if found is None and sys.stdin.isatty():
        found = getpass.getpass("Passphrase of the key: ")
    return found


def _rules(here: "BundleHere", signers: Path | None) -> "SigningRules | None":
    if signers is None:
        return here.rules()
    from aetherflow.core.bundle.signed import rules_for

    return rules_for(signers, here.store.bundle_id, here.manifest.path, here.words)


def _of_store(here: "BundleHere", rules: "SigningRules | None") -> dict[str, Any]:
    from aetherflow.core.bundle.verify import check_blobs, check_version

    store = here.store
    versions = store.versions()
    findings = [finding for each in versions for finding in check_version(store, each.content)]
    findings += check_blobs(store)
    report = {"ok": not findings, "bundle_id": store.bundle_id, "versions": len(versions), "findings": findings}
    active = store.active()
    if rules is None or active is None:
        return {**report, "signature": None, "refused": None}
    from aetherflow.core.bundle.signed import judge_version

    return _judged(report, lambda: judge_version(rules, store, store.version(active)).as_json())


def _of_folder(here: "BundleHere", rules: "SigningRules | None", folder: Path) -> dict[str, Any]:
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.bundle.signing import content_in, release_of
    from aetherflow.core.runtime.environment.policy import catalog_for

    if rules is None:
        message = "no policy of this machine says who may sign the bundle"
        raise UsageError(message, fix="name the file with --signers")
    hashes = release_of(here.manifest, catalog_for(here.snapshot), {}, folder).hashes()
    report = {"ok": True, "bundle_id": here.store.bundle_id, "folder": str(folder), "findings": []}
    return _judged(report, lambda: rules.judge(hashes, content_in(folder)).as_json())


def _judged(report: dict[str, Any], judge: Any) -> dict[str, Any]:
    from aetherflow.core.bundle.failures import BundleSignatureError

    try:
        return {**report, "signature": judge(), "refused": None}
    except BundleSignatureError as error:
        refused = {"code": error.code, "message": error.message, "fix": error.fix}
        return {**report, "ok": False, "signature": None, "refused": refused}


def _show(here: "BundleHere", report: dict[str, Any]) -> None:
    from aetherflow.core.bundle.verify import mending

    findings, signed, refused = report["findings"], report["signature"], report["refused"]
    for finding in findings:
        typer.echo(f"AF7003 {finding}")
    if findings:
        typer.echo(f"  fix: {mending(here.named)}")
    if refused:
        typer.echo(f"{refused['code']} {refused['message']}\n  fix: {refused['fix']}")
    if signed:
        by = []
        for each in signed["signatures"]:
            words = (each["person"], each["key_type"], each["key"], each["comment"])
            by.append(f"{' '.join(filter(None, words))}, allowed at {each['signer']}")
        typer.echo(f"signed: {report['bundle_id']} version {signed['version']} by {'; by '.join(by)}")
    if "versions" in report:
        count = report["versions"]
        checked = f"{count} version{'s' * (count != 1)} checked"
        typer.echo(f"{checked}: {len(findings) or 'no'} finding{'s' * (len(findings) != 1)}")
