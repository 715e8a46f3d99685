from aetherflow_builtins_db.steps.extracting import ExtractStep


class DbExtractStream(ExtractStep):
    """Writes the rows of a query to a CSV, TSV, JSON Lines or Parquet file, however many there are.

    The same as `db_extract`. Rows are written in batches, so memory stays small. The file appears complete under its
    name or not at all. In CSV and TSV null is an empty field and empty text is `""`; times are written as PostgreSQL
    and DuckDB do (`2013-01-01 05:00:00`, an instant in UTC with `+00`), bytes are base64. In
    JSON Lines decimals are text and times ISO 8601. Parquet has the database's types: decimals, and instants in UTC.

        - id: delays
          type: db_extract_stream
          inputs:
            resource: warehouse
            sql: SELECT carrier, avg(dep_delay) AS delay FROM flights WHERE month = :month GROUP BY carrier
            params: {month: 7}
            output: delays.parquet
            format: parquet
            on_empty: fail
    """
