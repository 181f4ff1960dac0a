"""A server of ``vosfw annotate`` in this process, and requests to it."""

import http.client
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import numpy as np
from PIL import Image

from vosfw.annotate.answers import Answers
from vosfw.annotate.folder import UPLOAD, WorkFolder
from vosfw.annotate.server import Server
from vosfw.annotate.session import Options, Session
from vosfw.annotate.video import ShownVideo

TOKEN = "a-secret"


@contextmanager
def annotating(
    model, out: Path, video: Path | None = None, *, host="127.0.0.1", most_upload=1_000_000
) -> Iterator[Server]:
    """Serve until the end of the block."""
    folder = WorkFolder(out, UPLOAD if video is None else video.stem)
    try:
        options = Options(model, short_side=96, device="cpu")
        session = None if video is None else Session(ShownVideo(video), folder, options)
        with Server(host, 0, TOKEN, Answers(folder, options, session, most_upload)) as server:
            thread = Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            try:
                yield server
            finally:
                if server.answers.session is not None:
                    server.answers.session.stop(wait=20)
                server.shutdown()
                thread.join()
    finally:
        folder.close()


def ask(server: Server, method: str, path: str, body: bytes | None = None, **headers: str | None):
    """Status, headers and content of an answer; a header of None is left out, ``_`` stands for ``-``."""
    port = server.server_address[1]
    sent = {"Host": f"127.0.0.1:{port}", "X-Vosfw-Token": TOKEN}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        line.putrequest(method, path, skip_host=True)
        if "Content-Length" not in sent and body is not None:
            sent["Content-Length"] = str(len(body))
        for name, value in sent.items():
            if value is not None:
                line.putheader(name, value)
        line.endheaders(body)
        answer = line.getresponse()
        data = answer.read()
    finally:
        line.close()
    if answer.headers["Content-Type"] == "application/json":
        return answer.status, answer.headers, json.loads(data)
    return answer.status, answer.headers, data


def png(ids: np.ndarray, mode: str | None = None) -> bytes:
    """A mask as the page sends it."""
    buffer = io.BytesIO()
    image = Image.fromarray(ids)
    (image if mode is None else image.convert(mode)).save(buffer, "PNG")
    return buffer.getvalue()
