"""`audit --sign` and `--verify` as they are typed; P16 of tests/torture tries edits and honest days."""

import json
import subprocess
from typing import Any

import pytest

from aetherflow.scheduler.cli.app import main
from scheduler_bench import Bench
from warm import forking

VERIFY = ("audit", "--verify", "a.json", "--signers", "signers")


@pytest.fixture
def signed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A day of March with one slot, whose statement is in `a.json`."""
    bench.enter(monkeypatch)
    for name, value in forking().items():
        monkeypatch.setenv(name, value)
    bench.flow(["true"])
    bench.schedule_of({"id": "pay", "cron": "0 2 * * *", "since": "2026-03-02"})
    for key in ("key", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        words = (bench.folder / f"{key}.pub").read_text().split()[:2]
        name = "signers" if key == "key" else "others"
        bench.write(f'audit namespaces="aetherflow-audit" {" ".join(words)}\n', name)
    bench.command("backfill", "scheduler.yaml", "pay", "--from", "2026-03-02", "--to", "2026-03-03", "-q")
    return bench


def sign(day: str = "2026-03-02", out: str = "a.json") -> int:
    return main(["audit", "scheduler.yaml", "--date", day, "--sign", "key", "--out", out, "--json"])


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*words, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_day_is_signed_and_verified(signed: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert sign() == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["ok"], made["number"], made["signature"]) == (True, 1, "a.json.sig")
    found = answer(capsys, *VERIFY)
    assert (found["ok"], found["recomputed"], found["findings"]) == (True, False, [])
    assert found["statements"][0]["counts"] == {"SUCCESS": 1}
    assert found["statements"][0]["key"] == made["key"]
    assert answer(capsys, *VERIFY, "scheduler.yaml")["recomputed"] is True
    openssh = ["ssh-keygen", "-Y", "verify", "-f", "signers", "-I", "audit", "-n", "aetherflow-audit"]
    done = subprocess.run([*openssh, "-s", "a.json.sig"], input=(signed.folder / "a.json").read_bytes(), check=False)
    assert done.returncode == 0
    statement = json.loads((signed.folder / "a.json").read_text())
    assert statement["runs"][0]["fingerprint"]
    assert statement["runs"][0]["head"] == statement["states"][0]["chain"]
    assert "<td>pay</td>" in (signed.folder / "a.json.html").read_text()


def test_another_key_or_another_text_is_a_finding(signed: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    sign()
    found = answer(capsys, "audit", "--verify", "a.json", "--signers", "others", code=1)
    assert "for which others has no line with the principal audit" in found["findings"][0]
    text = (signed.folder / "a.json").read_text()
    (signed.folder / "a.json").write_text(text.replace('"SUCCESS"', '"FAILED"'))
    assert "the signature does not hold" in answer(capsys, *VERIFY, code=1)["findings"][0]
    (signed.folder / "a.json").write_text("{}")
    assert "no statement" in answer(capsys, *VERIFY, code=1)["findings"][0]
    (signed.folder / "a.json").write_text(text[:300])
    assert "cut off after 300 bytes" in answer(capsys, *VERIFY, code=1)["findings"][0]


def test_statements_follow_each_other(signed: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    for place, name in enumerate(("a.json", "b.json", "c.json")):
        assert sign(f"2026-03-0{2 + place}", name) == 0
    given = [word for name in ("a", "b", "c") for word in ("--verify", f"{name}.json")]
    assert answer(capsys, "audit", *given, "--signers", "signers")["ok"]
    assert answer(capsys, "audit", *given[:2], *given[4:], "--signers", "signers", code=1)["findings"] == [
        "c.json is statement 3, not the one after a.json"
    ]
    found = answer(capsys, "audit", "scheduler.yaml", *given[:4], "--signers", "signers", code=1)
    assert found["findings"] == ["b.json: the ledger has made 1 more since: the last ones are not here"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["audit"], "no scheduler document is named"),
        (["audit", "--verify", "a.json"], "--verify needs to know who may sign"),
        (["audit", "--verify", "none.json", "--signers", "signers"], "none.json cannot be verified"),
        (["audit", "scheduler.yaml", "--sign", "key"], "a statement needs --date, --sign and --out"),
        (["audit", "scheduler.yaml", "--date", "x", "--sign", "key", "--out", "b"], "--date 'x' is no day"),
        (["audit", "scheduler.yaml", "--date", "2199-01-01", "--sign", "key", "--out", "b"], "is not over"),
        (["audit", "scheduler.yaml", "--date", "2026-03-02", "--sign", "key", "--out", "key"], "is there already"),
        (["audit", "scheduler.yaml", "--date", "2026-03-02", "--sign", "none", "--out", "b"], "cannot be read"),
    ],
)
def test_what_is_refused(signed: Bench, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert main(words) == 2
    assert said in capsys.readouterr().err
    assert not (signed.folder / "b").exists()
