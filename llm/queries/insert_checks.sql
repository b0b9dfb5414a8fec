INSERT INTO explanation_checks BY NAME
SELECT $explanation_id AS explanation_id, $basis AS basis, $fallback_reason AS fallback_reason,
       $sentences::JSON AS sentences;
