"""TLS: whom we trust, and who we are."""

import ssl
from collections.abc import Callable

from aetherflow_builtins_rest.settings import Config


def context_of(config: Config, *, verify: bool, identity: bool, path: Callable[[str], str]) -> ssl.SSLContext:
    """TLS 1.2 or newer, certificates and host names checked unless `verify` is false; `identity` shows our certificate.

    `path` makes paths of the settings absolute. OSError and ssl.SSLError if a file cannot be read.
    """
    context = ssl.create_default_context(cafile=path(config.ca_file) if config.ca_file else None)
    if config.ca_file is None and not context.get_ca_certs():
        import certifi  # a bare container has no store of its own

        context.load_verify_locations(certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if identity and config.client_cert is not None:
        password = config.client_key_password
        context.load_cert_chain(
            path(config.client_cert),
            path(config.client_key) if config.client_key else None,
            password.get_secret_value() if password else "",  # never asked for on a terminal
        )
    return context
