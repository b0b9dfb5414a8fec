-- What detection needs of the spans that landed after a position, and no more.
SELECT * EXCLUDE (service_name, span_name, attributes) FROM landed_spans($after, $upto)
