"""Memory that a training step gave up is kept for the next one: on a CPU, asking Linux for it anew costs much.

glibc hands blocks of more than 32 MB back as soon as they are free, so every large feature map is paid for again,
page by page, at every step. `python -m train bench --parts memory` says what keeping them is worth here.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
"""Parameters of glibc's mallopt (malloc.h)."""
KEPT = {TRIM_THRESHOLD: -1, MMAP_MAX: 0}
"""Nothing is handed back: see mallopt(3)."""
USUAL = {TRIM_THRESHOLD: 64 << 20, MMAP_THRESHOLD: 32 << 20, MMAP_MAX: 65536}
"""Where glibc's own thresholds, which follow the sizes asked for, end."""


def keep(options: Mapping[int, int] = KEPT) -> bool:
    """Let this process keep the memory that it frees; returns whether the allocator took it (glibc does)."""
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and all([mallopt(name, value) for name, value in options.items()])
