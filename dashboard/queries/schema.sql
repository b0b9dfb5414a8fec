-- Tables and views with their columns.
SELECT table_name, column_name, data_type
FROM information_schema.columns
ORDER BY table_name, ordinal_position
LIMIT 2000
