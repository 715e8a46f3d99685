"""Which errors of TLS another attempt may mend."""

import ssl

import httpx
import pytest

from aetherflow_builtins_rest.judge import permanent

EOF = "UNEXPECTED_EOF_WHILE_READING"


@pytest.mark.parametrize(
    ("cls", "number", "library", "reason", "lasts"),
    [
        (ssl.SSLError, ssl.SSL_ERROR_SSL, "SSL", "WRONG_VERSION_NUMBER", True),
        (ssl.SSLCertVerificationError, ssl.SSL_ERROR_SSL, "SSL", "CERTIFICATE_VERIFY_FAILED", True),
        (ssl.SSLCertVerificationError, ssl.SSL_ERROR_SYSCALL, "SSL", "CERTIFICATE_VERIFY_FAILED", True),
        (ssl.SSLEOFError, ssl.SSL_ERROR_EOF, "SSL", EOF, False),
        (ssl.SSLZeroReturnError, ssl.SSL_ERROR_ZERO_RETURN, "SSL", None, False),
        (ssl.SSLError, ssl.SSL_ERROR_SYSCALL, "SSL", EOF, False),  # Python 3.13: sending failed, then receiving
        (ssl.SSLError, ssl.SSL_ERROR_SSL, "SYS", None, False),  # the same of Python 3.11
    ],
)
def test_a_connection_that_broke_is_no_refusal(
    cls: type[ssl.SSLError], number: int, library: str, reason: str | None, lasts: bool
) -> None:
    error = cls(number, "as the ssl module says it")
    error.library, error.reason = library, reason  # type: ignore[assignment]  # None is what it says without a reason
    broken = httpx.ReadError("reading")
    broken.__cause__ = error
    assert permanent(broken) == lasts
