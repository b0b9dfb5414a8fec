"""The decoding process: records in, tables out, until the server closes its end of the socket.

python -m collector.decode.child FILE_DESCRIPTOR
"""

from __future__ import annotations

import signal
import socket
import sys

from collector.decode.frames import receive_request, send_refusal, send_reply
from collector.decode.records import decode_records
from collector.decode.traces import decode_traces

# No other thread waits for the GIL here, and the server sends a few MiB at a time: one call of the parser.
_DECODE_BYTES_MAX = 16 * 1024 * 1024


def main() -> None:
    """Runs until the other side is gone. Ignores Ctrl-C in the terminal: the server drains, then closes."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        decode_traces([b""])  # modules imported by the first call are loaded before the server relies on it
        try:
            send_reply(sock, {})  # ready
            while True:
                _serve(sock)
        except (EOFError, OSError):
            return


def _serve(sock: socket.socket) -> None:
    try:
        request = receive_request(sock)
        decoded = decode_records(request.records, _DECODE_BYTES_MAX, shred=request.shred)
    except EOFError:
        raise
    except Exception as error:  # any failure of the parser: the server then decodes the payload itself
        send_refusal(sock, str(error))
        return
    send_reply(sock, decoded)


if __name__ == "__main__":
    main()
