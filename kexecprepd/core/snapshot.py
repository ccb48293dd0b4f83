# SPDX-License-Identifier: LGPL-2.1-or-later
"""What one whole reading of sysfs says: immutable values, and what follows from one alone.

Addresses and sizes are in bytes, physical unless a name says `virt`; all are unsigned 64-bit.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ..abi.bootparam import LOADER_KEXEC, BootParams, E820Entry
from ..abi.efi import PAGE_SHIFT, RUNTIME, MemoryType
from ..abi.setup_data import SETUP_EFI, EfiSetupData
from .cmdline import efi_options
from .intervals import Interval
from .receipt import Receipt, Unusable

SYSTEM_RAM = "system ram"
"""The memory map's type of ordinary memory, as `MemoryRange.kind` has it."""


@dataclass(frozen=True, slots=True)
class RuntimeRegion:
    """One directory of /sys/firmware/efi/runtime-map: an EFI memory descriptor.

    Source: UEFI Specification 2.10, section 7.2.3; arch/x86/platform/efi/runtime-map.c.
    """

    number: int
    type: int
    phys_addr: int
    virt_addr: int
    num_pages: int
    attribute: int

    @property
    def size(self) -> int:
        """Bytes; may exceed 64 bits where `num_pages` is damaged."""
        return self.num_pages << PAGE_SHIFT

    @property
    def extent(self) -> Interval:
        """Its physical addresses."""
        return Interval(self.phys_addr, self.phys_end)

    @property
    def virtual_extent(self) -> Interval:
        """Its virtual addresses."""
        return Interval(self.virt_addr, self.virt_end)

    @property
    def phys_end(self) -> int:
        """Last byte, inclusive."""
        return self.phys_addr + self.size - 1

    @property
    def virt_end(self) -> int:
        """Last byte, inclusive."""
        return self.virt_addr + self.size - 1

    @property
    def is_runtime(self) -> bool:
        """Whether the firmware needs it mapped after ExitBootServices(), or the kernel says so."""
        return bool(self.attribute & RUNTIME)

    @property
    def is_boot_services(self) -> bool:
        """Whether it was the firmware's before ExitBootServices(): where it is still in the map, a
        firmware table may be in it.
        """
        return self.type in (MemoryType.BOOT_SERVICES_CODE, MemoryType.BOOT_SERVICES_DATA)


@dataclass(frozen=True, slots=True)
class MemoryRange:
    """One directory of /sys/firmware/memmap; `end` is inclusive.

    Source: drivers/firmware/memmap.c.
    """

    number: int
    start: int
    end: int
    type: str

    @property
    def extent(self) -> Interval:
        """Its physical addresses."""
        return Interval(self.start, self.end)

    @property
    def kind(self) -> str:
        """The type in lower case: kernels before 4.11 did not capitalise `reserved`."""
        return self.type.lower()

    @property
    def is_ram(self) -> bool:
        """Whether it is ordinary memory, which a kernel may use as it likes."""
        return self.kind == SYSTEM_RAM


@dataclass(frozen=True, slots=True)
class EfiTables:
    """The value files of /sys/firmware/efi. Source: drivers/firmware/efi/efi.c.

    `fw_vendor`, `runtime` and `config_table` are None where the kernel hides them (Xen).
    `runtime` is virtual in a kernel that was itself started by kexec. `systab` holds the
    lines of the file of that name in their order: ("ACPI20", address) and so on.
    """

    fw_platform_size: int
    fw_vendor: int | None
    runtime: int | None
    config_table: int | None
    systab: tuple[tuple[str, int], ...]

    def table(self, name: str) -> int | None:
        """Address of a table that `systab` lists, None where it has no such line."""
        return dict(self.systab).get(name)


@dataclass(frozen=True, slots=True)
class MemoryBlocks:
    """The memory that is present: /sys/devices/system/memory. Source: drivers/base/memory.c.

    Block n begins at n * `size` bytes. Blocks that are offline are present all the same.
    """

    size: int
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SetupData:
    """One node of the setup_data list that this kernel was handed.

    `content` is what it says of EFI or of the memory map, or a loader's receipt; None for a node of
    another type, and for a SETUP_EFI node that is too short.
    """

    type: int
    content: EfiSetupData | tuple[E820Entry, ...] | Receipt | Unusable | None


@dataclass(frozen=True, slots=True)
class RawNode:
    """A setup_data node's type and payload, as they are."""

    type: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class KernelTraits:
    """What the running kernel says of itself; None where the tree that was read does not tell."""

    cmdline: str | None
    realtime: bool | None
    hypervisor: str | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One whole reading. None stands for a directory that the kernel does not have.

    `runtime_map` and `memory_map` are in numeric order of the directories' names.
    """

    efi: EfiTables | None
    runtime_map: tuple[RuntimeRegion, ...] | None
    memory_map: tuple[MemoryRange, ...] | None
    memory_blocks: MemoryBlocks | None
    boot_params: BootParams | None
    setup_data: tuple[SetupData, ...]
    kernel: KernelTraits
    withheld: tuple[Interval, ...] = ()
    """Memory above 4 GiB that this kernel itself calls reserved, as far as it tells."""
    unknown_attributes: tuple[str, ...] = ()
    """Files beside those that are known of, by their folder and name: `runtime-map/flags`."""
    kept: Receipt | Unusable | None = None
    """What the kernel before had systemd keep, as the daemon was given it: no tree has it."""
    runtime_regions: tuple[RuntimeRegion, ...] = field(init=False, repr=False, compare=False)
    """The regions of the image, ascending by physical address, as the first kernel had them: each
    has the RUNTIME attribute, and what a kexec'd kernel has split of one is one region again."""
    left_out: tuple[RuntimeRegion, ...] = field(init=False, repr=False, compare=False)
    """The boot-services entries of the runtime map that are not in the image."""

    def __post_init__(self) -> None:
        entries = self.runtime_map or ()
        spare = self._left_out()
        regions = [e for e in entries if e.is_runtime or (e.is_boot_services and not spare)]
        regions.sort(key=lambda region: (region.phys_addr, region.number))
        # All have the bit in the image: kernels differ in which of the kept ones they give it to.
        tagged = [
            r if r.is_runtime else replace(r, attribute=r.attribute | RUNTIME) for r in regions
        ]
        # In a first kernel nothing is split, and what looks so is damaged.
        whole = _rejoined(tagged) if self.started_by_kexec else tagged
        object.__setattr__(self, "runtime_regions", tuple(whole))
        object.__setattr__(self, "left_out", spare)

    def _left_out(self) -> tuple[RuntimeRegion, ...]:
        """What efi=debug alone lists, in a kernel that tags what it keeps for firmware tables.

        Kernels that keep regions without tagging them list both alike; and what a kexec'd kernel
        was handed was handed on purpose.
        """
        debug = "debug" in efi_options(self.kernel.cmdline or "")
        entries = [entry for entry in self.runtime_map or () if entry.is_boot_services]
        if not (self.started_by_boot_loader and debug and any(e.is_runtime for e in entries)):
            return ()
        return tuple(entry for entry in entries if not entry.is_runtime)

    @property
    def handed_regions(self) -> int | None:
        """How many memory descriptors a kexec'd kernel was handed; None where it does not tell."""
        params = self.boot_params
        if params is None or not self.handed_efi or not params.efi_info.memdesc_size:
            return None
        return params.efi_info.memmap_size // params.efi_info.memdesc_size

    @property
    def started_by_kexec(self) -> bool:
        """Whether this kernel says that another kernel started it."""
        return by_kexec(self.boot_params, self.setup_data)

    @property
    def started_by_boot_loader(self) -> bool:
        """Whether this kernel is the first since power-on, and has mapped EFI itself."""
        return self.boot_params is not None and not self.started_by_kexec

    @property
    def e820_at_boot(self) -> tuple[E820Entry, ...]:
        """The memory map that this kernel was booted with; empty where it does not show it."""
        return e820_at_boot(self.boot_params, self.setup_data)

    @property
    def handed_efi(self) -> tuple[EfiSetupData | None, ...]:
        """What the loader of a kexec'd kernel told it of EFI, for each SETUP_EFI node; None for a
        node that is damaged.
        """
        return tuple(
            node.content if isinstance(node.content, EfiSetupData) else None
            for node in self.setup_data
            if node.type == SETUP_EFI
        )

    @property
    def receipt(self) -> Receipt | Unusable | None:
        """What the loader of a kexec'd kernel says that it handed over; None where it is silent."""
        return receipt_among(self.setup_data)


def by_kexec(params: BootParams | None, nodes: Iterable[SetupData]) -> bool:
    """Whether what a kernel was handed tells that another kernel started it."""
    if params is not None and params.type_of_loader >> 4 == LOADER_KEXEC:
        return True
    # No boot loader makes either of the two nodes, and not every loader calls itself kexec's.
    nodes = tuple(nodes)
    return receipt_among(nodes) is not None or any(node.type == SETUP_EFI for node in nodes)


def receipt_among(nodes: Iterable[SetupData]) -> Receipt | Unusable | None:
    """The first receipt in a list of nodes: the head of the list is what was added last."""
    return next((n.content for n in nodes if isinstance(n.content, Receipt | Unusable)), None)


def e820_at_boot(
    params: BootParams | None, setup_data: Iterable[SetupData]
) -> tuple[E820Entry, ...]:
    """What boot_params and the list after it have of the memory map; empty where they have none."""
    if params is None or not params.e820:
        return ()
    extensions = (node.content for node in setup_data if isinstance(node.content, tuple))
    return (*params.e820, *(entry for each in extensions for entry in each))


def _rejoined(regions: Iterable[RuntimeRegion]) -> list[RuntimeRegion]:
    """Join the pieces that a kexec'd kernel makes of a region, where a firmware table is inside.

    It leaves them all the virtual address of the whole, so they can be told from regions that
    only adjoin; it tags the piece with the table in it, and here all are tagged.

    Sources: efi_arch_mem_reserve() in arch/x86/platform/efi/quirks.c, since Linux 5.5;
    efi_memmap_insert() in arch/x86/platform/efi/memmap.c.
    """
    joined: list[RuntimeRegion] = []
    for region in regions:
        whole = joined[-1] if joined else None
        if (
            whole is not None
            and whole.type == region.type == MemoryType.BOOT_SERVICES_DATA
            and whole.attribute == region.attribute
            and whole.virt_addr == region.virt_addr
            and whole.phys_end + 1 == region.phys_addr
        ):
            joined[-1] = replace(whole, num_pages=whole.num_pages + region.num_pages)
        else:
            joined.append(region)
    return joined
