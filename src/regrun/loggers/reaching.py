"""Checks within seconds whether W&B's server answers."""

from __future__ import annotations

import ssl
import threading
from functools import cache
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.request import Request, build_opener

from regrun.errors import one_line

PATIENCE = 4.0  # seconds
QUERY = b'{"query": "query { viewer { id } }"}'


@cache  # a sweep of a hundred runs waits once
def why_silent(address: str) -> str:
    """The reason why the server does not answer; empty if it does.

    Takes at most ``PATIENCE``, even for unresolvable names and peers that drop packets. Uses the
    environment's proxies. Any response counts, including a refused login or an unknown certificate.

    Args:
        address: URL of the server.
    """
    found = [f"nothing came back within {PATIENCE:g} s"]

    def ask() -> None:
        found[0] = _ask(address) or ""

    # Name resolution has no timeout, and a slow peer restarts it with each packet.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return found[0]


def _ask(address: str) -> str:
    try:
        asked = Request(f"{address.rstrip('/')}/graphql", QUERY, {"Content-Type": "application/json"})
        with build_opener().open(asked, timeout=PATIENCE):  # with the proxies of today
            return ""
    except (HTTPError, HTTPException, ssl.SSLError):
        return ""
    except URLError as error:
        if isinstance(error.reason, ssl.SSLError):
            return ""
        return one_line(error.reason if isinstance(error.reason, Exception) else str(error.reason))
    except (OSError, ValueError) as error:  # the second of what is no address
        return one_line(error)
