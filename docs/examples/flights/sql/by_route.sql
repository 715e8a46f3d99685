SELECT
    origin,
    dest,
    count(*) AS flights,
    count(*) - count(dep_delay) AS cancelled,
    round(avg(dep_delay), 2) AS mean_delay,
    max(dep_delay) AS worst_delay
FROM flights
GROUP BY origin, dest
ORDER BY origin, dest
