-- The latest verdicts of named reviewers: 'anonymous' may be several people, an adjudicator has seen the others'.
SELECT explanation_id, rater, verdict
FROM feedback
WHERE rater <> $anonymous AND NOT is_adjudication
ORDER BY explanation_id, rater;
