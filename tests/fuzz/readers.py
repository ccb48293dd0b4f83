# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is fuzzed: each reader, with what it begins with and the errors that it may raise.

A reader takes bytes. Those of whole trees take the path of one file in it, a NUL, and what to put
there: its content, or one of KINDS for something that is no file.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kexecprepd.core.cmdline import efi_options, runtime_off_option
from kexecprepd.core.cut import cut_by
from kexecprepd.core.errors import KexecprepdError
from kexecprepd.core.generation import Handover, Timestamp, first
from kexecprepd.core.image import ImageError, unpack
from kexecprepd.core.receipt import Receipt, parse
from kexecprepd.core.view import view
from kexecprepd.daemon import cache
from kexecprepd.daemon.cache import CacheError
from kexecprepd.loader import bzimage, request, uki
from kexecprepd.loader.errors import LoadError
from kexecprepd.loader.request import File, Loaded, Request
from kexecprepd.reading import iomem
from kexecprepd.reading.firmware import read_firmware
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

Read = Callable[[bytes], object]

KINDS: Mapping[bytes, Callable[[str], object]] = {
    b"!gone": lambda path: None,
    b"!directory": os.mkdir,
    b"!pipe": os.mkfifo,
    b"!link": lambda path: os.symlink("/dev/zero", path),
    b"!loop": lambda path: os.symlink(os.path.basename(path), path),
}


@dataclass(frozen=True)
class Reader:
    """`weight` is how often it has its turn among the others."""

    read: Read
    seeds: tuple[bytes, ...]
    errors: tuple[type[Exception], ...]
    weight: int


class _InTree:
    """Puts one file into a tree, has the tree read, and takes the file out again."""

    def __init__(self, root: Path, read: Callable[[], object]) -> None:
        self._root = root
        self._read = read
        self._files = {
            os.path.relpath(os.path.join(top, name), root): Path(top, name).read_bytes()
            for top, _, names in os.walk(root)
            for name in names
        }
        self._names = sorted(self._files)
        self.seeds = tuple(
            f"{name}\0".encode() + content[: 1 << 13]
            for name in self._names
            for content in (self._files[name], *KINDS)
        )

    def __call__(self, data: bytes) -> None:
        name, _, content = data.partition(b"\0")
        path = self._known(os.fsdecode(name))
        target = os.path.join(self._root, path)
        os.unlink(target)
        try:
            make = KINDS.get(content)
            if make is None:
                Path(target).write_bytes(content)
            else:
                make(target)
            self._read()
        finally:
            if os.path.isdir(target) and not os.path.islink(target):
                os.rmdir(target)
            elif os.path.lexists(target):
                os.unlink(target)
            Path(target).write_bytes(self._files[path])

    def _known(self, name: str) -> str:
        """A file of the tree, whatever has become of its name."""
        if name in self._files:
            return name
        return self._names[sum(os.fsencode(name)) % len(self._names)]


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


def _tree(root: Path) -> _InTree:
    tree = _small_tree(root)

    def read() -> None:
        reading = read_tree(tree)
        handover = first(reading, BOOT_ID, Timestamp(1, 1))
        view(handover)
        system = read_system(tree)
        load_obstacle(system)
        read_surroundings(tree, system)
        read_firmware(tree)

    return _InTree(tree, read)


def _handed(root: Path) -> _InTree:
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

    return _InTree(tree, read)


def _cache(root: Path) -> _InTree:
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
    return _InTree(root, lambda: cache.read(root))


def _handover() -> Handover:
    return first(recorded(FIRST_KERNEL), BOOT_ID, Timestamp(1, 1))


def _loaded(root: Path) -> _InTree:
    (root / "run").mkdir(parents=True)
    kernel = File("/boot/vmlinuz", "cd" * 32)
    asked = Request(kernel, (File("/boot/initrd", "ef" * 32),), "quiet", False, True)
    with request.alone(root):
        request.keep(root, Loaded(BOOT_ID, True, "ab" * 32, 3, 1_700_000_000_000_000, asked))
    return _InTree(root, lambda: request.read(root))


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
    tree, handed, cached, loaded = (
        make(scratch / name)
        for name, make in {
            "tree": _tree,
            "handed": _handed,
            "cache": _cache,
            "loaded": _loaded,
        }.items()
    )
    image = _handover().assessment.image or b""
    padded = kernels.debian_header().ljust(1 << 14, b"\x90")
    return {
        "tree": Reader(tree, tree.seeds, (), 1),
        "handed": Reader(handed, handed.seeds, (ReadError,), 4),
        "cache": Reader(cached, cached.seeds, (CacheError,), 4),
        "loaded": Reader(loaded, loaded.seeds, (LoadError,), 4),
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
    }


ALL_ERRORS = KexecprepdError
"""What every error that a reader may raise is."""


def _of_uki(data: bytes) -> object:
    with opened(data) as file:
        return uki.is_pe(file) and uki.unpack(file)
