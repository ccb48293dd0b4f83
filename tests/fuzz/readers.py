# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is fuzzed: each reader, with what it begins with and the errors that it may raise.

A reader takes bytes; what those of whole trees take is said in `in_tree`.
"""

import gzip
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from kexecprepd.abi.bootparam import E820Entry, pack_e820
from kexecprepd.abi.setup_data import SETUP_E820_EXT, SETUP_KEXP, pack_node
from kexecprepd.core.cmdline import efi_options, runtime_off_option
from kexecprepd.core.cut import cut_by
from kexecprepd.core.decoding import DecodeError, decode
from kexecprepd.core.generation import Handover, changed, first
from kexecprepd.core.image import ImageError, unpack
from kexecprepd.core.keepsake import Keepsake
from kexecprepd.core.keepsake import parse as parse_keepsake
from kexecprepd.core.receipt import Receipt, parse
from kexecprepd.core.recording import ABOUT, redacted, shares
from kexecprepd.core.timestamp import Timestamp
from kexecprepd.core.view import view
from kexecprepd.daemon import cache
from kexecprepd.daemon.cache import CacheError
from kexecprepd.loader import bzimage, request, uki
from kexecprepd.loader.errors import LoadError
from kexecprepd.loader.request import File, Loaded, Request
from kexecprepd.reading import archive, iomem
from kexecprepd.reading.archive import RecordingError
from kexecprepd.reading.firmware import read_firmware
from kexecprepd.reading.gather import gather
from kexecprepd.reading.iomem import IomemError
from kexecprepd.reading.kernel import load_obstacle, read_system
from kexecprepd.reading.surroundings import read_surroundings
from kexecprepd.reading.sysfs import read_boot_params, read_carried, read_setup_data, read_systab
from kexecprepd.reading.sysfs import read_snapshot as read_tree
from kexecprepd.reading.tree import ReadError, Tree
from tests.support import kernels, recordings
from tests.support.recordings import BOOT_ID, FIRST_KERNEL, KEXEC_FILE
from tests.support.snapshots import recorded
from tests.support.wanted import opened

from . import boot
from .in_tree import InTree

Read = Callable[[bytes], object]


@dataclass(frozen=True)
class Reader:
    """`weight` is how often it has its turn among the others."""

    read: Read
    seeds: tuple[bytes, ...]
    errors: tuple[type[Exception], ...]
    weight: int


class _Whole(Protocol):
    """A reader that brings its seeds."""

    seeds: tuple[bytes, ...]

    def __call__(self, data: bytes) -> None: ...


def _small_tree(root: Path) -> Path:
    """A kexec'd kernel's tree with few entries in each folder, and all that is read beside."""
    root.mkdir()
    recordings.materialise(KEXEC_FILE, root)
    for folder in (recordings.MEMMAP, recordings.RUNTIME_MAP):
        for number in range(3, len(os.listdir(root / folder))):
            shutil.rmtree(root / folder / str(number))
    recordings.set_memory_blocks(root, 128 << 20, range(8))
    for path, content in {
        "sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
        "sys/kernel/kexec_loaded": "1\n",
        "sys/kernel/realtime": "1\n",
        "sys/hypervisor/type": "xen\n",
        "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c": "\6\0\0\0\1",
        "sys/firmware/efi/efivars/OsIndications-8be4df61-93ca-11d2-aa0d-00e098032b8c": "\7\0\0\0\1",
        "proc/iomem": _IOMEM,
        "proc/cpuinfo": "flags\t\t: fpu la57 tdx_guest\n",
        "proc/sys/kernel/kexec_load_limit_reboot": "-1\n",
        "proc/self/uid_map": "0 0 4294967295\n",
        "dev/kmsg": "6,1,1,-;efi: ACPI=0x7f77e000 MEMATTR=0x7e6e2018\n",
    }.items():
        recordings.write(root, path, content)
    return root


def _tree(root: Path) -> InTree:
    tree = _small_tree(root)

    def read() -> None:
        reading = read_tree(tree)
        handover = first(reading, BOOT_ID, Timestamp(1, 1))
        view(handover)
        system = read_system(tree)
        load_obstacle(system)
        read_surroundings(tree, system)
        read_firmware(tree)

    return InTree(tree, read)


def _handed(root: Path) -> InTree:
    """boot_params, the list of setup_data and the table of tables, without the rest."""
    tree = _small_tree(root)
    for folder in ("firmware/memmap", "firmware/efi/runtime-map", "devices", "class"):
        shutil.rmtree(tree / "sys" / folder, ignore_errors=True)
    for folder in ("proc", "dev", "sys/kernel/security", "sys/firmware/efi/efivars"):
        shutil.rmtree(tree / folder)

    def read() -> None:
        with Tree.open(tree / "sys") as opened:
            read_systab(opened)
            read_boot_params(opened)
            read_setup_data(opened)
            read_carried(opened, 1 << 16)

    return InTree(tree, read)


def _cache(root: Path) -> InTree:
    root.mkdir()
    cache.write(root, _handover())
    pair = (root / "run/kexecprepd/current").resolve()
    shutil.rmtree(pair / "view")
    (root / "run/kexecprepd/view").unlink()
    # As plain files: what is behind the links is all that there is to damage.
    for name in ("setup_data", "snapshot.json"):
        (root / "run/kexecprepd" / name).unlink()
        (pair / name).rename(root / "run/kexecprepd" / name)
    (root / "run/kexecprepd/current").unlink()
    parts = _handover().parts

    def read() -> None:
        cached = cache.read(root)
        if cached is not None:
            changed(cached.parts, parts)

    return InTree(root, read)


def _handover() -> Handover:
    return first(recorded(FIRST_KERNEL), BOOT_ID, Timestamp(1, 1))


def _loaded(root: Path) -> InTree:
    (root / "run").mkdir(parents=True)
    kernel = File("/boot/vmlinuz", "cd" * 32)
    asked = Request(kernel, (File("/boot/initrd", "ef" * 32),), "quiet", False, True)
    with request.alone(root):
        request.keep(root, Loaded(BOOT_ID, True, "ab" * 32, 3, 1_700_000_000_000_000, asked))
    return InTree(root, lambda: request.read(root))


class _Recording:
    """Has a recording replayed and recorded again; what is no gzip is what one holds."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self._file = root / "recording"
        self._top = root / "unpacked"
        members = gather(_small_tree(root / "tree"))
        about = {ABOUT: b'{"format":1}\n'}
        few = {path: members[path] for path in sorted(members) if "memmap/" not in path}
        self.seeds = (
            archive.pack({**about, **members}),
            *(gzip.decompress(archive.pack({**about, **each})) for each in (few, {})),
        )

    def __call__(self, data: bytes) -> None:
        whole = data if data.startswith(archive.MAGIC) else gzip.compress(data, 1)
        self._file.write_bytes(whole)
        members = archive.load(self._file)
        shares(redacted(members))
        self._top.mkdir()
        try:
            archive.extract(self._file, self._top)
            archive.pack(redacted(gather(self._top)))
        finally:
            shutil.rmtree(self._top)


def _cmdline(data: bytes) -> None:
    text = data.decode("ascii", "backslashreplace")
    cut_by(text)
    efi_options(text)
    runtime_off_option(text)


def _image(data: bytes) -> None:
    unpack(data).pack()


_IOMEM = """\
00001000-0009fbff : System RAM
00100000-bfffffff : System RAM
  01000000-02209987 : Kernel code
  a9000000-b8ffffff : Crash kernel
100000000-63fffffff : Reserved
"""

_RECEIPT = Receipt(
    from_boot_id=BOOT_ID,
    sha256="ab" * 32,
    region_count=6,
    loader="kexecprepctl 0.2",
    loaded_at=1_700_000_000_000_000,
    kexec_count=1,
    generation=3,
    had=("variables", "dmi"),
)
_KEPT = replace(_RECEIPT, loader="kexecprepd 0.2", had=None, kept=True)
_KEEPSAKE = Keepsake(_KEPT, replace(_KEPT, kexec_count=None))

_UKI = kernels.uki(
    (".text", b"\xc3" * 700),
    (".cmdline", b"root=/dev/vda1 quiet\n\0"),
    (".initrd", b"070701" * 100),
    (".linux", kernels.bzimage()),
    (".profile", b"ID=main\n"),
    (".cmdline", b"root=/dev/vda2\n\0"),
)


def readers(scratch: Path) -> Mapping[str, Reader]:
    """All of them by their names; trees are put below `scratch`."""
    in_trees = {
        name: _reader(make(scratch / name), errors, weight)
        for name, make, errors, weight in _IN_TREES
    }
    image = _handover().assessment.image or b""
    boot_params = (scratch / "handed" / recordings.BOOT_PARAMS).read_bytes()
    padded = kernels.debian_header().ljust(1 << 14, b"\x90")
    return {
        **in_trees,
        "uki": Reader(_of_uki, (_UKI,), (LoadError,), 2),
        "bzimage": Reader(
            lambda data: bzimage.parse(data, "x"), (kernels.bzimage(), padded), (LoadError,), 10
        ),
        "iomem": Reader(
            lambda data: iomem.parse(data.decode("utf-8", "backslashreplace"), "x"),
            (_IOMEM.encode(),),
            (IomemError,),
            10,
        ),
        "receipt": Reader(parse, (_RECEIPT.pack(), replace(_RECEIPT, had=None).pack()), (), 10),
        "keepsake": Reader(
            parse_keepsake, (_KEEPSAKE.pack(), replace(_KEEPSAKE, before=None).pack()), (), 10
        ),
        "cmdline": Reader(
            _cmdline,
            (
                b'root=/dev/sda1 mem=4G memmap="exactmap",640K@0,1M$0xfff00000,2G!4G efi=a,debug',
                b"BOOT_IMAGE=/vmlinuz noefi efi=runtime kernelcore=mirror -- mem=1",
            ),
            (),
            10,
        ),
        "image": Reader(_image, (image, image[:112], image[:152]), (ImageError,), 10),
        "decode": Reader(decode, (image, image[:112], boot_params, *_nodes()), (DecodeError,), 10),
    }


_IN_TREES: tuple[tuple[str, Callable[[Path], _Whole], tuple[type[Exception], ...], int], ...] = (
    ("tree", _tree, (), 1),
    ("handed", _handed, (ReadError,), 4),
    ("cache", _cache, (CacheError,), 4),
    ("loaded", _loaded, (LoadError,), 4),
    ("systemd-boot", boot.systemd_boot, (LoadError,), 1),
    ("grub", boot.grub, (LoadError,), 2),
    ("recording", _Recording, (RecordingError, ReadError), 1),
)


def _reader(whole: _Whole, errors: tuple[type[Exception], ...], weight: int) -> Reader:
    return Reader(whole, whole.seeds, errors, weight)


def _nodes() -> Iterator[bytes]:
    """With each kind of payload that is explained, beside the image."""
    yield pack_node(0, SETUP_KEXP, _RECEIPT.pack())
    yield pack_node(0, SETUP_E820_EXT, pack_e820(E820Entry(n << 20, 4096, 1) for n in range(3)))


def _of_uki(data: bytes) -> object:
    with opened(data) as file:
        return uki.is_pe(file) and uki.unpack(file)
