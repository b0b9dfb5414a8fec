INSERT INTO explanation_context BY NAME
SELECT $explanation_id AS explanation_id, $fingerprint AS fingerprint, $propagation::JSON AS propagation,
       $past::JSON AS past;
