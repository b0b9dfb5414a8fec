SELECT source, count(*) AS explanation_count
FROM explanations
GROUP BY source
ORDER BY source;
