"""The TLS settings of connections: trusted authorities and the client certificate."""

import ssl
from collections.abc import Callable

from aetherflow_builtins_rest.settings import Config


def context_of(config: Config, *, verify: bool, identity: bool, path: Callable[[str], str]) -> ssl.SSLContext:
    """An SSL context for TLS 1.2 or newer.

    :param verify: whether certificates and host names are checked
    :param identity: whether the client certificate is presented
    :param path: makes paths of the settings absolute

    OSError or ssl.SSLError if a file cannot be read.
    """
    context = ssl.create_default_context(cafile=path(config.ca_file) if config.ca_file else None)
    if config.ca_file is None and not context.get_ca_certs():
        import certifi  # minimal container images have no system store

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
            password.get_secret_value() if password else "",  # "" prevents OpenSSL from asking on a terminal
        )
    return context
