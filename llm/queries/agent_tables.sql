SELECT table_name AS "table", table_type AS "type"
FROM information_schema.tables
WHERE table_schema = 'main'
ORDER BY table_name
