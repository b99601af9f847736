"""Memory settings of foretell's own processes: keep freed memory, and trace fewer objects.

glibc returns large blocks to the system as soon as they are freed, and the pages of the next block
have to be cleared and mapped again. For networks of this size, that takes as long as the
computation. In addition, each full garbage collection traces the objects that torch creates on
import, about 300,000, which takes 0.1 s. Only foretell's own processes use these settings: the
command line and its workers.
"""

import ctypes
import gc
import mmap
import os
import platform
from pathlib import Path

__all__ = ["freeze_objects", "keep_memory"]

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h


HUGE_PAGE = 1 << 21


BLOCK = 1 << 29


MOST = 1 << 32


OVERCOMMIT, NEVER = Path("/proc/sys/vm/overcommit_memory"), "2"


def keep_memory() -> bool:
    """Make this process keep the memory that it frees, in huge pages; returns False if unsupported.

    The effect lasts until the process ends. Peak memory does not change; only addresses are
    reserved, for half of the machine's memory but at most 4 GiB. Requires glibc on Linux. In your
    own program, call it before the first network, if nothing else in the process needs the memory.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    kept = (
        libc.mallopt(M_MMAP_THRESHOLD, (1 << 31) - 1)
        and libc.mallopt(M_TRIM_THRESHOLD, -1)
        and libc.mallopt(M_TOP_PAD, 1 << 26)
    )
    if not kept:
        return False
    blocks = []
    for _ in range(reserve() // BLOCK):
        block = libc.malloc(BLOCK)
        if not block:
            break
        blocks.append(block)
        start = -(-block // HUGE_PAGE) * HUGE_PAGE
        libc.madvise(start, block + BLOCK - start, mmap.MADV_HUGEPAGE)
    for block in reversed(blocks):
        libc.free(block)
    return True


def freeze_objects() -> None:
    """Exempt the objects that exist now, those of torch included, from garbage collection.

    The effect lasts until the process ends. Objects that become garbage later are freed as before,
    unless they are part of a reference cycle. In your own program, call it once everything is
    imported.

    >>> import gc
    >>> freeze_objects()
    >>> gc.get_freeze_count() > 100_000
    True
    >>> gc.unfreeze()
    """
    import torch  # noqa: F401

    gc.collect()
    gc.freeze()


def reserve() -> int:
    """The bytes of addresses to reserve; 0 if the system counts them as used memory."""
    import resource  # not on Windows

    limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    if limited or (OVERCOMMIT.exists() and OVERCOMMIT.read_text().strip() == NEVER):
        return 0
    return min(MOST, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
