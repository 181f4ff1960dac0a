"""The web server of the page; what it does for the page is in ``requests``."""

import logging
import socket
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from vosfw.annotate.answers import Answer, Answers, as_json
from vosfw.annotate.guard import HEADERS, TOKEN_HEADER, Guard, bracketed
from vosfw.annotate.refused import Refused
from vosfw.errors import ConfigError, VosfwError

log = logging.getLogger(__name__)

IDLE_SECONDS = 30
"""After which a connection that says nothing is closed."""
DRAINED = 1 << 20
"""Bytes of a refused request that are read, so that its sender comes to read the answer."""


class Server(ThreadingHTTPServer):
    """Serves one annotation.

    Args:
        host: Address to listen to.
        port: Port to listen to; 0 takes a free one.
        token: Secret that every request must know.
        answers: What is done for the page.

    Raises:
        ConfigError: If the address cannot be listened to.
    """

    def __init__(self, host: str, port: int, token: str, answers: Answers) -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            self.address_family = found[0]
            super().__init__((found[4][0], port), Handler)  # type: ignore[arg-type]
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"cannot listen to {host}, port {port} ({error}). Choose others with --host, --port."
            ) from error
        self.answers, self.token = answers, token
        self.guard = Guard(host, self.server_address[1], token)
        name = socket.gethostname() if host in ("0.0.0.0", "::", "") else host
        self.url = f"http://{bracketed(name)}:{self.server_address[1]}/?token={token}"

    def server_bind(self) -> None:
        """Like the parent's, without asking a name server for this machine's name."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]


class Handler(BaseHTTPRequestHandler):
    """One request: check it, hand it to ``Answers``, send what comes back."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "vosfw", ""
    timeout = IDLE_SECONDS
    server: Server
    _left = 0

    def _handle(self) -> None:
        self._left = 0
        try:
            answer = self._answer()
        except Refused as error:
            answer = as_json({"error": str(error)}, error.status)
        except VosfwError as error:
            answer = as_json({"error": f"{type(error).__name__}: {error}"}, HTTPStatus.UNPROCESSABLE_ENTITY)
        except TimeoutError:
            answer = as_json({"error": "the request stopped in the middle"}, HTTPStatus.REQUEST_TIMEOUT)
        except Exception as error:  # The page must show it, and others be served.
            log.exception("%s %s failed", self.command, urlsplit(self.path).path)
            text = f"{type(error).__name__}: {error}. The terminal shows where."
            answer = as_json({"error": text}, HTTPStatus.INTERNAL_SERVER_ERROR)
        self._send(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_OPTIONS = _handle  # noqa: N815

    def _answer(self) -> Answer:
        self._left = self._length()
        reached = str(self.connection.getsockname()[0])
        guard = self.server.guard
        guard.check_host(self.headers, reached, changes=self.command not in ("GET", "HEAD"))
        parts = urlsplit(self.path)
        if (part := self.server.answers.static(parts.path)) is not None and self.command == "GET":
            return part
        is_page = self.command == "GET" and parts.path == "/"
        token = parse_qs(parts.query).get("token", [""])[0] if is_page else self.headers.get(TOKEN_HEADER)
        guard.check_token(token)
        return self.server.answers(self.command, parts.path, self._left, self._read)

    def _length(self) -> int:
        """Bytes of the body, which must be told."""
        if self.headers.get("Transfer-Encoding") is not None:
            self.close_connection = True
            raise Refused("say Content-Length; bodies of unknown length are not read", HTTPStatus.LENGTH_REQUIRED)
        told = self.headers.get_all("Content-Length") or ["0"]
        if len(told) > 1 or not (told[0].isascii() and told[0].isdigit() and len(told[0]) < 19):
            self.close_connection = True
            raise Refused("Content-Length is no number of bytes", HTTPStatus.BAD_REQUEST)
        return int(told[0])

    def _read(self, most: int) -> bytes:
        data = self.rfile.read(min(most, self._left))
        self._left -= len(data)
        return data

    def _send(self, answer: Answer) -> None:
        if self._left:
            self.close_connection = True
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self._drain()

    def _drain(self) -> None:
        """Take in the start of a body that was refused: closing at once would reset the connection."""
        if self._left:
            self.connection.settimeout(1)
            left = min(self._left, DRAINED)
            while left > 0 and (data := self.rfile.read1(min(left, 65_536))):
                left -= len(data)

    def handle_one_request(self) -> None:
        """Like the parent's; a browser that hangs up is no error."""
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def end_headers(self) -> None:
        """Every answer is guarded, errors of the parent class too."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Errors of the parent class, such as of a request line that is too long."""
        self.close_connection = True
        self._send(as_json({"error": message or HTTPStatus(code).phrase}, HTTPStatus(code)))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is for people."""
