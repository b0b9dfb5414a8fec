-- The lake may lie outside the data folder: its files are named relative to the lake, and the database knows
-- where that is.
ALTER TABLE lake_identity ADD COLUMN lake_folder VARCHAR;
UPDATE lake_files SET path = substr(path, 1 + length('lake/')) WHERE starts_with(path, 'lake/');
