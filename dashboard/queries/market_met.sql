-- Whether anything carries amounts or is traded.
SELECT
    EXISTS (FROM amount_baselines) OR EXISTS (FROM anomalies WHERE detector = 'market') AS met
