-- Mean delay per carrier and month, worst first.
SELECT a.name, f.month, count(*) AS flights, CAST(avg(f.dep_delay) AS DECIMAL(10, 2)) AS delay
FROM flights f JOIN airlines a ON a.carrier = f.carrier
GROUP BY a.name, f.month
ORDER BY delay DESC, a.name, f.month
