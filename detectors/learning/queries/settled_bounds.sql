-- Between which starts (ns since 1970) the relatives of some batches' spans lie; NULL where there are no spans.
SELECT
    epoch_ns(min(start_time))::HUGEINT - 60000000000 AS earliest,
    epoch_ns(max(start_time))::HUGEINT + greatest(max(duration_ns), 0) + 60000000000 AS latest
FROM spans
WHERE batch_id > $after AND batch_id <= $upto
