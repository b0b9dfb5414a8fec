-- The cost of a million tokens of a model: the setting SPYHOP_GENAI_PRICES, written anew at each start.
CREATE TABLE IF NOT EXISTS genai_prices (
    model        VARCHAR NOT NULL,  -- as a model's name begins; the longest that fits counts
    input_price  DOUBLE  NOT NULL,  -- for a million input tokens
    output_price DOUBLE  NOT NULL
);
-- Messages as text: a text as it is, a list of messages as JSON. Asking for the type would read all of a span.
CREATE OR REPLACE MACRO messages_of(v) AS CASE
    WHEN left(v::VARCHAR, 1) = '[' AND left(v::JSON::VARCHAR, 1) = '[' THEN v::JSON::VARCHAR
    ELSE v::VARCHAR
END;
-- Calls of language models, one row each, whichever of three conventions their spans follow: OpenTelemetry's gen_ai.*,
-- OpenLLMetry (an older gen_ai.*, with llm.* and traceloop.*) or OpenInference (llm.*, openinference.span.kind).
-- Spans of chains, agents and tools around them are none. Names that a convention has changed are read in all forms.
CREATE OR REPLACE VIEW genai_calls AS
WITH called AS (
    SELECT
        trace_id, span_id, parent_span_id, service_name, span_name, start_time, duration_ns, status_code, status_message,
        CASE
            WHEN attributes['openinference.span.kind'] IS NOT NULL THEN 'openinference'
            WHEN attributes['llm.request.type'] IS NOT NULL OR attributes['traceloop.workflow.name'] IS NOT NULL
                THEN 'openllmetry'
            ELSE 'gen_ai'
        END AS convention,
        lower(coalesce(
            attributes['gen_ai.operation.name'], attributes['llm.request.type'], attributes['openinference.span.kind']
        )::VARCHAR) AS operation,  -- chat, text_completion, embeddings, llm, embedding
        lower(coalesce(
            attributes['gen_ai.provider.name'], attributes['gen_ai.system'], attributes['llm.provider'],
            attributes['llm.system']
        )::VARCHAR) AS provider,
        coalesce(
            attributes['gen_ai.response.model'], attributes['gen_ai.request.model'], attributes['llm.model_name'],
            attributes['embedding.model_name']
        )::VARCHAR AS model,
        coalesce(
            TRY_CAST(attributes['gen_ai.usage.input_tokens'] AS BIGINT),
            TRY_CAST(attributes['gen_ai.usage.prompt_tokens'] AS BIGINT),
            TRY_CAST(attributes['llm.token_count.prompt'] AS BIGINT)
        ) AS input_tokens,
        coalesce(
            TRY_CAST(attributes['gen_ai.usage.output_tokens'] AS BIGINT),
            TRY_CAST(attributes['gen_ai.usage.completion_tokens'] AS BIGINT),
            TRY_CAST(attributes['llm.token_count.completion'] AS BIGINT)
        ) AS output_tokens,
        coalesce(
            TRY_CAST(attributes['gen_ai.usage.cost'] AS DOUBLE), TRY_CAST(attributes['llm.cost.total'] AS DOUBLE)
        ) AS told_cost,
        coalesce(
            messages_of(attributes['gen_ai.input.messages']),
            attributes['gen_ai.prompt']::VARCHAR,
            attributes['input.value']::VARCHAR,
            nullif(concat_ws(
                chr(10),
                attributes['gen_ai.prompt.0.content']::VARCHAR, attributes['gen_ai.prompt.1.content']::VARCHAR,
                attributes['gen_ai.prompt.2.content']::VARCHAR
            ), '')
        ) AS prompt,
        coalesce(
            messages_of(attributes['gen_ai.output.messages']),
            attributes['gen_ai.completion']::VARCHAR,
            attributes['output.value']::VARCHAR,
            attributes['gen_ai.completion.0.content']::VARCHAR
        ) AS completion,
        coalesce(attributes['gen_ai.conversation.id'], attributes['session.id'])::VARCHAR AS conversation_id
    FROM spans
    WHERE attributes['gen_ai.request.model'] IS NOT NULL
       OR attributes['gen_ai.response.model'] IS NOT NULL
       OR attributes['llm.request.type'] IS NOT NULL
       OR attributes['llm.model_name'] IS NOT NULL
       OR attributes['embedding.model_name'] IS NOT NULL
)
SELECT
    called.* EXCLUDE (told_cost),
    -- What the span says, or else by the price list; NULL where neither knows. A list, since a correlated subquery has
    -- all columns of a call read, prompts too, whichever are asked for: count(*) over 100,000 calls took 4.3 s.
    coalesce(
        told_cost,
        list_transform(
            list_filter(
                (SELECT list(priced ORDER BY length(priced.model) DESC) FROM genai_prices AS priced),
                lambda price: starts_with(called.model, price.model)
            )[:1],
            lambda price: (
                coalesce(called.input_tokens, 0) * price.input_price
                + coalesce(called.output_tokens, 0) * price.output_price
            ) / 1e6
        )[1]
    ) AS cost
FROM called;
