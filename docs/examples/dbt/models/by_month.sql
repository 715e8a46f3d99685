SELECT
    month,
    count(*) AS flights,
    round(avg(dep_delay), 2) AS mean_delay
FROM read_parquet('{{ env_var("FLIGHTS") }}')
GROUP BY month
ORDER BY month
