"""Classifies errors of python-oracledb by the code of Oracle (ORA) or of the driver (DPY, DPI)."""

from collections.abc import Mapping

from aetherflow_builtins_db.failures import Failure, causes, failure_of_os

_CODES: Mapping[str, Failure] = {
    **dict.fromkeys(("ORA-01005", "ORA-01017", "DPY-4001"), Failure.LOGIN),
    **dict.fromkeys(("ORA-28000", "ORA-28001"), Failure.ACCOUNT_LOCKED),
    **dict.fromkeys(("ORA-12505", "ORA-12514", "DPY-6001", "DPY-6003"), Failure.NO_DATABASE),
    **dict.fromkeys(("DPY-4000", "DPY-4026", "DPY-4027"), Failure.BAD_ADDRESS),
    "ORA-12545": Failure.NO_HOST,
    "ORA-12541": Failure.REFUSED,
    **dict.fromkeys(("ORA-01033", "ORA-12528"), Failure.STARTING),
    **dict.fromkeys(("ORA-12516", "ORA-12520"), Failure.TOO_MANY_CONNECTIONS),
    **dict.fromkeys(("ORA-12170", "DPY-6000"), Failure.CONNECT_TIMEOUT),
    **dict.fromkeys(("ORA-03136", "DPY-4024"), Failure.STATEMENT_TIMEOUT),
    **dict.fromkeys(("DPI-1047", "DPI-1072"), Failure.NO_DRIVER),
    "DPY-2019": Failure.MODES_DIFFER,
    "ORA-01013": Failure.INTERRUPTED,
    "ORA-00060": Failure.DEADLOCK,
    "ORA-08177": Failure.CONFLICT,
    **dict.fromkeys(("ORA-00257", "ORA-01536", "ORA-19815"), Failure.DISK_FULL),
    "ORA-00942": Failure.NO_TABLE,
    "ORA-00904": Failure.NO_COLUMN,
    **dict.fromkeys(("ORA-01456", "ORA-16000"), Failure.READ_ONLY),
    **dict.fromkeys(("ORA-01031", "ORA-41900"), Failure.NO_RIGHT),
    "ORA-00001": Failure.UNIQUE_VIOLATION,
    **dict.fromkeys(("ORA-00955", "ORA-01400", "ORA-02291"), Failure.CONSTRAINT),
    **dict.fromkeys(("DPY-3002", "DPY-3013"), Failure.BAD_PARAMETER),
    **dict.fromkeys(("ORA-03113", "ORA-03114", "ORA-03135", "DPY-1001", "DPY-4011"), Failure.CONNECTION_LOST),
}
_RANGES: Mapping[range, Failure] = {
    range(600, 800): Failure.SYNTAX,
    range(900, 1000): Failure.SYNTAX,
    range(1650, 1660): Failure.DISK_FULL,
    range(6550, 6551): Failure.SYNTAX,
}
"""By Oracle's message number; 6550 is an error of the PL/SQL compiler."""


def failure_of(error: BaseException) -> Failure:
    """Classify an error of the driver, or an OSError behind it."""
    if isinstance(error, TypeError | ValueError | AttributeError | OverflowError):
        return Failure.BAD_PARAMETER
    for each in causes(error):  # the cause of a failed connection is in the error behind the driver's
        told = each.args[0] if each.args else None
        number = getattr(told, "code", 0)  # the driver puts a code of its own before some of Oracle's
        for code in (getattr(told, "full_code", ""), f"ORA-{number:05}"):
            if code in _CODES:
                return _CODES[code]
        for numbers, kind in _RANGES.items():
            if number in numbers:
                return kind
    return failure_of_os(error) or Failure.OTHER
