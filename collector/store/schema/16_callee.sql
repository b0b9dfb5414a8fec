-- The callee of a span, by its attributes; NULL where they name none. Automatic instrumentation names all HTTP client
-- spans GET or POST: without the callee a dead partner would be hidden among the healthy ones.
-- A numeric address names a machine, and the next deployment has other machines. So only its port is kept, and only a
-- port that no kernel has picked. Loopback addresses stay, since there the port separates services.
CREATE OR REPLACE MACRO callee_host(address, port) AS
    CASE
        WHEN address IS NULL OR address = '' THEN NULL
        WHEN address = 'localhost' OR starts_with(address, '127.') OR address IN ('::1', '[::1]')
            THEN concat_ws(':', address, port)
        WHEN regexp_full_match(address, '[0-9.]+|[^.]*:.*')
            THEN concat_ws(':', '*', CASE WHEN TRY_CAST(port AS INTEGER) < 32768 THEN port END)
        ELSE concat_ws(':', left(address, 100), port)
    END;
CREATE OR REPLACE MACRO callee_of(span_kind, attributes) AS
    CASE
        WHEN span_kind IN ('CLIENT', 'PRODUCER') THEN coalesce(
            nullif(left(attributes['messaging.destination.name']::VARCHAR, 100), ''),
            nullif(left(attributes['messaging.destination']::VARCHAR, 100), ''),  -- its name before 2023
            nullif(left(attributes['peer.service']::VARCHAR, 100), ''),
            callee_host(attributes['server.address']::VARCHAR, attributes['server.port']::VARCHAR),
            callee_host(attributes['net.peer.name']::VARCHAR, attributes['net.peer.port']::VARCHAR),
            callee_host(
                nullif(regexp_extract(
                    coalesce(attributes['url.full']::VARCHAR, attributes['http.url']::VARCHAR),
                    '^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/@?#]*@)?(\[[^\]]*\]|[^/:?#]+)', 1
                ), ''),
                nullif(regexp_extract(
                    coalesce(attributes['url.full']::VARCHAR, attributes['http.url']::VARCHAR),
                    '^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/@?#]*@)?(?:\[[^\]]*\]|[^/:?#]+):([0-9]+)', 1
                ), '')
            )
        )
    END;
