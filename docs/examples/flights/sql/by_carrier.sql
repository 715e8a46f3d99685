-- dep_delay is in minutes, negative for an early departure, null for a cancelled flight
SELECT
    carrier,
    count(*) AS flights,
    count(*) - count(dep_delay) AS cancelled,
    round(avg(dep_delay), 2) AS mean_delay,
    count(*) FILTER (WHERE dep_delay > 15) AS late,
    any_value(name) AS airline
FROM flights
JOIN airlines USING (carrier)
GROUP BY carrier
ORDER BY carrier
