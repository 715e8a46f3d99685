"""The connector keeps the contract of an HTTP API, and the built-in steps work over it; what is special is below."""

import hashlib
import hmac
from pathlib import Path
from typing import Any

from acme_signed.connector import AcmeSigned
from aetherflow.core.testing import HttpSuite

SECRET = "of-the-t3st"


class TestAcmeSigned(HttpSuite):
    connector = AcmeSigned
    name = "rest.acme_signed"

    def config(self, place: Path) -> dict[str, Any]:
        return {"base_url": self.url, "account": "acme", "secret": SECRET}

    def unreachable(self, place: Path) -> dict[str, Any]:
        return self.config(place) | {"base_url": "http://127.0.0.1:9"}

    def test_the_signature_is_over_all_that_is_sent(self, peer: Any) -> None:
        got = peer.request("POST", "/echo", params={"a": "x y"}, json={"n": 1}).json()
        sent = got["headers"]
        body = hashlib.sha256(got["body"].encode()).hexdigest()
        text = "\n".join([sent["x-acme-time"], "POST", "/echo?a=x+y", body])
        assert sent["x-acme-signature"] == hmac.new(SECRET.encode(), text.encode(), "sha256").hexdigest()
        assert (sent["x-acme-account"], SECRET in str(sent)) == ("acme", False)

    def test_a_signature_goes_to_its_own_host_only(self, peer: Any) -> None:
        elsewhere = self.url.replace("127.0.0.1", "localhost")
        assert "x-acme-signature" not in peer.request("GET", f"{elsewhere}/echo").json()["headers"]
