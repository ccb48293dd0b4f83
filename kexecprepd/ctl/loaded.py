# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tells of the kernel that is loaded, and whether the memory that it was loaded for is still so."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..loader import request
from ..loader.errors import LoadError
from ..loader.request import Loaded
from ..reading.clock import boot_id
from ..reading.kernel import System
from ..reading.tree import words_of
from .exits import CtlError
from .offline import Offline
from .output import wide

STALE = "The kernel that is loaded is stale: the memory is no longer what it was loaded for."
"""What must not happen unnoticed: started, it would use memory that is gone."""

AGAIN = "Load it again: `kexecprepctl load --again`."


@dataclass(frozen=True, slots=True)
class Standing:
    """A kernel that is loaded. `loaded` is None where something else than `kexecprepctl load` has
    loaded it, or where what is remembered is not for this user; `stale` is None where that is not
    known, and `unknown` says why.
    """

    loaded: Loaded | None
    stale: bool | None
    unknown: str = ""


def look(root: Path, system: System) -> Standing | None:
    """The kernel that is loaded, None where there is none or the tree does not tell of any."""
    if not system.kernel_loaded:
        return None
    try:
        loaded = remembered(root)
        if loaded is None:
            return Standing(None, None, "not by kexecprepctl")
        return Standing(loaded, is_stale(root, loaded))
    except (LoadError, CtlError) as error:
        return Standing(None, None, "root is told more" if error.denied else error.sentence)


def remembered(root: Path) -> Loaded | None:
    """What was loaded in this boot, if anything. Raises LoadError where that cannot be told."""
    loaded = request.read(root)
    return loaded if loaded and loaded.boot_id == this_boot(root) else None


def this_boot(root: Path) -> str:
    """The boot id. Raises LoadError."""
    try:
        return boot_id(root)
    except OSError as error:
        sentence = f"Which boot this is cannot be told: {words_of(error)}."
        raise LoadError(sentence, "Mount /proc.") from error


def is_stale(root: Path, loaded: Loaded) -> bool:
    """Whether what a load depends on has changed since, by sysfs as it is now. Raises CtlError.

    The daemon is not asked: it lets memory settle before it looks.
    """
    return loaded.handover_sha256 != Offline(root).handover_sha256(efi=loaded.efi)


def as_json(standing: Standing | None) -> dict[str, Any] | None:
    """For programs; null where no kernel is loaded."""
    if standing is None:
        return None
    loaded = standing.loaded
    return {
        "stale": standing.stale,
        "kernel": loaded.request.kernel.path if loaded else None,
        **wide("generation", loaded.generation if loaded else None),
        "handover-sha256": loaded.handover_sha256 if loaded else None,
        **wide("loaded-at", loaded.loaded_at if loaded else None),
    }


def as_text(standing: Standing) -> str:
    """In one line."""
    if standing.loaded is None:
        return f"yes ({standing.unknown})" if standing.unknown else "yes"
    count = standing.loaded.generation
    when = "" if count is None else f", for generation {count}"
    told = f"{standing.loaded.request.kernel.path}{when}"
    return f"stale: {told}" if standing.stale else told
