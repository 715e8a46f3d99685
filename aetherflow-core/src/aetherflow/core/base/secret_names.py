"""Which keys hold secrets, by their names."""

import itertools
import re
from functools import lru_cache

WORDS = frozenset({
    "PASS", "PASSWD", "PASSWORD", "PASSWORDS", "PASSPHRASE", "PASSWORT", "KENNWORT", "PWD", "PW", "SECRET",
    "SECRETS", "TOKEN", "CREDENTIAL", "CREDENTIALS", "APIKEY", "PAT", "SAS", "DSN", "JWT", "BEARER", "WEBHOOK",
    "HTPASSWD",
})  # fmt: skip
"""A name with one of these among its words holds a secret."""
ENDINGS = ("PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "APIKEY", "ACCESSKEY", "SECRETKEY", "PRIVATEKEY")
"""A word that ends so, such as PGPASSWORD."""
JOINED = frozenset({
    "SSHPASS", "DBPASS", "USERPASS", "ROOTPASS", "SMTPPASS", "MAILPASS", "FTPPASS", "CRYPTPASS", "SUDOPASS",
})  # fmt: skip
"""Words that end in PASS and are none such as COMPASS, BYPASS or SSH_ASKPASS."""
KEYS = frozenset({
    "API", "ACCESS", "PRIVATE", "SECRET", "ENCRYPTION", "DECRYPTION", "SIGNING", "FERNET", "MASTER", "STORAGE",
    "ACCOUNT", "LICENSE", "APP", "SA", "SHARED", "SESSION", "SERVICE", "AUTH", "DEPLOY", "HMAC",
})  # fmt: skip
"""What stands before `_KEY` in the name of a secret; PUBLIC, PRIMARY or PARTITION do not."""
PHRASES = ("_CONNECTION_STRING_", "_CONN_STR_", "_AUTH_CONFIG_", "_BASIC_AUTH_", "_REDISCLI_AUTH_", "_PROXY_AUTH_")
NOT_SECRET = ("_PATH", "_FILE", "_URL", "_URI", "_ENDPOINT", "_HOST", "_NAME", "_MODULE")
"""Endings of names that say where a secret is, or how it is called."""
WORKING_FOLDERS = ("PWD", "OLDPWD", "INIT_CWD")
"""Variables of shells; `pwd` as a key of settings is a password."""


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """True for a key whose value is masked; `docs/10-flow-yaml-guide.md` has the rule."""
    if name in WORKING_FOLDERS:
        return False
    parts = re.sub(r"[^A-Z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()).strip("_")
    if parts.endswith(NOT_SECRET) and not parts.endswith("WEBHOOK_URL"):
        return False
    words = parts.split("_")
    return (
        not WORDS.isdisjoint(words)
        or not JOINED.isdisjoint(words)
        or any(word.endswith(ENDINGS) for word in words)
        or any(word == "KEY" and before in KEYS for before, word in itertools.pairwise(words))
        or any(phrase in f"_{parts}_" for phrase in PHRASES)
    )
