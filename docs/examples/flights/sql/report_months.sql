SELECT
    month, monthname(make_date(2013, month, 1)) AS name, count(*) AS flights, count(*) - count(dep_time) AS cancelled,
    count(*) FILTER (dep_delay > 15) AS late, round(avg(dep_delay), 2) AS "mean delay"
FROM flights
GROUP BY ALL
ORDER BY month
