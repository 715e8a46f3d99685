SELECT
    flights.carrier, coalesce(airlines.name, flights.carrier) AS airline, count(*) AS flights,
    count(*) - count(dep_time) AS cancelled, count(*) FILTER (dep_delay > 15) AS late, round(avg(dep_delay), 2) AS mean_delay
FROM flights LEFT JOIN airlines USING (carrier)
GROUP BY ALL
ORDER BY mean_delay DESC
