-- Calls of language models in a trace.
SELECT
    span_id, operation, provider, model, input_tokens, output_tokens, cost, conversation_id, convention,
    left(prompt, 20000) AS prompt, left(completion, 20000) AS completion
FROM genai_calls
WHERE trace_id = $trace_id
LIMIT 200
