"""Whether W&B's server answers, known in a few seconds whatever the network does."""

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
    """Why the server does not answer, in a few words; empty if it does.

    Takes ``PATIENCE`` at most, for names that are not resolved and for peers that swallow packets, too.
    Proxies are those of the environment. Any answer will do: that nobody has logged in, or a certificate
    that is not known here.

    Args:
        address: the server's URL.
    """
    found = [f"nothing came back within {PATIENCE:g} s"]

    def ask() -> None:
        found[0] = _ask(address) or ""

    # Resolving a name has no timeout of its own, and a slow peer one for each packet.
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
