from aetherflow_builtins_db.steps.extracting import ExtractStep


class DbExtract(ExtractStep):
    """Writes the rows of a query to a file: CSV, TSV, JSON Lines or Parquet, compressed if wanted, of any size.

    The suffix sets the format and the compression: `orders.csv.gz`, `orders.jsonl.zst`, `orders.parquet`. With
    `watermark` only new rows are read: when the step has succeeded, the greatest value of a column is stored, and the
    next run gets it as `:watermark`. `db_extract_stream` describes the form of values in the file.

        - id: new_orders
          type: db_extract
          inputs:
            resource: warehouse
            sql: SELECT * FROM orders WHERE id > :watermark ORDER BY id
            output: orders.csv.gz
            watermark: {column: id, initial: 0}
            on_empty: skip
    """

    _quoted_before = False
