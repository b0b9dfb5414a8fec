INSERT INTO span_forms
SELECT service_name, operation, span_kind, aspect, callee, form, sample_count FROM learned_forms
