"""So much of Oracle's protocol that a connect is refused."""

import struct

REFUSE = 4


def refusal(code: int) -> bytes:
    """The packet by which a listener refuses a connect with ORA-`code`."""
    text = f"(DESCRIPTION=(TMP=)(VSNNUM=318767104)(ERR={code})(ERROR_STACK=(ERROR=(CODE={code})(EMFI=4))))".encode()
    body = struct.pack(">BBH", 34, 0, len(text)) + text
    return struct.pack(">HHBBH", 8 + len(body), 0, REFUSE, 0, 0) + body
