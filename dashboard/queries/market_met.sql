-- Whether any span carries amounts or trades.
SELECT
    EXISTS (FROM amount_baselines) OR EXISTS (FROM anomalies WHERE detector = 'market') AS met
