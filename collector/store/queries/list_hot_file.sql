INSERT INTO hot_files
SELECT
    $1,
    $2,
    make_timestamp_ns($3),
    make_timestamp_ns($4),
    make_timestamp_ns($5),
    $6,
    $6,
    $7,
    $8,
    NULL
