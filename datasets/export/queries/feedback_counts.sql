-- The latest verdicts of all reviewers, counted.
SELECT count(*) AS total,
       count(*) FILTER (rating = 'up') AS up,
       count(*) FILTER (rating = 'down') AS down,
       count(*) FILTER (verdict = 'partly_right') AS partly_right,
       count(*) FILTER (correction IS NOT NULL) AS corrected
FROM feedback;
