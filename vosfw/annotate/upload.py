"""Videos that come through the page."""

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import av

from vosfw.annotate.folder import UPLOAD, WorkFolder
from vosfw.annotate.refused import Refused
from vosfw.annotate.video import ShownVideo
from vosfw.data.files import replacing
from vosfw.errors import DatasetError

MOST_PIXELS = 8192 * 8192
"""Of a frame."""
HEAD = 16
KINDS = {".mp4": "mov", ".mkv": "matroska", ".avi": "avi"}
"""FFmpeg's readers for the files that are taken, by the ending that they get here."""


def kind_of(head: bytes) -> str | None:
    """The ending of a video file by its first bytes, or None.

    Only containers that hold their frames themselves are taken: FFmpeg also reads play lists, which name other files.
    """
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return ".mp4"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return ".mkv"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return ".avi"
    return None


def receive(read: Callable[[int], bytes], length: int, folder: WorkFolder) -> ShownVideo:
    """Store a video under a name of our own, if it can be opened.

    Args:
        read: Reads up to so many bytes of the request.
        length: Bytes of the file.
        folder: Where to keep it.

    Raises:
        Refused: If it breaks off or is of another kind.
        DatasetError: If it cannot be decoded.
        OutputError: If there is no space.
    """
    head = read(min(HEAD, length))
    suffix = kind_of(head)
    if suffix is None:
        raise Refused("this is no mp4, mov, mkv, webm or avi file", HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    target = folder.home / f"{UPLOAD}{suffix}"
    with replacing(target) as draft:
        left = length - len(head)
        with draft.open("wb") as file:
            file.write(head)
            while left > 0 and (block := read(min(left, 1 << 20))):
                file.write(block)
                left -= len(block)
        if left:
            raise Refused(f"the upload broke off {left} bytes before its end; try again", HTTPStatus.BAD_REQUEST)
        _check(draft, KINDS[suffix])
        try:
            ShownVideo(draft)
        except DatasetError as error:
            raise DatasetError(str(error).replace(f"'{draft}'", "this file")) from error
    return ShownVideo(target)


def _check(path: Path, reader: str) -> None:
    try:
        with av.open(str(path), format=reader) as container:
            if not container.streams.video:
                raise Refused("this file has no video stream", HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
            stream = container.streams.video[0]
            if not 0 < stream.width * stream.height <= MOST_PIXELS:
                raise Refused(
                    f"frames of {stream.height}x{stream.width} are too large", HTTPStatus.UNPROCESSABLE_ENTITY
                )
    except (av.error.FFmpegError, OSError) as error:
        raise Refused(f"this file cannot be opened as a video ({error})", HTTPStatus.UNSUPPORTED_MEDIA_TYPE) from error
