"""A query of PostgreSQL to a Parquet file by ConnectorX, through Arrow."""

import sys

import connectorx
import pyarrow.parquet

url, query, file = sys.argv[1:]
table = connectorx.read_sql(url, query, return_type="arrow")
pyarrow.parquet.write_table(table, file, compression="zstd")
