SELECT column_name AS "column", data_type AS "type"
FROM information_schema.columns
WHERE table_schema = 'main' AND table_name = $table
ORDER BY ordinal_position
