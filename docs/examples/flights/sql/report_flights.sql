SELECT
    make_date(year, month, day) AS date,
    CASE WHEN dep_time IS NULL THEN NULL ELSE make_time(dep_time // 100 % 24, dep_time % 100, 0) END AS departure,
    carrier, flight, origin, dest, dep_delay, arr_delay, air_time, distance
FROM flights
ORDER BY year, month, day, sched_dep_time, carrier, flight
