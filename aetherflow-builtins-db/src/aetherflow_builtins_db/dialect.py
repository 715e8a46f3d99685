"""How a delimited file is written."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Quoting: TypeAlias = Literal["minimal", "all", "none", "nonnumeric"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a delimited file is written."""

    delimiter: str = ","
    quotechar: str = '"'
    escapechar: str | None = None
    doublequote: bool = True
    quoting: Quoting = "minimal"
    linefeed: str = "\n"
    null_value: str = ""
    encoding: str = "utf-8"
    include_header: bool = True

    @property
    def is_common(self) -> bool:
        r"""Whether databases can write it: UTF-8, `\n`, minimal quoting with doubled quotes, and ASCII signs."""
        plain = self.encoding.lower().replace("_", "-") in {"utf-8", "utf8"} and self.linefeed == "\n"
        doubled = self.doublequote and self.escapechar is None and self.quoting == "minimal"
        return plain and doubled and (self.delimiter + self.quotechar + self.null_value).isascii()
