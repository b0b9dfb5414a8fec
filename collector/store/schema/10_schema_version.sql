-- One row for each step of the schema's life; the newest says what this file holds.
-- A file of another version is refused at open (collector/store/version.py names the steps).
CREATE TABLE IF NOT EXISTS schema_version (
    version    INTEGER      NOT NULL,  -- compared with the one the code knows, before anything is read
    applied_at TIMESTAMP_NS NOT NULL,  -- when this file reached that version, UTC
    reason     VARCHAR      NOT NULL   -- one line of why the step was taken
);
