"""Who may ask: this machine's user alone, and the page alone."""

import hmac
import ipaddress
import socket
from email.message import Message
from http import HTTPStatus

from vosfw.annotate.refused import Refused

TOKEN_HEADER = "X-Vosfw-Token"

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Of every answer."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bracketed(host: str) -> str:
    """A host as an address holds it."""
    return f"[{host}]" if ":" in host else host


class Guard:
    """Checks a request before anything of it is used.

    ``Host`` must name this server, or a page whose name was made to point here could ask in its own name (DNS
    rebinding). ``Origin`` must be the server's, or any page could let a browser ask (cross-site request forgery). The
    token keeps out other users of the machine, who can reach the port too.

    Args:
        host: That the server was told to listen to.
        port: That it listens to.
        token: Secret of this start.
    """

    def __init__(self, host: str, port: int, token: str) -> None:
        self._token = token.encode()
        self._port = port
        self._hosts = {"127.0.0.1", "localhost", "::1", host}
        if not is_loopback(host):
            self._hosts |= {socket.gethostname()}

    def check_host(self, headers: Message, reached: str, *, changes: bool) -> None:
        """Refuse what comes in another name.

        Args:
            headers: Of the request.
            reached: The address of this machine that the request reached.
            changes: Whether the request changes something.

        Raises:
            Refused: With 403.
        """
        names = {bracketed(name).lower() for name in (*self._hosts, reached)}
        known = {f"{name}:{self._port}" for name in names} | (names if self._port == 80 else set())
        host = headers.get("Host", "").lower()
        if host not in known:
            raise Refused("this server is not called like that; open the address in the terminal", HTTPStatus.FORBIDDEN)
        origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site", "none")
        if origin is not None and origin.lower() != f"http://{host}":
            raise Refused("another page asked for this", HTTPStatus.FORBIDDEN)
        if changes and site not in ("same-origin", "none"):
            raise Refused("another page asked for this", HTTPStatus.FORBIDDEN)

    def check_token(self, token: str | None) -> None:
        """Refuse who does not know the secret.

        Raises:
            Refused: With 403.
        """
        if not hmac.compare_digest((token or "").encode(), self._token):
            raise Refused(
                "the address lacks this start's token; open the whole address in the terminal", HTTPStatus.FORBIDDEN
            )
