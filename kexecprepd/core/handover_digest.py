# SPDX-License-Identifier: LGPL-2.1-or-later
"""One digest of all that a loaded kernel depends on, to tell later whether it is still true."""

import hashlib
import json

from .placement import excluded_ranges
from .presence import absent_ranges, present_memory_map
from .snapshot import Snapshot


def handover_sha256(image: bytes, snapshot: Snapshot) -> str:
    """Hexadecimal digest of the image (b"" where EFI is left out), the memory map without absent
    memory, the absent memory and the excluded ranges.

    It stays the same over a restart and an upgrade: neither the count of generations, nor the
    numbers of the kernel's entries, nor our words for a range go into it.
    """
    content = {
        "image": image.hex(),
        "memory-map": [(each.start, each.end, each.kind) for each in present_memory_map(snapshot)],
        "absent": absent_ranges(snapshot),
        "excluded": [(each.start, each.end) for each in excluded_ranges(snapshot)],
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
