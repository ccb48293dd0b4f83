# SPDX-License-Identifier: LGPL-2.1-or-later
"""examples/: what loader authors copy is built as it says, and does what the daemon expects."""

import re
import shutil
import struct
import subprocess
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gi.repository import GLib

from tests.support.daemon import CHECKOUT, Daemon, running
from tests.support.private_bus import PrivateBus
from tests.support.recordings import (
    BGRT,
    BOOT_PARAMS,
    DATA,
    EFI,
    FIRST_KERNEL,
    KEXEC_SYSCALL,
    NO_RUNTIME,
    RUNTIME_MAP,
    add_range,
    add_region,
    materialise,
    remove,
    set_region,
)

from .client import Client, Refused, read_tree
from .examples import EXAMPLES, Run, build, build_command
from .relay import on_the_way
from .unprivileged import SETPRIV

pytestmark = pytest.mark.bus

PROGRAMS = ("place", "place.sh", "place.py")
COMPILERS = tuple(name for name in ("gcc", "clang") if shutil.which(name))

PAGE = 4096
GIB = 1 << 30
BOOT_SERVICES_DATA = 4
RUNTIME_WB = 0x8000_0000_0000_000F
VIRT = 0xFFFF_FFEF_0000_0000
"""The lowest address of the window for EFI; the recordings' own mappings are at its top."""


@pytest.fixture(scope="module")
def built() -> Iterator[Path]:
    """A directory with the programs, which every user can reach."""
    path = Path(tempfile.mkdtemp(prefix="kexecprepd-examples."))
    try:
        path.chmod(0o755)
        build(path)
        for name in PROGRAMS[1:]:
            shutil.copy(EXAMPLES / name, path)
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest, built: Path) -> Path:
    """Each of the programs."""
    return built / str(request.param)


def place_setup_data(client: Client, address: int) -> tuple[bytes, bytes]:
    """What the daemon itself answers for an address."""
    image, efi_info, _ = client.call("PlaceSetupData", GLib.Variant("(tt)", (address, 0)))
    return bytes(image), bytes(efi_info)


def keep(tree: Path, phys_addr: int) -> None:
    """Have the firmware keep a page of System RAM."""
    add_region(
        tree,
        type=BOOT_SERVICES_DATA,
        phys_addr=phys_addr,
        virt_addr=VIRT + phys_addr,
        num_pages=1,
        attribute=RUNTIME_WB,
    )


@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_c_example_is_built_without_a_warning(tmp_path: Path, compiler: str) -> None:
    assert build(tmp_path, "-O2", "-Wshadow", "-Wconversion", compiler=compiler).exists()


@pytest.mark.parametrize("recording", [FIRST_KERNEL, BGRT, KEXEC_SYSCALL])
def test_they_place_what_the_daemon_places_there(
    bus: PrivateBus, top: Path, client: Client, program: Path, recording: str
) -> None:
    tree = materialise(recording, top / "root")
    with running(top, tree, bus.environment):
        run = Run(program, bus.environment, top)

        assert run.placed == place_setup_data(client, run.address)
        info = client.call("GetSetupData")[1]
        assert run.printed("acpi_rsdp_addr") == info["acpi-rsdp"] != 0
        assert run.printed("secure_boot") == info["secure-boot"]
        assert f"efi_info        {run.placed[1].hex()}\n" in run.stdout


def test_the_image_has_the_layout_that_the_next_kernel_reads(
    daemon: Daemon, bus: PrivateBus, top: Path, tree: Path, program: Path
) -> None:
    run = Run(program, bus.environment, top)
    image, efi_info = run.placed

    tables = [read_tree(tree, f"firmware/efi/{name}") for name in ("fw_vendor", "runtime")]
    tables.append(read_tree(tree, "firmware/efi/config_table"))
    assert struct.unpack_from("<QII3Q", image) == (0, 4, 96, *tables)
    phys_addrs = [
        read_tree(tree, f"firmware/efi/runtime-map/{path.name}/phys_addr")
        for path in (tree / RUNTIME_MAP).iterdir()
    ]
    descriptors = list(struct.iter_unpack("<IIQQQQ", image[112:]))
    assert [phys_addr for _, _, phys_addr, *_ in descriptors] == sorted(phys_addrs)

    systab = struct.unpack_from("<I", (tree / BOOT_PARAMS).read_bytes(), 0x1C4)[0]
    memmap = run.address + 112
    expected = (b"EL64", systab, 40, 1, memmap, len(image) - 112, 0, 0)
    assert struct.unpack("<4s7I", efi_info) == expected


def test_a_second_kernel_is_given_the_bytes_put_together_by_hand(
    bus: PrivateBus, top: Path, program: Path
) -> None:
    tree = materialise(KEXEC_SYSCALL, top / "root")
    with running(top, tree, bus.environment):
        run = Run(program, bus.environment, top)

    assert run.placed[0] == bytes.fromhex((DATA / "golden-kexec-syscall.hex").read_text())


def reserve(tree: Path, phys_addr: int) -> None:
    """Have the memory map call a page of System RAM reserved, too."""
    add_range(tree, phys_addr, phys_addr + PAGE - 1, "Reserved")


@pytest.mark.parametrize(
    ("take", "words"), [(keep, "touches the excluded range"), (reserve, "is not System RAM")]
)
def test_they_go_around_memory_that_is_taken(
    daemon: Daemon,
    bus: PrivateBus,
    top: Path,
    tree: Path,
    client: Client,
    program: Path,
    take: Callable[[Path, int], object],
    words: str,
) -> None:
    before = Run(program, bus.environment, top).address
    take(tree, before)
    client.call("Refresh")
    with pytest.raises(Refused, match=words):
        place_setup_data(client, before)

    run = Run(program, bus.environment, top)

    assert run.placed == place_setup_data(client, run.address)
    assert run.address + PAGE <= before


def test_an_image_of_two_pages_is_not_put_into_a_hole_of_one(
    daemon: Daemon, bus: PrivateBus, top: Path, tree: Path, client: Client, program: Path
) -> None:
    highest = Run(program, bus.environment, top).address
    kept = [highest - 2 * PAGE * number for number in range(100)]
    for phys_addr in kept:
        keep(tree, phys_addr)
    client.call("Refresh")

    run = Run(program, bus.environment, top)

    assert len(run.placed[0]) == PAGE + 256
    assert run.placed == place_setup_data(client, run.address)
    assert run.address + 2 * PAGE <= kept[-1]


def test_memory_above_4_gib_is_left_alone(
    daemon: Daemon, bus: PrivateBus, top: Path, tree: Path, client: Client, program: Path
) -> None:
    add_range(tree, 0x1_0000_0000, 0x2_3FFF_FFFF, "System RAM")
    client.call("Refresh")

    assert Run(program, bus.environment, top).address < 0x1_0000_0000


def test_they_ask_once(
    daemon: Daemon, bus: PrivateBus, top: Path, tree: Path, client: Client, program: Path
) -> None:
    asked: list[str] = []

    def change() -> None:
        """A memory map for each question, so that no two answers would fit."""
        asked.append("GetHandover")
        start = len(asked) * GIB + 4 * GIB
        add_range(tree, start, start + GIB - 1, "System RAM")
        client.call("Refresh")

    with on_the_way(bus, top / "relay", "GetHandover", change) as environment:
        run = Run(program, environment, top)

    assert asked == ["GetHandover"]
    assert run.stdout.startswith("generation 2: ")
    assert run.placed == place_setup_data(client, run.address)


@pytest.mark.parametrize("low", [False, True], ids=["no-memory-map", "low-memory-alone"])
def test_no_room_is_told(
    daemon: Daemon, bus: PrivateBus, top: Path, tree: Path, client: Client, program: Path, low: bool
) -> None:
    remove(tree, "sys/firmware/memmap")
    if low:
        add_range(tree, 0, 0x9_FFFF, "System RAM")
    client.call("Refresh")

    assert "There is no room for the image." in Run(program, bus.environment, top).failure


def test_an_invalid_map_is_refused_in_the_daemon_s_words(
    daemon: Daemon, bus: PrivateBus, top: Path, tree: Path, client: Client, program: Path
) -> None:
    set_region(tree, 0, num_pages=0)
    client.call("Refresh")

    assert client.get("Reason") in Run(program, bus.environment, top).failure


@pytest.mark.parametrize("recording", [NO_RUNTIME, None])
def test_a_machine_with_nothing_to_hand_over_is_told_so(
    bus: PrivateBus, top: Path, tree: Path, client: Client, program: Path, recording: str | None
) -> None:
    if recording:
        tree = materialise(recording, top / "other")
    else:
        remove(tree, EFI)
    with running(top, tree, bus.environment):
        assert client.get("State") == "unsupported"
        assert client.get("Reason") in Run(program, bus.environment, top).failure


def test_without_a_daemon_they_say_so(bus: PrivateBus, top: Path, program: Path) -> None:
    assert "org.kexecprepd1 was not provided" in Run(program, bus.environment, top).failure


def test_without_a_bus_they_say_so(bus: PrivateBus, top: Path, program: Path) -> None:
    environment = {**bus.environment, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={top}/none"}

    assert "No such file or directory" in Run(program, environment, top).failure


def test_a_user_is_refused(daemon: Daemon, bus: PrivateBus, top: Path, program: Path) -> None:
    # The policy of the bus says so before the daemon does.
    assert "denied" in Run(program, bus.environment, top, *SETPRIV).failure.lower()


def test_the_readme_has_the_same_command_and_what_comes_of_it(
    bus: PrivateBus, top: Path, program: Path
) -> None:
    tree = materialise(BGRT, top / "root")
    with running(top, tree, bus.environment):
        shown = Run(program, bus.environment, top).stdout
    readme = (EXAMPLES / "README.md").read_text()
    page = (CHECKOUT / "man" / "kexecprepd-loaders.7").read_text()

    assert f"    {build_command()}\n" in readme
    assert textwrap.indent(shown, "    ") in readme
    # A page is not as wide.
    assert re.sub("( efi_info +[0-9a-f]{44})[0-9a-f]{20}", r"\1...", shown) in page


def test_the_c_example_names_the_error(
    bus: PrivateBus, top: Path, tree: Path, client: Client, built: Path
) -> None:
    with running(top, tree, bus.environment):
        set_region(tree, 0, num_pages=0)
        client.call("Refresh")
        failure = Run(built / "place", bus.environment, top).failure
        assert failure.startswith("place: GetHandover: org.kexecprepd1.Error.Invalid: ")
        remove(tree, EFI)
        client.call("Refresh")
        failure = Run(built / "place", bus.environment, top).failure
        assert failure.startswith("place: GetHandover: org.kexecprepd1.Error.Unsupported: ")
        assert "Load without EFI" in failure


def test_a_file_that_cannot_be_written_is_named(
    daemon: Daemon, bus: PrivateBus, top: Path, program: Path
) -> None:
    run = Run(program, bus.environment, top / "no-such-directory")

    assert "no-such-directory/image" in run.failure


@pytest.mark.parametrize("arguments", [[], ["image"], ["image", "efi_info", "more"]])
def test_wrong_usage(program: Path, arguments: list[str]) -> None:
    done = subprocess.run([program, *arguments], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"usage: {program.name} IMAGE EFI_INFO\n"


def test_the_c_example_handles_memory_well(
    bus: PrivateBus, top: Path, tree: Path, client: Client, tmp_path: Path
) -> None:
    program = build(tmp_path, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    with running(top, tree, bus.environment):
        run = Run(program, bus.environment, top)
        assert run.placed == place_setup_data(client, run.address)
        remove(tree, "sys/firmware/memmap")
        client.call("Refresh")
        assert "no room" in Run(program, bus.environment, tmp_path).failure
        remove(tree, EFI)
        client.call("Refresh")
        assert "Load without EFI" in Run(program, bus.environment, tmp_path).failure
    assert "was not provided" in Run(program, bus.environment, tmp_path).failure
