-- Whether any span carries amounts or trades.
SELECT
    EXISTS (FROM amount_baselines WHERE starts_with(cell, 'order|') OR starts_with(cell, 'transfer|'))
    OR EXISTS (FROM anomalies WHERE detector = 'market') AS met
