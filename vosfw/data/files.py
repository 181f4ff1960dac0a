"""Files that appear whole or not at all."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from vosfw.errors import OutputError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place if all goes well, so that no half file is ever seen.

    Its name ends in ``.part``: what a killed run leaves is taken for a mask or a picture by nobody, and writers must be
    told the format.

    Raises:
        OutputError: If the folder or file cannot be written, or the disk is full.
    """
    draft = path.with_name(f".{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.touch(exist_ok=False)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        try:
            yield draft
        except OSError as error:
            if error.errno in DISK_FULL:
                raise cannot_write(path, error) from error
            raise
        try:
            draft.replace(path)
        except OSError as error:
            raise cannot_write(path, error) from error
    finally:
        draft.unlink(missing_ok=True)


def cannot_write(path: Path | str, error: Exception) -> OutputError:
    """The error to raise when writing ``path`` failed."""
    return OutputError(f"Cannot write '{path}' ({error}). Choose a folder you may write to, with space left.")
