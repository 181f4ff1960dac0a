"""Settings of the C allocator that large feature maps need on a CPU."""

import ctypes
import functools
import logging
import platform
import sys

logger = logging.getLogger(__name__)

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Parameter numbers of glibc's ``mallopt``, from its ``malloc.h``."""
_TOP_PAD_BYTES = 64 << 20


@functools.cache
def keep_large_blocks() -> bool:
    """Have freed blocks of any size reused instead of returned to the system; Linux with glibc only.

    glibc maps every block above 32 MiB anew, so each large feature map costs its page faults again: convolutions of
    480p frames take up to three times as long. The price is that memory once used stays with the process. Calling it
    again does nothing.

    Returns:
        Whether the settings took effect.
    """
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, _TOP_PAD_BYTES))
    done = all(libc.mallopt(parameter, value) == 1 for parameter, value in settings)
    if not done:
        logger.warning("glibc refused an allocator setting; large frames will be segmented more slowly")
    return done
