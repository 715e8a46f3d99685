"""All uses of smbprotocol's private names: its connection, its socket, the state of its file handles.

Why: the library accepts an unsigned message where signing was agreed upon, copies what it sends and receives several
times, has no setting for the time that it waits for an answer, and cannot end a connection while a send is blocked by a
silent server. Without the saved copies large files are slower; the rest has no public interface. Tried with
smbprotocol 1.16.1 to 1.17.
"""

import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
from smbprotocol import Dialects
from smbprotocol.connection import Ciphers, Connection, SMB2TransformHeader
from smbprotocol.exceptions import SMBConnectionClosed, SMBException
from smbprotocol.header import Commands, NtStatus, Smb2Flags
from smbprotocol.structure import Structure
from smbprotocol.transport import Tcp

LARGE = 256 << 10
"""Size in bytes from which on a message is encrypted and decrypted without the library's copies."""
UNSOLICITED = 0xFFFFFFFFFFFFFFFF
"""Message id of a message that answers no request; it is never signed, [MS-SMB2] 3.2.5.1.3."""
NONCE_BYTES, BLOCK_BYTES = 12, 16
HEADER_BYTES = 52
"""Of an encrypted message, [MS-SMB2] 2.2.41."""
ASSOCIATED = ("nonce", "original_message_size", "reserved", "flags", "session_id")
"""Header fields of an encrypted message that its signature covers, [MS-SMB2] 2.2.41."""


class UntrustedAnswerError(SMBException):  # type: ignore[misc]  # the library has no types
    """An answer does not belong to its request, or lacks the agreed protection; it was discarded."""


class UnprotectedError(SMBException):  # type: ignore[misc]  # the library has no types
    """The server does not sign or encrypt as the options require."""


class _Payload(bytes):
    """The headers in front of the content of a large write, which the library would copy with each of them."""

    content: bytes

    @classmethod
    def of(cls, content: bytes, before: bytes = b"") -> Self:
        made = cls(before)
        made.content = content
        return made

    def __len__(self) -> int:
        return super().__len__() + len(self.content)

    def __radd__(self, before: bytes) -> Self:
        return self.of(self.content, b"".join((before, self)))

    def __add__(self, after: Any) -> Self:
        if after:
            raise TypeError("something follows the content of a write")
        return self


class _Socket(Tcp):  # type: ignore[misc]  # the library has no types
    """Receives a whole message into one buffer; the library receives piece by piece and copies twice.

    If a message stops halfway, the watchdog ends the connection.
    """

    def send(self, message: Any) -> None:
        """Send a message behind its length, without the library's copies of it."""
        if isinstance(message, Structure):
            message = message.pack()
        if len(message) > self.MAX_SIZE:
            raise ValueError(f"a message of {len(message)} bytes; {self.MAX_SIZE} are allowed")
        with self._sock_lock:
            self._sock.sendall(len(message).to_bytes(4, "big"), socket.MSG_MORE)
            self._sock.sendall(message)

    def _recv(self, length: int, timeout: float) -> tuple[bytes | None, float]:
        began = time.monotonic()
        if length > self.MAX_SIZE:  # the library would make room for the 4 GiB that a server may announce
            self.close()
            return None, timeout
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
    """A connection that copies large messages less often and accepts no unsigned message."""

    _plain = bytearray()
    """The last large message; the library's single receiving thread copies what it needs from it."""
    _sealed = bytearray()
    """The last large message that was sent; only the thread that has the session sends such."""

    def limit_silence(self, seconds: float) -> None:
        """End the connection after `seconds` without an answer."""
        # half: the library sends one echo request before it gives up
        self._receive_timeout = max(1, int(seconds / 2))

    def cut(self) -> None:
        """End the connection at once, even while another thread waits in it."""
        # the library's close() waits for the lock of a send, which a silent server may block for ever
        with suppress(Exception):
            self._transport._sock.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def forget(file: Any) -> None:
        """Prevent the library from reporting a file of a broken connection as left open."""
        file.fd._connected = False

    @staticmethod
    @contextmanager
    def logging_in() -> Iterator[None]:
        """Convert the library's refusals at login, which have no own class, to UnprotectedError."""
        try:
            yield
        except SMBException as error:
            if type(error) is SMBException:
                raise UnprotectedError(str(error)) from error
            raise

    def receive(self, request: Any, wait: bool = True, timeout: Any = None, resolve_symlinks: bool = True) -> Any:
        """The answer to a request; SMBConnectionClosed if none arrives in time, for which the library has no class."""
        try:
            return super().receive(request, wait, timeout, resolve_symlinks)
        except SMBException as error:
            if type(error) is SMBException and not request.response_event.is_set():
                raise SMBConnectionClosed(str(error)) from error
            raise

    @property
    def transport(self) -> Any:
        """The library's socket, whose class is replaced by _Socket."""
        return self._transport

    @transport.setter
    def transport(self, made: Any) -> None:
        if isinstance(made, Tcp):
            made.__class__ = _Socket
        self._transport = made

    def verify_signature(self, header: Any, session_id: int, force: bool = False) -> None:
        """Raise UntrustedAnswerError for an unsigned answer, which the library would accept, or a wrong signature.

        Whether an answer must be signed is decided by its request: a forger can choose the command and the session of
        an answer. With `force`, at the end of a login, the library itself requires the signature.
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

    def payload(self, content: bytes, tree: Any) -> Any:
        """What is given to the library to write `content`."""
        session = tree.session
        is_sealed = (session.encrypt_data or tree.encrypt_data) and not session.signing_required
        return _Payload.of(content) if is_sealed and self._is_large(len(content)) else content

    def _encrypt(self, b_data: Any, session: Any) -> Any:
        size = len(b_data)
        if not self._is_large(size):
            return super()._encrypt(b_data, session)
        header, nonce = SMB2TransformHeader(), os.urandom(NONCE_BYTES)
        header["original_message_size"], header["session_id"] = size, session.session_id
        header["nonce"] = nonce.ljust(BLOCK_BYTES, b"\0")
        encryptor = Cipher(AES(session.encryption_key), GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(b"".join(header[name].pack() for name in ASSOCIATED))
        if len(self._sealed) < HEADER_BYTES + size + BLOCK_BYTES:
            self._sealed = bytearray(HEADER_BYTES + size + BLOCK_BYTES)
        sealed, at = memoryview(self._sealed), HEADER_BYTES
        for part in (b_data, b_data.content) if isinstance(b_data, _Payload) else (b_data,):
            at += encryptor.update_into(part, sealed[at:])
        encryptor.finalize()
        header["signature"], header["data"] = encryptor.tag, b""
        sealed[:HEADER_BYTES] = header.pack()
        return sealed[:at]

    def _is_large(self, size: int) -> bool:
        """Whether a message is encrypted and decrypted here."""
        cipher = self.cipher_id if self.dialect >= Dialects.SMB_3_1_1 else Ciphers.AES_128_CCM
        return size >= LARGE and cipher in (Ciphers.AES_128_GCM, Ciphers.AES_256_GCM)

    def _decrypt(self, message: Any) -> Any:
        size = message["original_message_size"].get_value()
        if not self._is_large(size):
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
