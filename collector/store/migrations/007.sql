-- Files say how times stand in them: those that are there hold nanoseconds in one column. What other collectors
-- have published is read again at the start.
ALTER TABLE lake_files ADD COLUMN IF NOT EXISTS file_format SMALLINT DEFAULT 1;
DROP TABLE IF EXISTS lake_foreign_files;
