-- Traces with a whale: none of their amounts is learned.
SELECT DISTINCT trace_id FROM anomalies WHERE detector = 'amount'
