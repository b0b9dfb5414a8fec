-- The operation of a span's name, in which ids are {id}. So a sender that writes `GET /users/83741` has one operation
-- with a history, and not a new one with each request. Ids are numbers of four digits and more, numbers that
-- are a part of a path or a value, groups of digits as dates have them, UUIDs, hexadecimal and mixed tokens, quoted
-- texts and mail addresses; short numbers within words (`v2`, `shard-12`) stay. 0.1 µs a name without digits, 1 to 2 µs
-- with ids.
CREATE OR REPLACE MACRO operation_of(span_name) AS
    CASE
        WHEN NOT regexp_matches(span_name, '[0-9''@]') THEN span_name
        ELSE regexp_replace(
            span_name,
            '''[^'']*''|[^\s/@:?=&]+@[^\s/?&]+'
            || '|\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b'
            || '|\b[0-9]{2,}(?:-[0-9]{2,})+\b'
            || '|\b[0-9a-fA-F]{8,}\b'
            || '|\b(?:[0-9][0-9a-fA-F]{5,6}|[a-fA-F][0-9][0-9a-fA-F]{4,5}|[a-fA-F]{2}[0-9][0-9a-fA-F]{3,4})\b'
            || '|\b[0-9]+(?:[A-Za-z]+[0-9]+){2,}[A-Za-z]*\b|\b(?:[A-Za-z]+[0-9]+){3,}[A-Za-z]*\b'
            || '|\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b'
            || '|[0-9]{4,}|([/=#(,] ?)[0-9]+\b',
            '\1{id}',
            'g'
        )
    END;
