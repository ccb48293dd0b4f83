# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepd-loaders(7) against the kernel's headers, the daemon and the examples."""

import re
import subprocess
from xml.etree import ElementTree

from kexecprepd import __version__
from kexecprepd.abi.bootparam import E820_NAMES
from kexecprepd.wire import errors
from kexecprepd.wire.loader_info import SIGNATURES
from tests.support.manual import MAN, section, tags

PAGE = "kexecprepd-loaders.7"
EXAMPLES = MAN.parent / "examples"


def fields() -> list[tuple[str, int, int]]:
    """Name, offset and size of each field in the page's tables."""
    text = section(PAGE, "WHAT GOES INTO BOOT_PARAMS")
    rows = re.findall(r"^(0x[0-9a-f]+|\d+)\t(\d+)\t([a-z0-9_.]+)\t", text, re.MULTILINE)
    return [(name, int(offset, 0), int(size)) for offset, size, name in rows]


def test_it_carries_the_version() -> None:
    assert f'"kexecprepd {__version__}"' in (MAN / PAGE).read_text()


def test_every_field_is_where_the_kernel_s_header_has_it() -> None:
    checks = []
    for name, offset, size in fields():
        struct, member = (
            ("struct efi_info", name)
            if name.startswith("efi_") and name != "efi_info"
            else ("struct boot_params", name)
        )
        checks.append(f"_Static_assert(offsetof({struct}, {member}) == {offset}, {name!r});")
        checks.append(f"_Static_assert(sizeof((({struct} *)0)->{member}) == {size}, {name!r});")
    assert len(checks) == 2 * 20
    source = "#include <stddef.h>\n#include <asm/bootparam.h>\n" + "\n".join(checks)
    done = subprocess.run(
        ["gcc", "-std=c17", "-fsyntax-only", "-x", "c", "-"],
        input=source.replace("'", '"'),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_type_of_memory_with_its_number() -> None:
    text = section(PAGE, "WHAT GOES INTO BOOT_PARAMS")
    rows = re.findall(r"^(\d+|0xefffffff)\t([A-Z][A-Za-z ()-]+)$", text, re.MULTILINE)
    assert {int(number, 0): name for number, name in rows} == E820_NAMES


def test_the_calls_have_the_signatures_of_the_interface() -> None:
    text = section(PAGE, "THE CALL").replace("\\f[BIP]", "")
    told = re.findall(r"(\w+)\(([^)]*)\) \\\(-> \((.*)\)$", text, re.MULTILINE)
    interface = ElementTree.parse(MAN.parent / "dbus/org.kexecprepd1.Manager.xml")
    known = {
        method.get("name"): tuple(
            [
                (each.get("type"), each.get("name"))
                for each in method.iterfind("arg")
                if each.get("direction") == way
            ]
            for way in ("in", "out")
        )
        for method in interface.iter("method")
    }
    assert len(told) == 3
    for name, taken, given in told:
        sides = ([tuple(arg.split()) for arg in side.split(", ") if arg] for side in (taken, given))
        assert tuple(sides) == known[name]


def test_the_examples_print_the_offsets_of_the_page() -> None:
    known = {(offset, name) for name, offset, _ in fields()}
    for example in ("place.c", "place.sh", "place.py"):
        rows = re.findall(r"  (0x[0-9a-f]{3})  ([a-z_.]+) +", (EXAMPLES / example).read_text())
        assert len(rows) == 4
        assert {(int(offset, 16), name) for offset, name in rows} <= known


def test_every_error_has_its_advice() -> None:
    names = {kind.name for kind in errors.BusError.__subclasses__()}
    assert names <= set(tags(PAGE, "ERRORS"))
    (other,) = set(tags(PAGE, "ERRORS")) - names
    assert other.startswith("org.freedesktop.DBus.Error.ServiceUnknown")


def test_the_keys_of_info_that_it_names_are_there() -> None:
    text = section(PAGE, "WHAT GOES INTO BOOT_PARAMS")
    named = set(re.findall(r"\t([a-z-]+) of info$", text, re.MULTILINE))
    assert named == {"acpi-rsdp", "secure-boot"}
    assert named <= set(SIGNATURES)


def test_the_other_pages_lead_to_it() -> None:
    for page in MAN.glob("*.[578]"):
        if page.name != PAGE:
            assert "kexecprepd-loaders (7)" in section(page.name, "SEE ALSO"), page.name
