-- Whom a span calls, as its attributes say; NULL where they do not, or the span calls nobody. HTTP client spans of
-- automatic instrumentation are all called GET or POST: without this a dead partner hides among the healthy ones.
-- An address that is a number names a machine, of which the next deployment has others: its port alone is kept, and
-- that only where no kernel has picked it. Loopback stays: there the port tells services apart.
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
