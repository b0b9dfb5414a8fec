-- Templates grow wildcards: the rows of their former words go.
DELETE FROM window_rates
WHERE
    measure = 'log'
    AND NOT EXISTS (
        SELECT 1
        FROM changed c
        WHERE
            c.service_name = window_rates.service_name AND c.operation = window_rates.operation
            AND c.callee_operation = window_rates.callee_operation
    )
