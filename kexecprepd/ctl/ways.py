# SPDX-License-Identifier: LGPL-2.1-or-later
"""The two ways of a load, all ready to be gone: by a plan of ours, or by the kernel itself."""

import os
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from .. import __version__
from ..core.cmdline import runtime_off_option
from ..core.facilities import present
from ..core.finding import State
from ..core.origin import Origin, StartedBy
from ..core.presence import absent_at_boot
from ..core.receipt import Receipt
from ..core.surroundings import OF_FIRMWARE, OF_KEXEC_LOAD, cautions
from ..loader import fileload, kexec
from ..loader.errors import LoadError
from ..loader.plan import SEED_SIZE, Plan, draft, finish
from ..loader.syscall import Call
from ..reading.clock import now
from ..reading.firmware import read_firmware
from ..reading.kernel import read_origin, read_system
from ..reading.surroundings import read_surroundings
from .client import Client
from .exits import CtlError, Exit
from .here import HERE
from .load_source import Image, Source, of_daemon, of_tree
from .loaded import this_boot
from .offline import Offline
from .origin_view import origin_of
from .output import plural
from .wanted import Wanted

_DEGRADED = "There are warnings about the maps: `kexecprepctl check` says which."


@dataclass(frozen=True, slots=True)
class Placed:
    """A plan of what goes where, of one generation of the map throughout: kexec_load(2)."""

    source: Source
    plan: Plan

    call = Call.LOAD

    def load(self, _wanted: Wanted) -> None:
        """Do it. Raises LoadError."""
        kexec.load(self.plan)

    @property
    def depends_on_image(self) -> bool:
        """Whether another image makes it stale."""
        return self.source.image is not None

    @property
    def handover_sha256(self) -> str:
        """The digest of what it depends on."""
        return self.source.handover_sha256

    @property
    def generation(self) -> int | None:
        """The daemon's count, None where the daemon was not asked."""
        return self.source.generation

    @property
    def five_level_paging(self) -> bool:
        """Whether the running kernel has it on."""
        return self.source.machine.five_level_paging

    @property
    def hands_efi_over(self) -> bool:
        """Whether the next kernel gets EFI."""
        return self.plan.efi

    @property
    def efi(self) -> str:
        """What becomes of EFI, in words."""
        image = self.source.image
        if not self.plan.efi or image is None:
            return "left out"
        return f"handed over, with {plural(image.region_count, 'runtime region')}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, in whole sentences."""
        notes = [*self.source.notes, *self.plan.notes]
        if self.source.image and self.source.image.state is State.DEGRADED:
            notes.append(_DEGRADED)
        return tuple(notes)


@dataclass(frozen=True, slots=True)
class ByKernel:
    """The kernel places everything, and packs EFI by itself, if it has it: kexec_file_load(2).

    `reason` is why it has none to hand over, "" where it has; `notes` are whole sentences.
    """

    handover_sha256: str
    reason: str
    five_level_paging: bool
    notes: tuple[str, ...]

    call = Call.FILE
    depends_on_image = False
    generation = None

    def load(self, wanted: Wanted) -> None:
        """Do it. Raises LoadError."""
        fileload.load(wanted.linux, wanted.initrds, wanted.initrd, wanted.cmdline)

    @property
    def hands_efi_over(self) -> bool:
        """Whether the next kernel gets EFI."""
        return not self.reason

    @property
    def efi(self) -> str:
        """What becomes of EFI, in words."""
        return "left out" if self.reason else "handed over by the kernel itself"


Way = Placed | ByKernel


def prepare(call: Call, wanted: Wanted, options: Namespace) -> Way:
    """Find out all that a load takes. Raises KexecprepdError."""
    return _by_kernel(wanted, options.root) if call is Call.FILE else _placed(wanted, options)


def _placed(wanted: Wanted, options: Namespace) -> Placed:
    here = options.root == HERE and not options.no_efi
    source = of_daemon() if here else of_tree(options.root, efi=not options.no_efi)
    image = source.image
    sketch = draft(
        wanted.kernel,
        wanted.initrd,
        wanted.cmdline,
        source.machine,
        image.size if image else 0,
        receipt=not options.no_receipt,
    )
    if sketch.image_address is None:
        image = None
    receipt = _receipt(source, image, options.root) if sketch.has_receipt else None
    handed = image.handed if image else None
    return Placed(source, finish(sketch, handed, os.urandom(SEED_SIZE), receipt))


def _receipt(source: Source, image: Image | None, root: Path) -> Receipt:
    """What the next kernel is told of this load."""
    return Receipt(
        from_boot_id=this_boot(root),
        sha256=image.sha256 if image else "",
        region_count=image.region_count if image else 0,
        loader=f"kexecprepctl {__version__}",
        loaded_at=now().realtime,
        kexec_count=_origin(root).next_count,
        generation=source.generation,
        had=present(read_firmware(root)),
    )


def _origin(root: Path) -> Origin:
    """How this kernel was started. Where a kexec has left no receipt, the daemon may know more: it
    was given what the kernel before had systemd keep.
    """
    shown = read_origin(root)
    if root != HERE or shown.receipt or shown.started_by is StartedBy.BOOT_LOADER:
        return shown
    try:
        return origin_of(Client().properties())
    except CtlError:
        return shown  # then nobody knows the count, and the receipt is without it


def _by_kernel(wanted: Wanted, root: Path) -> ByKernel:
    offline = Offline(root)
    if absent_at_boot(offline.snapshot):
        sentence = (
            "kexec_file_load(2) would hand on the memory map that this kernel was booted with, "
            "and some of that memory has been unplugged."
        )
        raise LoadError(sentence, "Plug it in again, or reboot instead of kexec.")
    assessment = offline.assessment
    if assessment.state is State.INVALID and runtime_off_option(wanted.cmdline) is None:
        hint = "`kexecprepctl findings` says where. With noefi on its command line it is loaded."
        sentence = f"The kernel would hand EFI over as it is. {assessment.reason}"
        raise CtlError(Exit.INVALID, sentence, hint)
    reason = assessment.reason if assessment.state is State.UNSUPPORTED else ""
    notes = [f"EFI is left out. {reason}"] if reason else []
    notes += [_DEGRADED] if assessment.state is State.DEGRADED else []
    system = read_system(root)
    said = cautions(read_surroundings(root, system))
    notes += [f"{c.message} {c.hint}" for c in said if c.code not in OF_KEXEC_LOAD]
    return ByKernel(
        handover_sha256=offline.handover_sha256(efi=False),
        reason=reason,
        five_level_paging=bool(system.five_level_paging),
        notes=tuple(notes),
    )


def requests_of_firmware(root: Path) -> list[str]:
    """What the firmware or the boot loader is asked for, and a kexec passes by; in sentences."""
    around = read_surroundings(root, read_system(root))
    return [f"{each.message} {each.hint}" for each in cautions(around, OF_FIRMWARE)]
