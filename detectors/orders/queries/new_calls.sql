-- The tokens and the cost of calls to language models in some batches, a row for each, compared within a model.
-- $names: the operations that call models. $prices: for a million tokens, by the beginning of a model's name, the
-- longest first. MATERIALIZED as in new_amounts.sql.
WITH landed AS MATERIALIZED (
    SELECT
        trace_id, span_id, service_name, operation_of(span_name) AS operation, span_kind,
        epoch_ns(start_time) AS start_unix_nano, duration_ns,
        json_extract_string(
            attributes::JSON,
            [
                '$."gen_ai.usage.input_tokens"', '$."gen_ai.usage.prompt_tokens"', '$."llm.token_count.prompt"',
                '$."gen_ai.usage.output_tokens"', '$."gen_ai.usage.completion_tokens"',
                '$."llm.token_count.completion"', '$."gen_ai.usage.cost"', '$."llm.cost.total"',
                '$."gen_ai.response.model"', '$."gen_ai.request.model"', '$."llm.model_name"',
                '$."embedding.model_name"', '$."user.id"', '$."enduser.id"', '$."account.id"'
            ]
        ) AS held
    FROM spans
    WHERE batch_id > $after AND batch_id <= $upto AND list_contains($names, operation_of(span_name))
), calls AS (
    SELECT
        * EXCLUDE (held),
        coalesce(held[13], held[14], held[15], '') AS account,
        -- A separator of our own must not stand in a name.
        left(replace(coalesce(held[9], held[10], held[11], held[12]), chr(31), ' '), 200) AS model,
        CASE
            WHEN held[1] IS NOT NULL THEN {attribute: 'gen_ai.usage.input_tokens', amount: held[1]}
            WHEN held[2] IS NOT NULL THEN {attribute: 'gen_ai.usage.prompt_tokens', amount: held[2]}
            ELSE {attribute: 'llm.token_count.prompt', amount: held[3]}
        END AS input,
        CASE
            WHEN held[4] IS NOT NULL THEN {attribute: 'gen_ai.usage.output_tokens', amount: held[4]}
            WHEN held[5] IS NOT NULL THEN {attribute: 'gen_ai.usage.completion_tokens', amount: held[5]}
            ELSE {attribute: 'llm.token_count.completion', amount: held[6]}
        END AS output,
        CASE
            WHEN held[7] IS NOT NULL THEN {attribute: 'gen_ai.usage.cost', amount: held[7]}
            WHEN held[8] IS NOT NULL THEN {attribute: 'llm.cost.total', amount: held[8]}
            ELSE {attribute: 'cost', amount: NULL}
        END AS told_cost
    FROM landed
), priced AS (
    SELECT
        *,
        list_filter(
            $prices::STRUCT(model VARCHAR, input_price DOUBLE, output_price DOUBLE)[],
            lambda price: starts_with(calls.model, price.model)
        )[1] AS price
    FROM calls
), called AS (
    SELECT
        * EXCLUDE (model, input, output, told_cost, price),
        model AS asset,
        unnest([
            {amount_kind: 'input_tokens', attribute: input.attribute, amount: TRY_CAST(input.amount AS DOUBLE)},
            {amount_kind: 'output_tokens', attribute: output.attribute, amount: TRY_CAST(output.amount AS DOUBLE)},
            {
                amount_kind: 'cost',
                attribute: told_cost.attribute,
                amount: coalesce(
                    TRY_CAST(told_cost.amount AS DOUBLE),
                    (
                        coalesce(TRY_CAST(input.amount AS DOUBLE), 0) * price.input_price
                        + coalesce(TRY_CAST(output.amount AS DOUBLE), 0) * price.output_price
                    ) / 1e6
                )
            }
        ]) AS said
    FROM priced
), amounts AS (
    SELECT
        * EXCLUDE (said, account, asset), NULL::VARCHAR AS order_pair, account,
        said.amount_kind, said.attribute, said.amount, asset, '' AS side, 0.0::DOUBLE AS limit_price,
        0.0::DOUBLE AS fill_price
    FROM called
)
SELECT *
FROM amounts
WHERE amount > 0 AND isfinite(amount) AND asset <> ''
