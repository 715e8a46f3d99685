"""Replaces a table on PostgreSQL by a new one in a single transaction; readers are blocked only during the swap."""

from collections.abc import Callable

from aetherflow.core.api import SqlTable, StepError
from aetherflow_builtins_db.contract import Transaction
from aetherflow_builtins_db.loading.table import beside

_LOSSES = """
SELECT 'the view ' || v.oid::regclass::text FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
  JOIN pg_class v ON v.oid = r.ev_class
  WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = CAST(:oid AS oid) AND v.oid <> CAST(:oid AS oid)
UNION SELECT 'the foreign key ' || conname FROM pg_constraint
  WHERE contype = 'f' AND CAST(:oid AS oid) IN (conrelid, confrelid)
UNION SELECT 'the trigger ' || tgname FROM pg_trigger WHERE tgrelid = CAST(:oid AS oid) AND NOT tgisinternal
UNION SELECT 'the policy ' || polname FROM pg_policy WHERE polrelid = CAST(:oid AS oid)
UNION SELECT 'its partitions or parents' FROM pg_inherits WHERE CAST(:oid AS oid) IN (inhrelid, inhparent)
UNION SELECT 'its partitions' FROM pg_class WHERE oid = CAST(:oid AS oid) AND relkind <> 'r'
UNION SELECT 'the identity of column ' || attname FROM pg_attribute
  WHERE attrelid = CAST(:oid AS oid) AND attidentity <> '' AND NOT attisdropped
UNION SELECT 'the rights on column ' || attname FROM pg_attribute
  WHERE attrelid = CAST(:oid AS oid) AND attacl IS NOT NULL AND NOT attisdropped
UNION SELECT 'the publication ' || p.pubname FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
  WHERE r.prrelid = CAST(:oid AS oid)
ORDER BY 1
"""
_INDEXES = """
SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
WHERE i.indrelid = CAST(:oid AS oid)
ORDER BY i.indisprimary, i.indisunique, a.amname, i.indkey::text, i.indclass::text, i.indoption::text,
  pg_get_expr(i.indexprs, i.indrelid), pg_get_expr(i.indpred, i.indrelid), c.relname
"""
_SEQUENCES = """
SELECT d.objid::regclass::text, a.attname FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
  JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.refobjid = CAST(:oid AS oid) AND d.classid = 'pg_class'::regclass AND d.deptype = 'a'
"""
_RIGHTS = """
SELECT CASE WHEN e.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END, e.privilege_type, e.is_grantable
FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) e LEFT JOIN pg_roles r ON r.oid = e.grantee
WHERE c.oid = CAST(:oid AS oid)
"""
_FACTS = """
SELECT quote_ident(r.rolname), r.rolname = current_user, obj_description(c.oid, 'pg_class'), c.relacl IS NOT NULL
FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE c.oid = CAST(:oid AS oid)
"""


class Swap:
    """The steps of one replacement."""

    def __init__(self, tx: Transaction, quote: Callable[..., str], table: SqlTable, load_name: str) -> None:
        self._tx, self._quote, self._table = tx, quote, table
        self._staged = beside(table, quote, load_name)

    def check(self) -> None:
        """StepError if the old table has dependents that the new one would lose."""
        losses = [str(text) for (text,) in self._tx.read(_LOSSES, {"oid": self._oid(self._table)})[1]]
        if losses:
            raise StepError(
                f"mode replace would lose {', '.join(losses)} of {self._table.sql}; nothing was changed",
                fix="mode: truncate keeps the table and all that hangs on it; readers wait meanwhile",
            )

    def prepare(self) -> SqlTable:
        self._tx.execute(f"CREATE TABLE {self._staged.sql} (LIKE {self._table.sql} INCLUDING ALL)")
        return self._staged

    def finish(self) -> None:
        """Copy privileges, owner, comment and sequences to the new table, drop the old one, and rename the new one."""
        tx, old, new = self._tx, self._table, self._staged
        tx.execute(f"LOCK TABLE {old.sql} IN ACCESS EXCLUSIVE MODE")
        oid = self._oid(old)
        self._copy_rights(oid)
        for sequence, column in tx.read(_SEQUENCES, {"oid": oid})[1]:
            tx.execute(f"ALTER SEQUENCE {sequence} OWNED BY {new.sql}.{self._quote(column)}")
        names = [row[0] for row in tx.read(_INDEXES, {"oid": oid})[1]]
        made = [row[0] for row in tx.read(_INDEXES, {"oid": self._oid(new)})[1]]
        tx.execute(f"DROP TABLE {old.sql}")
        tx.execute(f"ALTER TABLE {new.sql} RENAME TO {self._quote(old.name)}")
        for name, made_name in zip(names, made, strict=True):
            tx.execute(f"ALTER INDEX {self._quote(new.schema, made_name)} RENAME TO {self._quote(name)}")

    def _oid(self, table: SqlTable) -> int:
        ((oid,),) = self._tx.read("SELECT CAST(CAST(:name AS regclass) AS bigint)", {"name": table.sql})[1]
        return int(oid)

    def _copy_rights(self, oid: int) -> None:
        tx, new = self._tx, self._staged
        ((owner, is_mine, comment, has_rights),) = tx.read(_FACTS, {"oid": oid})[1]
        if comment is not None:
            text = str(comment).replace("'", "''")
            tx.execute(f"COMMENT ON TABLE {new.sql} IS '{text}'")
        if has_rights:
            for grantee, privilege, grantable in tx.read(_RIGHTS, {"oid": oid})[1]:
                option = " WITH GRANT OPTION" if grantable and grantee != owner else ""
                tx.execute(f"GRANT {privilege} ON {new.sql} TO {grantee}{option}")
        if not is_mine:
            tx.execute(f"ALTER TABLE {new.sql} OWNER TO {owner}")
