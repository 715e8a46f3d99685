"""Signing with a key that an SSH agent holds: one request of its protocol."""

import contextlib
import socket

from aetherflow.core.base.errors import UsageError
from aetherflow.core.bundle.sshsig import Signer, fingerprint

SIGN_REQUEST, SIGN_RESPONSE = 13, 14
RSA_SHA2_512 = 4
"""The flag for RSA keys, whose signatures were SHA-1 without it; of other keys it means nothing."""
MAX_ANSWER = 64 << 10


def agent_signer(key: bytes, agent: str | None) -> Signer:
    """Signs with the key whose public part is given; `agent` is the path of the agent's socket. UsageError."""
    if not agent:
        fix = "start one, and add the key: ssh-agent, ssh-add; or name the private key"
        raise UsageError("a public key is named, and there is no agent: SSH_AUTH_SOCK is not set", fix=fix)
    return Signer(key, lambda data: _ask(agent, key, data))


def _ask(agent: str, key: bytes, data: bytes) -> bytes:
    """The agent's signature of the data."""
    request = bytes([SIGN_REQUEST]) + _string(key) + _string(data) + RSA_SHA2_512.to_bytes(4)
    try:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as talk, talk.makefile("rb") as answers:
            talk.connect(agent)
            talk.sendall(_string(request))
            size = int.from_bytes(answers.read(4))
            answer = answers.read(size) if 0 < size <= MAX_ANSWER else b""
    except OSError as error:
        message = f"the agent at {agent} cannot be used: {error.strerror or error}"
        raise UsageError(message, fix="start it again, or name the private key") from error
    # the agent may ask its user first, so there is no limit of time
    if answer[:1] != bytes([SIGN_RESPONSE]):
        message = f"the agent does not sign with {fingerprint(key)}"
        raise UsageError(message, fix="add the key to the agent, ssh-add, or name the private key")
    return answer[5:]


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data
