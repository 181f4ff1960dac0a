"""What the page can ask for. No path, name or address of a request reaches the file system."""

import gzip
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Any

from vosfw.annotate.folder import WorkFolder
from vosfw.annotate.picture import decode_ids, most_bytes
from vosfw.annotate.refused import Refused
from vosfw.annotate.session import Options, Session
from vosfw.annotate.upload import receive
from vosfw.data.io import PALETTE

PARTS = {"page.html": "text/html", "style.css": "text/css"} | {
    f"{name}.js": "text/javascript" for name in ("main", "ask", "guide", "ids", "panel", "png", "view", "tools")
}
"""Files of the page, beside this one."""
MOST_JSON = 1024
Read = Callable[[int], bytes]


@dataclass(frozen=True)
class Answer:
    """What is sent back."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    headers: dict[str, str] = field(default_factory=dict)


def as_json(content: Any, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    """An answer for the page's program."""
    return Answer(json.dumps(content).encode(), status, {"Content-Type": "application/json"})


class Answers:
    """Does what the page asks for.

    Args:
        folder: The working folder, for a video that is still to come.
        options: How to propagate.
        session: The annotation; None if the page has to bring a video first.
        most_upload: Bytes of a video that may be brought.
    """

    def __init__(self, folder: WorkFolder, options: Options, session: Session | None, most_upload: int) -> None:
        self.folder, self.options, self.session, self.most_upload = folder, options, session, most_upload
        self._receiving = Lock()
        here = Path(__file__).parent
        self._parts = {
            f"/{name}": Answer((here / name).read_bytes(), headers={"Content-Type": f"{kind}; charset=utf-8"})
            for name, kind in PARTS.items()
        }
        self._page = self._parts.pop("/page.html")
        self._parts["/favicon.ico"] = Answer(b"", HTTPStatus.NO_CONTENT)
        self._routes: list[tuple[str, str, Callable[..., Answer]]] = [
            ("GET", r"/", lambda *_: self._page),
            ("GET", r"/api/about", self._about),
            ("GET", r"/api/state", lambda *_: as_json(self._session().state())),
            ("GET", r"/api/frame/([0-9]{1,9})", self._frame),
            ("GET", r"/api/mask/([0-9]{1,9})", self._mask),
            ("PUT", r"/api/mask/([0-9]{1,9})", self._put),
            ("POST", r"/api/undo", self._undo),
            ("POST", r"/api/propagate", self._propagate),
            ("POST", r"/api/stop", self._stop),
            ("POST", r"/api/save", self._save),
            ("PUT", r"/api/video", self._video),
        ]

    def static(self, path: str) -> Answer | None:
        """A program or style of the page, which holds no secret."""
        return self._parts.get(path)

    def __call__(self, method: str, path: str, length: int, read: Read) -> Answer:
        """Do what was asked for.

        Args:
            method: Of the request.
            path: Compared with what is known, and used for nothing else.
            length: Bytes of the body.
            read: Reads up to so many of them.

        Raises:
            Refused: If it is unknown or cannot be done.
            VosfwError: If it fails.
        """
        others = False
        for verb, pattern, answer in self._routes:
            if (found := re.fullmatch(pattern, path, re.ASCII)) is None:
                continue
            if verb == method:
                return answer(*found.groups(), length, read)
            others = True
        if others:
            raise Refused(f"{method} is not possible here", HTTPStatus.METHOD_NOT_ALLOWED)
        raise Refused("there is no such thing here", HTTPStatus.NOT_FOUND)

    def _session(self) -> Session:
        if self.session is None:
            raise Refused("there is no video yet; choose a file first")
        return self.session

    def _about(self, length: int, read: Read) -> Answer:
        video = None if self.session is None else self.session.about()
        return as_json({"video": video, "palette": PALETTE.tolist(), "mostUpload": self.most_upload})

    def _frame(self, number: str, length: int, read: Read) -> Answer:
        session = self._session()
        return Answer(session.video.jpeg(self._index(number)), headers={"Content-Type": "image/jpeg"})

    def _mask(self, number: str, length: int, read: Read) -> Answer:
        session, t = self._session(), self._index(number)
        with session.masks.lock:
            ids, kind = session.masks.labels(t), session.masks.kind(t)
        headers = {"Content-Type": "application/octet-stream", "Content-Encoding": "gzip", "X-Mask-Kind": kind}
        return Answer(gzip.compress(ids.tobytes(), 1), headers=headers)

    def _put(self, number: str, length: int, read: Read) -> Answer:
        session, t = self._session(), self._index(number)
        data = _body(length, read, most_bytes(session.video.size))
        session.masks.put(t, decode_ids(data, session.video.size))
        return as_json(session.state())

    def _undo(self, length: int, read: Read) -> Answer:
        frame = self._session().masks.undo()
        return as_json({"frame": frame, **self._session().state()})

    def _propagate(self, length: int, read: Read) -> Answer:
        try:
            asked = json.loads(_body(length, read, MOST_JSON) or b"{}")
        except ValueError as error:
            raise Refused(f"this is no JSON ({error})", HTTPStatus.BAD_REQUEST) from error
        both = asked.get("both", True) if isinstance(asked, dict) else None
        if not isinstance(both, bool):
            raise Refused('wanted {"both": true} or {"both": false}', HTTPStatus.BAD_REQUEST)
        self._session().propagate(both=both)
        return as_json(self._session().state(), HTTPStatus.ACCEPTED)

    def _stop(self, length: int, read: Read) -> Answer:
        self._session().stop()
        return as_json(self._session().state(), HTTPStatus.ACCEPTED)

    def _save(self, length: int, read: Read) -> Answer:
        session = self._session()
        return as_json({"masks": session.save(), **session.state()})

    def _video(self, length: int, read: Read) -> Answer:
        if length > self.most_upload:
            raise Refused(
                f"the file has {length / 1e6:.1f} MB, at most {self.most_upload / 1e6:.0f} are taken; start again with "
                "--max-upload MB, or give the file on the command line",
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )
        if not length:
            raise Refused("the file is empty", HTTPStatus.BAD_REQUEST)
        if not self._receiving.acquire(blocking=False):
            raise Refused("another video is coming in already")
        try:
            if self.session is not None:
                raise Refused("there is a video already; start again with another --out to annotate another")
            self.session = Session(receive(read, length, self.folder), self.folder, self.options)
        finally:
            self._receiving.release()
        return self._about(0, read)

    def _index(self, number: str) -> int:
        count = len(self._session().video)
        if int(number) >= count:
            raise Refused(f"there is no frame {int(number)}; the last is {count - 1}", HTTPStatus.NOT_FOUND)
        return int(number)


def _body(length: int, read: Read, most: int) -> bytes:
    """The whole body, if it is no longer than it may be."""
    if length > most:
        raise Refused(f"{length} bytes; at most {most} are taken here", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    data = read(length)
    if len(data) < length:
        raise Refused("the request broke off", HTTPStatus.BAD_REQUEST)
    return data
