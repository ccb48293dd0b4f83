# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plans a load: what goes where, and the bytes that go there. Asks nothing and touches nothing.

It takes two steps: a draft says where everything goes, and the plan has the bytes as well.
The setup_data list begins with the image, which leads to the firmware's own nodes, the RNG seed,
the receipt, and the rest of the memory map where boot_params cannot hold all of it.
"""

from dataclasses import dataclass, replace

from ..abi.bootparam import EFI_INFO, SIGNATURE_64, SIZE, EfiInfo, unpack_efi_info
from ..abi.efi import DESCRIPTOR_VERSION, PAGE_SIZE
from ..abi.setup_data import (
    EFI_SETUP_DATA_SIZE,
    SETUP_E820_EXT,
    SETUP_EFI,
    SETUP_KEXP,
    SETUP_RNG_SEED,
    Header,
    relink,
    unpack_header,
)
from ..core.image import DESCRIPTOR_SIZE, DESCRIPTORS_OFFSET
from ..core.receipt import SIZE as RECEIPT_SIZE
from ..core.receipt import Receipt
from ..core.snapshot import MemoryRange, RawNode
from . import boot_params, e820, nodes
from .boot_params import Told
from .bzimage import ENTRY_64, BzImage
from .errors import LoadError
from .layout import Placement, Request, lay_out
from .memory import LOW_MEMORY, Usable, cut_by_command_line
from .outlook import NO_5_LEVEL, NO_EFI_KEXEC
from .stub import SIZE as STUB_SIZE
from .stub import stub

KERNEL = "kernel"
INITRD = "initrd"
CMDLINE = "command line"
BOOT_PARAMS = "boot_params"
STUB = "entry stub"
IMAGE = "EFI image"
NODES = "setup_data"

SEED_SIZE = 32
"""Bytes; as many as the kernel's own loader gives (RNG_SEED_LENGTH in kexec-bzimage64.c)."""

SEGMENT_MAX = 16
"""KEXEC_SEGMENT_MAX of include/uapi/linux/kexec.h."""

# An archive in the newc format that ends at once. Source:
# Documentation/driver-api/early-userspace/buffer-format.rst.
_TRAILER = b"TRAILER!!!\0"
EMPTY_ARCHIVE = b"070701" + b"%08X" * 13 % (0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, len(_TRAILER), 0)
EMPTY_ARCHIVE += _TRAILER + bytes(-(len(EMPTY_ARCHIVE) + len(_TRAILER)) % 4)


@dataclass(frozen=True, slots=True)
class Machine:
    """What the next kernel is told of the machine that it starts on.

    `boot_params` are the running kernel's 4096 bytes, `screen_info` 64 for the next one;
    `secure_boot` is the byte of that name in the former (0 unset, 1 unknown, 2 disabled,
    3 enabled), `acpi_rsdp` is 0 where it is not known; `carried` are the firmware's own
    setup_data nodes.
    """

    memory_map: tuple[MemoryRange, ...]
    usable: Usable
    boot_params: bytes
    screen_info: bytes
    acpi_rsdp: int
    secure_boot: int
    five_level_paging: bool
    carried: tuple[RawNode, ...] = ()


@dataclass(frozen=True, slots=True)
class Handed:
    """The image as GetHandover gives it, linked to nothing, and the 32 bytes that tell of it.

    The address of the descriptors in those is 0.
    """

    image: bytes
    efi_info: bytes


@dataclass(frozen=True, slots=True)
class Draft:
    """Where everything goes, within what is `usable`; `placements` in the order of the requests.

    `image_address` is None where EFI is left out. `next_node` is where the image leads to;
    `has_receipt` whether there is room for one.
    """

    kernel: BzImage
    initrd: bytes | memoryview | None
    cmdline: bytes
    machine: Machine
    usable: Usable
    placements: tuple[Placement, ...]
    image_size: int
    image_address: int | None
    next_node: int
    has_receipt: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of kexec_load(2): `size` is its memsz, in bytes, whole pages.

    The kernel clears what is beyond `data`.
    """

    name: str
    address: int
    size: int
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class Plan:
    """What kexec_load(2) is called with; `segments` ascending, `notes` whole sentences."""

    entry: int
    segments: tuple[Segment, ...]
    usable: Usable
    efi: bool
    notes: tuple[str, ...]


def draft(
    kernel: BzImage,
    initrd: bytes | memoryview | None,
    cmdline: str,
    machine: Machine,
    image_size: int,
    *,
    receipt: bool = False,
) -> Draft:
    """Find a place for everything; `image_size` in bytes, 0 to leave EFI out.

    Raises LoadError where something does not fit, or kernel and machine do not go together.
    """
    if machine.five_level_paging and not kernel.five_level:
        raise LoadError(NO_5_LEVEL.sentence, NO_5_LEVEL.hint)
    if initrd is not None and not initrd:
        raise LoadError("The initrd is empty.", "Give the kernel's initrd, or none at all.")
    notes = []
    if image_size and not kernel.takes_efi:
        image_size = 0
        notes.append(f"EFI is left out. {NO_EFI_KEXEC.sentence} {NO_EFI_KEXEC.hint}")
    if image_size and initrd is None:
        initrd = EMPTY_ARCHIVE
        notes.append(
            "An empty initrd is handed over: without one, kernels since 6.1 take an address in "
            "memory that is long in other use for their initrd's."
        )
    line = boot_params.command_line(kernel, cmdline)
    beside = _nodes(machine, bytes(SEED_SIZE), bytes(RECEIPT_SIZE) if receipt else None)
    sizes = {
        INITRD: len(initrd or b""),
        IMAGE: image_size,
        BOOT_PARAMS: SIZE,
        CMDLINE: len(line),
        STUB: STUB_SIZE,
        NODES: nodes.size(beside),
    }
    requests = [
        Request(
            KERNEL,
            kernel.init_size,
            kernel.kernel_alignment,
            minimum=max(kernel.pref_address, LOW_MEMORY),
            fixed=None if kernel.relocatable else kernel.pref_address,
        ),
        *(Request(name, size, PAGE_SIZE) for name, size in sizes.items() if size),
    ]
    usable = machine.usable.without(cut_by_command_line(cmdline))
    placements = lay_out(requests, usable)
    _require_limits(placements, machine.usable)
    addresses = {each.name: each.address for each in placements}
    return Draft(
        kernel=kernel,
        initrd=initrd,
        cmdline=line,
        machine=machine,
        usable=usable,
        placements=placements,
        image_size=image_size,
        image_address=addresses.get(IMAGE),
        next_node=addresses[NODES],
        has_receipt=receipt,
        notes=tuple(notes),
    )


def finish(
    draft: Draft, handed: Handed | None, seed: bytes, receipt: Receipt | None = None
) -> Plan:
    """Put the bytes together; `seed` are 32 random ones, `handed` is None if EFI is left out.

    Raises LoadError where what was handed is not whole, or not what the draft has a place for.
    """
    if len(seed) != SEED_SIZE or (handed is None) != (draft.image_address is None):
        raise ValueError("a plan takes 32 bytes of seed, and an image if there is a place for it")
    if (receipt is None) == draft.has_receipt:
        raise ValueError("a plan takes a receipt if there is a place for it")
    image, efi_info = _linked(draft, handed) if handed else (b"", bytes(EFI_INFO.size))
    kernel, machine = draft.kernel, draft.machine
    addresses = {each.name: each.address for each in draft.placements}
    beside = _nodes(machine, seed, receipt.pack() if receipt else None)
    told = Told(
        screen_info=machine.screen_info,
        cmdline_address=addresses[CMDLINE],
        initrd_address=addresses.get(INITRD, 0),
        initrd_size=len(draft.initrd or b""),
        setup_data=draft.next_node if draft.image_address is None else draft.image_address,
        efi_info=efi_info,
        acpi_rsdp=machine.acpi_rsdp,
        secure_boot=machine.secure_boot,
        e820=e820.entries(machine.memory_map),
    )
    entry = addresses[KERNEL] + ENTRY_64
    content = {
        KERNEL: kernel.protected_mode,
        INITRD: draft.initrd or b"",
        IMAGE: image,
        BOOT_PARAMS: boot_params.compose(kernel, machine.boot_params, told),
        CMDLINE: draft.cmdline,
        STUB: stub(addresses[STUB], entry, addresses[BOOT_PARAMS]),
        NODES: nodes.chain(beside, draft.next_node),
    }
    segments = (
        Segment(each.name, each.address, each.size, content[each.name]) for each in draft.placements
    )
    return Plan(
        entry=addresses[STUB],
        segments=tuple(sorted(segments, key=lambda segment: segment.address)),
        usable=draft.usable,
        efi=handed is not None,
        notes=draft.notes,
    )


def _nodes(machine: Machine, seed: bytes, receipt: bytes | None) -> tuple[RawNode, ...]:
    """The nodes beside the image, in their order."""
    extension = e820.extension(e820.entries(machine.memory_map))
    own = (
        (SETUP_RNG_SEED, seed),
        (SETUP_KEXP, receipt),
        (SETUP_E820_EXT, extension),
    )
    return (*machine.carried, *(RawNode(kind, payload) for kind, payload in own if payload))


def _require_limits(placements: tuple[Placement, ...], usable: Usable) -> None:
    """What the kernel would say EINVAL to. Source: sanity_check_segment_list() in kexec_core.c.

    Its memory is a little less than what is free here, as it keeps some for its own tables.
    """
    total = sum(each.size for each in placements)
    half = sum(each.end + 1 - each.start for each in usable.free) // 2
    if total > half:
        largest = max(placements, key=lambda each: each.size)
        raise LoadError(
            f"All together takes {total} bytes, more than half of the memory, {half}: "
            f"the largest is the {largest.name} with {largest.size}.",
            "The kernel loads no more than that: take a smaller initrd.",
        )
    assert len(placements) <= SEGMENT_MAX


def _linked(draft: Draft, handed: Handed) -> tuple[bytes, bytes]:
    """The image that leads on to the draft's next node, and the efi_info that leads to the image.

    Half of either crashes the next kernel, so both are looked at first. Raises LoadError.
    """
    told = unpack_efi_info(handed.efi_info) if len(handed.efi_info) == EFI_INFO.size else None
    if told is None or len(handed.image) != draft.image_size or not _fit(handed.image, told):
        raise LoadError(
            "The EFI image and what is told of it do not go together.",
            "Try again; if this persists, report it. --no-efi loads without EFI.",
        )
    assert draft.image_address is not None
    efi_info = replace(told, memmap=draft.image_address + DESCRIPTORS_OFFSET)
    return relink(handed.image, draft.next_node), efi_info.pack()


def _fit(image: bytes, told: EfiInfo) -> bool:
    """Whether it is an image that leads nowhere yet, and efi_info tells of all of it."""
    return (
        len(image) > DESCRIPTORS_OFFSET
        and unpack_header(image) == Header(0, SETUP_EFI, EFI_SETUP_DATA_SIZE)
        and told.signature == SIGNATURE_64
        and (told.memdesc_size, told.memdesc_version) == (DESCRIPTOR_SIZE, DESCRIPTOR_VERSION)
        and told.memmap_size == len(image) - DESCRIPTORS_OFFSET
    )
