SELECT
    carrier,
    count(*) AS flights,
    count(*) - count(dep_delay) AS cancelled,
    round(avg(dep_delay), 2) AS mean_delay
FROM read_parquet('{{ env_var("FLIGHTS") }}')
GROUP BY carrier
ORDER BY carrier
