# SPDX-License-Identifier: LGPL-2.1-or-later
"""Receipts as any loader writes them: by kexecprepd-loaders(7), not by this project's code."""

import json
from pathlib import Path
from typing import Any

from kexecprepd.core.verdict import assess

from .recordings import add_setup_data
from .snapshots import read_snapshot

NODE = 0x6B65_7870
"""The type of the setup_data node."""

FROM = "4f0c1c1e-58f8-4d49-b3a4-e2b6f0f1a2c3"
"""The boot id of the kernel that wrote it."""

LOADED_AT = 1_800_000_000_000_000
"""Microseconds."""


def members(root: Path, **changes: Any) -> dict[str, Any]:
    """The receipt that goes with a tree; a member that is set to None is left out."""
    snapshot = read_snapshot(root)
    content = {
        "format": 1,
        "from-boot-id": FROM,
        "kexec-count": 1,
        "generation": 3,
        "sha256": assess(snapshot).sha256,
        "region-count": len(snapshot.runtime_regions),
        "had": ["variables", "dmi"],
        "loader": "kexecprepctl 0.2",
        "loaded-at": LOADED_AT,
    }
    content |= {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in content.items() if value is not None}


def add_receipt(root: Path, **changes: Any) -> None:
    """Hand a tree's kernel the receipt that goes with it, with these changes."""
    add_setup_data(root, NODE, json.dumps(members(root, **changes)).encode())
