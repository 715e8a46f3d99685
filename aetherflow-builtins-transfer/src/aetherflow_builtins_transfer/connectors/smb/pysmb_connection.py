"""All that we need of pysmb's private parts: its requests are corrected before they go out.

Why: the library never asks to replace, counts letters of a name where bytes count, shares what it reads with nobody
who renames, and reads answers that were errors again with every later one. Without it: a name that exists has to be
deleted before it is given anew, so that for a moment nothing has it, names beyond ASCII cannot be given, our reading
stands in the way of others, and thousands of files that are missing take minutes. Tried with pysmb 1.2.14 to 1.2.15.
"""

import struct
from typing import Any

from smb.smb2_structs import SMB2CreateRequest, SMB2SetInfoRequest
from smb.SMBConnection import SMBConnection

RENAME_INFO = 0x0A
FILE_WRITE_DATA, SHARE_ALL = 0x02, 0x07


class PysmbConnection(SMBConnection):  # type: ignore[misc]  # the library has no types
    """The library's connection. `replacing` says what a rename does with a name that exists."""

    replacing = False

    def feedData(self, data: bytes) -> None:  # noqa: N802 the library's name
        self.data_buf = b""  # `data` is one whole answer; what is left is the last one, which was an error
        super().feedData(data)

    def _sendSMBMessage_SMB2(self, message: Any) -> None:  # noqa: N802 the library's name
        payload = message.payload
        if isinstance(payload, SMB2SetInfoRequest) and payload.file_info_class == RENAME_INFO:
            name = payload.data[20:]  # behind flag, padding, root folder and the length of the name
            payload.data = struct.pack("<?15xI", self.replacing, len(name)) + name
        if isinstance(payload, SMB2CreateRequest) and not payload.access_mask & FILE_WRITE_DATA:
            payload.share_access = SHARE_ALL
        super()._sendSMBMessage_SMB2(message)
