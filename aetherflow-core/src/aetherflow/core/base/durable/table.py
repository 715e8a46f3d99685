"""Declarations of the tables of stores."""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Table:
    """A table of a store, declared once: the schema, the chain, copying, pruning and checking read it."""

    name: str
    columns: str
    """The definitions of its columns, with a comma between them; that of the number of a row is not among them."""
    key: str = ""
    """Its key, if that is not the number of a row."""
    number: str = ""
    """The column that numbers the rows of one store."""
    used_once: bool = False
    """No number is given again after its row is gone."""
    of_run: bool = False
    """Its rows go with their run."""
    merged_by: str = ""
    """The key by which rows of two stores are brought together, if they belong to more than one run."""
    unchained: tuple[str, ...] | None = ()
    """Columns that say how far something is, so that no hash has them; None for a table that has no hash at all."""
    more: str = ""
    """Its constraints, each with a comma before it."""
    indexes: tuple[str, ...] = ()

    @cached_property
    def names(self) -> list[str]:
        """Its columns, without the number of a row."""
        return [column.split()[0] for column in self.columns.split(", ")]

    @cached_property
    def order(self) -> str:
        """The order of the rows of one run."""
        return self.number or ", ".join(name for name in self.key.split(", ")[1:] if name != "run_id") or self.key

    @cached_property
    def chained(self) -> list[str]:
        """The columns of the rows of one run that its hash has."""
        return [name for name in self.names if name not in ("flow_id", "run_id", *(self.unchained or ()))]

    @cached_property
    def insertion(self) -> str:
        """The statement that inserts a row, without its number."""
        marks = ", ".join("?" * len(self.names))
        return f"INSERT INTO {self.name} ({', '.join(self.names)}) VALUES ({marks})"  # noqa: S608 names are ours

    @cached_property
    def statements(self) -> str:
        """The statements that make it, with its indexes, each with a semicolon."""
        number = f"{self.number} INTEGER PRIMARY KEY{' AUTOINCREMENT' * self.used_once}, " if self.number else ""
        key, kind = (f", PRIMARY KEY ({self.key})", "WITHOUT ROWID, STRICT") if self.key else ("", "STRICT")
        table = f"CREATE TABLE {self.name} ({number}{self.columns}{self.more}{key}) {kind}"
        return ";\n".join((table, *self.indexes, ""))


def statements_of(*tables: Table) -> str:
    """The statements that make tables, each with a semicolon."""
    return "".join(table.statements for table in tables)
