"""All uses of pysmb's private names: corrects its requests before they are sent.

Why: the library never requests to replace a file, counts the characters of a name instead of its bytes, opens files for
reading so that others cannot rename them, and decodes every earlier error answer again with each new one. Without the
corrections, an existing file must be deleted before another can get its name, so that the name is missing for a moment;
non-ASCII names fail; reading blocks other programs; and thousands of missing files take minutes.
Tried with pysmb 1.2.14 to 1.2.15.
"""

import struct
from typing import Any

from smb.smb2_structs import SMB2CreateRequest, SMB2SetInfoRequest
from smb.SMBConnection import SMBConnection

RENAME_INFO = 0x0A
FILE_WRITE_DATA, SHARE_ALL = 0x02, 0x07


class PysmbConnection(SMBConnection):  # type: ignore[misc]  # the library has no types
    """pysmb's connection with corrected requests; `replacing`: whether a rename replaces an existing file."""

    replacing = False

    def feedData(self, data: bytes) -> None:  # noqa: N802 the library's name
        self.data_buf = b""  # `data` is one whole answer; what is left is the last one, which was an error
        super().feedData(data)

    def _sendSMBMessage_SMB2(self, message: Any) -> None:  # noqa: N802 the library's name
        payload = message.payload
        if isinstance(payload, SMB2SetInfoRequest) and payload.file_info_class == RENAME_INFO:
            name = payload.data[20:]  # after flag, padding, root directory and name length
            payload.data = struct.pack("<?15xI", self.replacing, len(name)) + name
        if isinstance(payload, SMB2CreateRequest) and not payload.access_mask & FILE_WRITE_DATA:
            payload.share_access = SHARE_ALL
        super()._sendSMBMessage_SMB2(message)
