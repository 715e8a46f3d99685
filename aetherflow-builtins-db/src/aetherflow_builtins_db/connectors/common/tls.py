"""TLS of connections to servers: checked by default wherever somebody could stand between."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from aetherflow.core.api import is_loopback

if TYPE_CHECKING:
    from aetherflow.core.api import Difference

UNCHECKED = ("disable", "allow", "prefer", "require")
"""Values of `sslmode` with which anybody may pose as the server."""
_WEAK_LOGINS = {"password", "md5"}
_BUNDLE = "ca-certificates.crt"


def is_local(host: str | None) -> bool:
    """Whether a host is this machine: none, a Unix socket, `localhost` or a loopback address; of a list, all of it."""
    hosts = [each.strip() for each in (host or "").split(",")]
    return all(not each or each.startswith(("/", "@")) or is_loopback(each) for each in hosts)


def authorities() -> str:
    """The file with the certificates of the authorities that this machine trusts; ValueError if there is none.

    libpq's own name for it, `system`, is not found by the OpenSSL inside psycopg's binary distribution.
    """
    paths = ssl.get_default_verify_paths()
    for file in (Path(paths.cafile or ""), Path(paths.capath or "/etc/ssl/certs") / _BUNDLE):
        if file.is_file():
            return str(file)
    raise ValueError(
        "this machine has no file with the certificates of authorities: set config.ssl.ca_file, or install "
        "ca-certificates"
    )


def forget_errors() -> None:
    """Empty OpenSSL's queue of errors of this thread; called after a connection was lost.

    Python 3.13.5 may leave the loss in it, and takes it for an error of the next connection that waits in this thread.
    There is no public call for it: an empty list of ciphers is refused, and the queue is emptied with that.
    """
    with suppress(ssl.SSLError):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ciphers("")


def gives_up(arguments: Any) -> bool:
    """Whether arguments of a driver give up TLS, its check, or the protection of the password."""
    if not isinstance(arguments, Mapping):
        return False
    logins = {each.strip() for each in str(arguments.get("require_auth", "")).split(",")}
    return (
        arguments.get("sslmode") in UNCHECKED
        or str(arguments.get("ssl_disabled", "")).lower() in {"true", "1"}
        or bool(logins & _WEAK_LOGINS)
    )


def differences_of_tls(config: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator["Difference"]:
    """The difference from 1.0, which checked no server unless a setting asked for it."""
    from aetherflow.core.api import Difference  # one command needs it

    given, more = config.get("url"), options.get("connect_args")
    split = urlsplit(given) if isinstance(given, str) and "{{" not in given else None
    host = config.get("host") or (split.hostname if split else None)
    asked = {**(more if isinstance(more, Mapping) else {}), **(parse_qs(split.query) if split else {})}
    if config.get("ssl") is not None or any(each.startswith("ssl") for each in asked):
        return
    if isinstance(host, str) and not is_local(host):
        yield Difference(
            ("config",),
            "the connection was encrypted if the server offered it, and nobody checked whose server it was",
            "it is encrypted, and the server needs a certificate of a known authority for this host",
            "ssl: {ca_file: the certificate of its authority}, or nothing if a public one has signed it",
        )


def url_gives_up(url: Any) -> bool:
    """Whether the options in a URL give up what `gives_up` names."""
    if not isinstance(url, str):
        return False
    try:
        return gives_up({name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()})
    except ValueError:
        return False
