"""All that we need of smbprotocol's private parts: its connection, its socket, the state of its file handles.

Why: the library takes a message without a signature where one was agreed upon, copies what it receives three times, has
no setting for how long it waits for an answer, and no way to end a connection under a send that a silent peer holds up.
Without the copies saved large files are slower; the rest has no public way. Tried with smbprotocol 1.16.1 to 1.17.
"""

import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
from smbprotocol import Dialects
from smbprotocol.connection import Ciphers, Connection
from smbprotocol.exceptions import SMBConnectionClosed, SMBException
from smbprotocol.header import Commands, NtStatus, Smb2Flags
from smbprotocol.transport import Tcp

LARGE = 256 << 10
"""Bytes of a message from which on it is decrypted into a buffer that is used again."""
UNSOLICITED = 0xFFFFFFFFFFFFFFFF
"""Number of a message that answers no request; it is never signed, [MS-SMB2] 3.2.5.1.3."""
NONCE_BYTES, BLOCK_BYTES = 12, 16
ASSOCIATED = ("nonce", "original_message_size", "reserved", "flags", "session_id")
"""Fields of an encrypted message's header that its signature covers, [MS-SMB2] 2.2.41."""


class UntrustedAnswerError(SMBException):  # type: ignore[misc]  # the library has no types
    """An answer is not what the request asked for, or not protected as it has to be; it was not taken."""


class UnprotectedError(SMBException):  # type: ignore[misc]  # the library has no types
    """The server does not sign or encrypt as the options ask for."""


class _Socket(Tcp):  # type: ignore[misc]  # the library has no types
    """The library takes what comes piece by piece and copies it twice; the system can fill one buffer.

    A message that stops half-way is the watchdog's matter: it ends the connection.
    """

    def _recv(self, length: int, timeout: float) -> tuple[bytes | None, float]:
        began = time.monotonic()
        with self._close_lock:
            if not self.connected:
                return None, timeout
            if not select.select([self._sock], [], [], max(timeout, 1))[0]:
                raise TimeoutError(f"nothing came for {time.monotonic() - began:.1f} s")
            try:
                data: bytes = self._sock.recv(length, socket.MSG_WAITALL)
            except ConnectionError:
                data = b""
        if len(data) < length:
            self.close()
            return None, timeout
        return data, timeout - (time.monotonic() - began)


class SmbConnection(Connection):  # type: ignore[misc]  # the library has no types
    """A connection whose large messages are received and decrypted with fewer copies, and none is taken unsigned."""

    _plain = bytearray()
    """The last large message; the library's one thread that receives takes out of it what it needs, by copying."""

    def limit_silence(self, seconds: float) -> None:
        """Give the connection up once nothing came for so long."""
        # half: the library asks once whether the server is still there before it gives up
        self._receive_timeout = max(1, int(seconds / 2))

    def cut(self) -> None:
        """End the connection at once, whoever waits in it."""
        # the library's own close waits for the lock of a send that a silent peer may hold up for ever
        with suppress(Exception):
            self._transport._sock.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def forget(file: Any) -> None:
        """Have a file of a broken connection not reported as left open."""
        file.fd._connected = False

    @staticmethod
    @contextmanager
    def logging_in() -> Iterator[None]:
        """UnprotectedError for what the library refuses at a login: it has no class of its own for that."""
        try:
            yield
        except SMBException as error:
            if type(error) is SMBException:
                raise UnprotectedError(str(error)) from error
            raise

    def receive(self, request: Any, wait: bool = True, timeout: Any = None, resolve_symlinks: bool = True) -> Any:
        """The answer to a request; SMBConnectionClosed if none came in time, for which the library has no class."""
        try:
            return super().receive(request, wait, timeout, resolve_symlinks)
        except SMBException as error:
            if type(error) is SMBException and not request.response_event.is_set():
                raise SMBConnectionClosed(str(error)) from error
            raise

    @property
    def transport(self) -> Any:
        """The socket; the library makes it, of its own class."""
        return self._transport

    @transport.setter
    def transport(self, made: Any) -> None:
        if isinstance(made, Tcp):
            made.__class__ = _Socket
        self._transport = made

    def verify_signature(self, header: Any, session_id: int, force: bool = False) -> None:
        """The library passes over a message without a signature, which is what a forger would send.

        What has to be signed goes by the request: the command and the session of an answer are the forger's to say.
        With `force` the library itself insists on the signature, at the end of a login whose request is done with.
        """
        message_id = header["message_id"].get_value()
        if not force and message_id != UNSOLICITED:
            request = self.outstanding_requests.get(message_id)
            asked = None if request is None else request.message["command"].get_value()
            if asked != header["command"].get_value():
                raise UntrustedAnswerError("an answer to another command; it was not taken")
            session = self.session_table.get(session_id)
            if session is not None and (session.signing_required or session.encrypt_data):
                pending = header["status"].get_value() == NtStatus.STATUS_PENDING
                login = asked in (Commands.SMB2_NEGOTIATE, Commands.SMB2_SESSION_SETUP)
                is_signed = header["flags"].has_flag(Smb2Flags.SMB2_FLAGS_SIGNED)
                if not (pending or login) and (session.encrypt_data or not is_signed):
                    raise UntrustedAnswerError(
                        "an answer came without the protection that was agreed upon; it was not taken"
                    )
        try:
            super().verify_signature(header, session_id, force)
        except SMBException as error:
            raise UntrustedAnswerError(str(error)) from error

    def _decrypt(self, message: Any) -> Any:
        cipher = self.cipher_id if self.dialect >= Dialects.SMB_3_1_1 else Ciphers.AES_128_CCM
        size = message["original_message_size"].get_value()
        if size < LARGE or cipher not in (Ciphers.AES_128_GCM, Ciphers.AES_256_GCM):
            try:
                return super()._decrypt(message)
            except SMBException as error:
                raise UntrustedAnswerError(str(error)) from error
        session = self.session_table.get(message["session_id"].get_value())
        if session is None or message["flags"].get_value() != 1:
            raise UntrustedAnswerError("an encrypted message of no session")
        nonce, signature = message["nonce"].get_value()[:NONCE_BYTES], message["signature"].get_value()
        decryptor = Cipher(AES(session.decryption_key), GCM(nonce, signature)).decryptor()
        decryptor.authenticate_additional_data(b"".join(message[name].pack() for name in ASSOCIATED))
        if len(self._plain) < size + BLOCK_BYTES:
            self._plain = bytearray(size + BLOCK_BYTES)
        length = decryptor.update_into(message["data"].get_value(), self._plain)
        decryptor.finalize()  # raises if anything of it is forged
        return memoryview(self._plain)[:length]
