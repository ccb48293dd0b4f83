# SPDX-License-Identifier: LGPL-2.1-or-later
"""Made-up machines for Hypothesis, healthy ones and any at all, and what an image of them holds."""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from kexecprepd.abi.bootparam import BootParams, E820Entry, EfiInfo
from kexecprepd.abi.setup_data import EfiSetupData
from kexecprepd.core.receipt import Receipt, Unusable
from kexecprepd.core.snapshot import (
    EfiTables,
    KernelTraits,
    MemoryBlocks,
    MemoryRange,
    RuntimeRegion,
    SetupData,
    Snapshot,
)

# The same examples in every run and on every machine; none is remembered from an earlier one.
EXAMPLES = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

PAGE = 4096
RUNTIME = 1 << 63
U64 = (1 << 64) - 1
TWO_MIB = 2 << 20
TOP = 0xFFFF_FFFF_0000_0000
KERNEL_HALF = 0xFFFF_8000_0000_0000
BOOT_SERVICES = (3, 4)
RUNTIME_CODE = 5
RUNTIME_DATA = 6

# What the boot loader makes of a memory type: the name in the memory map, and the number in e820.
# OEM types get no entry at all. Source: setup_e820() in drivers/firmware/efi/libstub/x86-stub.c.
E820_TYPES = {
    "System RAM": 1,
    "Reserved": 2,
    "ACPI Tables": 3,
    "ACPI Non-volatile Storage": 4,
    "Unusable memory": 5,
    "Persistent Memory": 7,
}
STUB = {
    **dict.fromkeys((0, 5, 6, 11, 12, 13), "Reserved"),
    **dict.fromkeys((3, 4), "System RAM"),
    8: "Unusable memory",
    9: "ACPI Tables",
    10: "ACPI Non-volatile Storage",
    14: "Persistent Memory",
}
TYPES = (*STUB, 0x7000_0001, 0x8000_0000)


def u64s() -> st.SearchStrategy[int]:
    """Any 64 bits; often those at which arithmetic breaks."""
    edges = [0, 1, PAGE - 1, PAGE, TWO_MIB, 1 << 31, 1 << 32, 1 << 52, 1 << 63]
    edges += [TOP, TOP - 1, TOP - (64 << 30), TOP - (64 << 30) - 1, U64 - PAGE, U64 - 1, U64]
    return st.integers(0, U64) | st.sampled_from(edges)


def assigned(regions: list[tuple[int, int, int, int]]) -> tuple[RuntimeRegion, ...]:
    """(type, phys_addr, pages, attribute) with addresses as efi_map_region() gives them."""
    virt = TOP
    mapped = []
    for number, (type, phys, pages, attribute) in enumerate(regions):
        virt -= pages * PAGE
        virt -= (virt - phys) % TWO_MIB
        mapped.append(RuntimeRegion(number, type, phys, virt, pages, attribute))
    return tuple(mapped)


def merged(pieces: list[tuple[int, int, str]]) -> tuple[MemoryRange, ...]:
    """(start, end, name) as a memory map: neighbours of one name are one range."""
    ranges: list[tuple[int, int, str]] = []
    for start, end, name in pieces:
        if ranges and ranges[-1][1] + 1 == start and ranges[-1][2] == name:
            ranges[-1] = (ranges[-1][0], end, name)
        else:
            ranges.append((start, end, name))
    return tuple(MemoryRange(number, *each) for number, each in enumerate(ranges))


@st.composite
def machines(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Snapshot:
    """A healthy first kernel, or a second one, on a made-up machine."""
    at = draw(st.sampled_from([0, 0x10_0000, 0x7000_0000, 0x1_0000_0000, 0xC00_0000_0000]))
    regions: list[tuple[int, int, int, int]] = []
    pieces: list[tuple[int, int, str]] = []
    types = draw(st.lists(st.sampled_from(TYPES), max_size=8))
    types.insert(draw(st.integers(0, len(types))), RUNTIME_DATA)
    types.insert(draw(st.integers(0, len(types))), RUNTIME_CODE)
    for type in types:
        between = draw(st.integers(0, 0x300)) * PAGE
        filling = draw(st.sampled_from(["System RAM", "Reserved", "ACPI Tables", None]))
        if between and filling:
            pieces.append((at, at + between - 1, filling))
        at += between
        pages = draw(st.integers(1, 0x400))
        attribute = draw(st.sampled_from([0, 1, 0xF, 0x400F, 0x2_000F, 0x8000]))
        if type not in BOOT_SERVICES or draw(st.booleans()):
            attribute |= RUNTIME
        regions.append((type, at, pages, attribute))
        if type in STUB:
            pieces.append((at, at + pages * PAGE - 1, STUB[type]))
        at += pages * PAGE
    pieces.append((at, at + (64 << 20) - 1, "System RAM"))
    memory_map = merged(pieces)
    runtime_map = assigned(list(draw(st.permutations(regions))))
    data = next(region for region in runtime_map if region.type == RUNTIME_DATA)
    within_data = [data.phys_addr + draw(st.integers(1, PAGE // 8 - 1)) * 8 for _ in range(4)]
    vendor, services, tables, systab = within_data
    second = draw(st.booleans())
    handed = EfiSetupData(vendor, services, tables, draw(st.sampled_from([0, U64])))
    listed = draw(st.sampled_from([("ACPI20", "SMBIOS"), ("ACPI20", "SMBIOS3"), ("ACPI",)]))
    return Snapshot(
        efi=EfiTables(
            fw_platform_size=64,
            fw_vendor=vendor,
            runtime=services - data.phys_addr + data.virt_addr if second else services,
            config_table=tables,
            systab=tuple((name, data.phys_addr + 16) for name in listed),
        ),
        runtime_map=runtime_map,
        memory_map=memory_map,
        memory_blocks=None,
        boot_params=BootParams(
            efi_info=EfiInfo(
                signature=b"EL64",
                systab=systab,
                memdesc_size=48,
                memdesc_version=1,
                memmap=0,
                memmap_size=48 * (len(runtime_map) if second else 100),
            ),
            acpi_rsdp=0,
            secure_boot=0,
            type_of_loader=0xD0 if second else 0x21,
            e820=tuple(
                E820Entry(r.start, r.end - r.start + 1, E820_TYPES[r.type]) for r in memory_map
            ),
        ),
        setup_data=(SetupData(9, None), SetupData(4, handed)) if second else (),
        kernel=KernelTraits("quiet", False, None),
    )


def decoded(image: bytes) -> dict[str, Any]:
    """An image taken apart by the layout in the kernel's headers, not by this project's code."""
    assert struct.unpack_from("<QII", image) == (0, 4, 96)
    assert image[48:112] == bytes(64)
    assert (len(image) - 112) % 40 == 0
    rows = [struct.unpack_from("<IIQQQQ", image, at) for at in range(112, len(image), 40)]
    assert all(pad == 0 for _, pad, *_ in rows)
    assert [row[2] for row in rows] == sorted(row[2] for row in rows)
    names = ("fw_vendor", "runtime", "tables", "smbios")
    return {
        **dict(zip(names, struct.unpack_from("<4Q", image, 16), strict=True)),
        "map": sorted((type, *rest) for type, _, *rest in rows),
    }


def shown(snapshot: Snapshot) -> dict[str, Any]:
    """What an image of a snapshot without efi=debug must decode to, from the files alone."""
    efi = snapshot.efi
    assert efi is not None
    regions = [
        replace(r, attribute=r.attribute | RUNTIME)
        for r in snapshot.runtime_map or ()
        if r.attribute & RUNTIME or r.type in BOOT_SERVICES
    ]
    runtime = efi.runtime
    for each in regions:
        if (
            runtime is not None
            and each.virt_addr <= runtime < each.virt_addr + each.num_pages * PAGE
        ):
            runtime += each.phys_addr - each.virt_addr
            break
    else:
        runtime = 0 if runtime is None or runtime >= KERNEL_HALF else runtime
    return {
        "fw_vendor": efi.fw_vendor,
        "runtime": runtime,
        "tables": efi.config_table,
        "smbios": dict(efi.systab).get("SMBIOS", U64),
        "map": sorted(
            (r.type, r.phys_addr, r.virt_addr, r.num_pages, r.attribute) for r in regions
        ),
    }


def with_region(snapshot: Snapshot, number: int, **changes: int) -> Snapshot:
    regions = snapshot.runtime_map or ()
    changed = (replace(r, **changes) if r.number == number else r for r in regions)
    return replace(snapshot, runtime_map=tuple(changed))


def regions() -> st.SearchStrategy[RuntimeRegion]:
    attributes = st.sampled_from([RUNTIME, RUNTIME | 15, 15]) | u64s()
    types = st.integers(0, 16) | st.integers(0, (1 << 32) - 1)
    return st.builds(RuntimeRegion, st.just(0), types, u64s(), u64s(), u64s(), attributes)


def numbered(items: list[Any]) -> tuple[Any, ...]:
    return tuple(replace(item, number=n) for n, item in enumerate(items))


def receipts() -> st.SearchStrategy[Receipt | Unusable]:
    digests = st.sampled_from(["", "ab" * 32])
    counts = st.integers(0, (1 << 32) - 1)
    unusable = st.builds(Unusable, st.just("it is not JSON"), st.booleans())
    whole = st.builds(
        Receipt, st.just("4f"), digests, counts, st.just("a loader"), st.just(1), st.none() | counts
    )
    return unusable | whole


def snapshots() -> st.SearchStrategy[Snapshot]:
    """Any values at all in every field."""
    kinds = st.sampled_from(["System RAM", "Reserved", "Soft Reserved", "", "Unknown E820 type"])
    ranges = st.builds(MemoryRange, st.just(0), u64s(), u64s(), kinds)
    u32s = st.integers(0, (1 << 32) - 1)
    names = st.sampled_from(["ACPI20", "ACPI", "SMBIOS", "SMBIOS3"])
    e820 = st.builds(E820Entry, u64s(), u64s(), u32s)
    handed = st.builds(EfiSetupData, u64s(), u64s(), u64s(), u64s())
    nodes = (
        st.builds(SetupData, st.just(4), st.none() | handed)
        | st.builds(SetupData, st.just(1), st.lists(e820, max_size=4).map(tuple))
        | st.builds(SetupData, st.just(0x6B65_7870), receipts())
        | st.just(SetupData(9, None))
    )
    return st.builds(
        Snapshot,
        efi=st.none()
        | st.builds(
            EfiTables,
            st.just(64) | st.just(32),
            st.none() | u64s(),
            st.none() | u64s(),
            st.none() | u64s(),
            st.lists(st.tuples(names, u64s()), max_size=4).map(tuple),
        ),
        runtime_map=st.none() | st.lists(regions(), max_size=6).map(numbered),
        memory_map=st.none() | st.lists(ranges, max_size=6).map(numbered),
        memory_blocks=st.none()
        | st.builds(
            MemoryBlocks,
            st.integers(1, U64),
            st.lists(st.integers(0, U64), max_size=4).map(tuple),
        ),
        boot_params=st.none()
        | st.builds(
            BootParams,
            st.builds(
                EfiInfo,
                st.sampled_from([b"EL64", b"EL32", b"Xen\0", bytes(4)]),
                u64s(),
                u32s,
                st.just(1) | u32s,
                u64s(),
                u32s,
            ),
            u64s(),
            st.integers(0, 255),
            st.integers(0, 255),
            st.lists(e820, max_size=4).map(tuple),
        ),
        setup_data=st.lists(nodes, max_size=3).map(tuple),
        kernel=st.builds(
            KernelTraits,
            st.sampled_from([None, "", "efi=debug", "mem=1G kernelcore=mirror", "efi= = =efi"]),
            st.sampled_from([None, True, False]),
            st.sampled_from([None, "xen", "kvm"]),
        ),
    )


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def spoilt(whole: Mapping[str, Any]) -> st.SearchStrategy[bytes]:
    """Any bytes, and a JSON object some of whose members are anything that JSON has."""
    changes = st.dictionaries(st.sampled_from(list(whole)), _JSON)
    objects = changes.map(lambda changed: json.dumps({**whole, **changed}).encode())
    return st.binary(max_size=200) | objects
