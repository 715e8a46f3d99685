CREATE OR REPLACE TABLE flights AS SELECT * FROM read_parquet(:flights);
CREATE OR REPLACE TABLE airlines AS SELECT * FROM read_csv(:airlines, header = true);
