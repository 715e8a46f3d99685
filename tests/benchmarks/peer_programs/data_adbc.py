"""A query of PostgreSQL to a Parquet file by ADBC, as a stream of Arrow."""

import sys

import adbc_driver_postgresql.dbapi
import pyarrow.parquet

url, query, file = sys.argv[1:]
with adbc_driver_postgresql.dbapi.connect(url) as connection, connection.cursor() as cursor:
    cursor.execute(query)
    reader = cursor.fetch_record_batch()
    with pyarrow.parquet.ParquetWriter(file, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
