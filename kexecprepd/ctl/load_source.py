# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a plan to load needs to know of this machine: from the daemon, or from a tree itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..abi.bootparam import SIZE
from ..core.finding import State
from ..core.image import acpi_rsdp, efi_info
from ..core.placement import ExcludedRange, excluded_ranges
from ..core.snapshot import MemoryRange, e820_at_boot
from ..core.surroundings import IMA_MAY_REFUSE, cautions
from ..loader.errors import LoadError
from ..loader.memory import usable
from ..loader.plan import Handed, Machine
from ..loader.screen import screen_info
from ..reading import iomem, screen
from ..reading.kernel import read_system
from ..reading.surroundings import read_surroundings
from ..reading.sysfs import read_boot_params, read_carried, read_setup_data
from ..reading.tree import Tree
from .client import Client
from .exits import CtlError, Exit
from .here import HERE
from .offline import Offline
from .output import plural, size

_WITHOUT = "--no-efi loads without EFI."

_ROOM = 4 << 20
"""Bytes of the firmware's own setup_data nodes that are handed on: a hundred option ROMs."""


@dataclass(frozen=True, slots=True)
class Image:
    """The image that can be handed over; `state` is that of the map that it is of."""

    handed: Handed
    sha256: str
    region_count: int
    state: State

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.handed.image)


@dataclass(frozen=True, slots=True)
class Source:
    """All that a load takes, of one generation.

    `image` is None where EFI is left out. `handover_sha256` is the digest of what the load depends
    on, `generation` the daemon's count, None where the daemon was not asked.
    """

    machine: Machine
    image: Image | None
    notes: tuple[str, ...]
    handover_sha256: str
    generation: int | None


def of_daemon() -> Source:
    """Ask the daemon; where it has nothing to hand over, say so in a note and read the tree."""
    try:
        data, memory_map, info = Client().handover()
    except CtlError as error:
        if error.code is Exit.UNSUPPORTED:
            return _without_efi(Offline(HERE), HERE, f"EFI is left out. {error.sentence}")
        raise _with_way_out(error) from error
    machine, notes = _machine(
        HERE, memory_map, info.excluded_ranges, info.acpi_rsdp, info.secure_boot
    )
    image = Image(Handed(data, info.efi_info), info.sha256, info.region_count, info.state)
    return Source(machine, image, notes, info.handover_sha256, info.generation)


def of_tree(root: Path, *, efi: bool) -> Source:
    """Read the tree below `root`, without a daemon. Without `efi` the image is left out."""
    offline = Offline(root)
    assessment, snapshot = offline.assessment, offline.snapshot
    if not efi:
        return _without_efi(offline, root, "EFI is left out, as --no-efi has it.")
    if assessment.state is State.UNSUPPORTED:
        return _without_efi(offline, root, f"EFI is left out. {assessment.reason}")
    if assessment.image is None:
        hint = f"`kexecprepctl findings --root {root}` says where, and what to do. {_WITHOUT}"
        raise CtlError(Exit.INVALID, assessment.reason, hint)
    machine, notes = _machine_of(offline, root)
    image = Image(
        handed=Handed(assessment.image, efi_info(snapshot)),
        sha256=assessment.sha256,
        region_count=len(snapshot.runtime_regions),
        state=assessment.state,
    )
    return Source(machine, image, notes, offline.handover_sha256(efi=True), None)


def _without_efi(offline: Offline, root: Path, note: str) -> Source:
    machine, notes = _machine_of(offline, root)
    digest = offline.handover_sha256(efi=False)
    return Source(machine, None, (note, *notes), digest, None)


def _with_way_out(error: CtlError) -> CtlError:
    """The same error; where EFI is what fails, with how to load without it."""
    if error.code not in (Exit.INVALID, Exit.UNREACHABLE):
        return error
    return CtlError(error.code, error.sentence, f"{error.hint} {_WITHOUT}".strip())


def _machine_of(offline: Offline, root: Path) -> tuple[Machine, tuple[str, ...]]:
    snapshot = offline.snapshot
    params = snapshot.boot_params
    return _machine(
        root,
        list(offline.present_memory_map),
        excluded_ranges(snapshot),
        acpi_rsdp(snapshot),
        params.secure_boot if params else 0,
    )


def _machine(
    root: Path,
    memory_map: list[MemoryRange],
    excluded: Iterable[ExcludedRange],
    acpi_rsdp: int,
    secure_boot: int,
) -> tuple[Machine, tuple[str, ...]]:
    """The machine, and what there is to note of how it is known. Raises ReadError."""
    notes: tuple[str, ...] = ()
    resources = iomem.read(root)
    if resources is None:
        if root == HERE:
            raise LoadError("There is no /proc/iomem.", "Mount /proc.")
        notes = ("There is no proc/iomem in this tree: the memory map alone decides what is free.",)
    system = read_system(root)
    # Not what the system call itself is about to tell.
    said = cautions(read_surroundings(root, system))
    notes += tuple(f"{c.message} {c.hint}" for c in said if c.code != IMA_MAY_REFUSE)
    with Tree.open(root / "sys") as tree:
        boot_params = tree.bytes("kernel/boot_params/data", SIZE)
        at_boot = e820_at_boot(read_boot_params(tree), read_setup_data(tree))
        carried, left_out = read_carried(tree, _ROOM)
    if left_out:
        notes += (
            f"{plural(left_out, 'setup_data node')} of the firmware's (option ROMs or properties "
            f"of devices) are left out: all together take more than {size(_ROOM)}.",
        )
    machine = Machine(
        memory_map=tuple(memory_map),
        usable=usable(memory_map, resources, excluded, at_boot),
        boot_params=boot_params,
        screen_info=screen_info(boot_params, screen.read(root), resources),
        acpi_rsdp=acpi_rsdp,
        secure_boot=secure_boot,
        five_level_paging=bool(system.five_level_paging),
        carried=carried,
    )
    return machine, notes
