# SPDX-License-Identifier: LGPL-2.1-or-later
"""The list of what the package is made of, for those who have to know: SPDX, in JSON."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from kexecprepd import __version__
from tests.support.packages import CHECKOUT

INSTALLED = Path("usr/share/doc/kexecprepd/kexecprepd.spdx.json")
MODULES = "usr/lib/python3/dist-packages"


@pytest.fixture(scope="module")
def sbom(unpacked: Path) -> dict[str, Any]:
    """As the Debian package has it."""
    shown: dict[str, Any] = json.loads((unpacked / INSTALLED).read_text())
    return shown


def test_it_names_the_version_and_the_licences(sbom: dict[str, Any]) -> None:
    package = sbom["packages"][0]
    assert (sbom["spdxVersion"], package["versionInfo"]) == ("SPDX-2.3", __version__)
    assert package["licenseDeclared"] == "LGPL-2.1-or-later AND MIT-0"


def test_it_has_every_module_with_its_digest(sbom: dict[str, Any], unpacked: Path) -> None:
    digests = {
        each["fileName"].removeprefix("./"): each["checksums"][1]["checksumValue"]
        for each in sbom["files"]
    }
    modules = list((unpacked / MODULES).rglob("*.py"))
    assert modules
    for path in modules:
        name = path.relative_to(unpacked / MODULES).as_posix()
        assert digests[name] == hashlib.sha256(path.read_bytes()).hexdigest(), name


def test_it_names_what_the_package_depends_on(sbom: dict[str, Any]) -> None:
    control = (CHECKOUT / "packaging" / "debian" / "control").read_text()
    (depends,) = re.findall(r"^Depends:\n((?: .*\n)+)", control, re.MULTILINE)
    needed = {each["name"] for each in sbom["packages"][1:]}
    assert needed == {"dbus", "pydbus", "python3", "pyudev", "sdnotify", "systemd"}
    for name in needed:
        assert re.search(rf"^ (default-|python3-)?{name}\b", depends, re.MULTILINE), name


def test_whatever_it_relates_is_in_it_once(sbom: dict[str, Any]) -> None:
    ids = [sbom["SPDXID"], *(each["SPDXID"] for each in (*sbom["packages"], *sbom["files"]))]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", each) for each in ids)
    for each in sbom["relationships"]:
        assert {each["spdxElementId"], each["relatedSpdxElement"]} <= set(ids)
    related = {each["relatedSpdxElement"] for each in sbom["relationships"]}
    assert set(ids) - related == {"SPDXRef-DOCUMENT"}


def test_its_verification_code_is_that_of_its_files(sbom: dict[str, Any]) -> None:
    # SPDX 2.3, 7.9: the SHA1 of the files' SHA1s in their order.
    sums = sorted(each["checksums"][0]["checksumValue"] for each in sbom["files"])
    (code,) = sbom["packages"][0]["packageVerificationCode"].values()
    assert code == hashlib.sha1("".join(sums).encode()).hexdigest()
