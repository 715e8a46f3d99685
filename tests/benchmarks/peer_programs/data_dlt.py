"""A CSV file appended to a table of PostgreSQL by dlt, from Arrow and by COPY of CSV, as its docs advise for speed."""

import sys

import dlt
import pyarrow.csv

file, url, table, folder = sys.argv[1:]


def rows():
    with pyarrow.csv.open_csv(file) as reader:
        yield from reader


pipeline = dlt.pipeline(
    "bench", pipelines_dir=folder, destination=dlt.destinations.postgres(url), dataset_name="peer_dlt"
)
pipeline.run(rows(), table_name=table, write_disposition="append", loader_file_format="csv")
