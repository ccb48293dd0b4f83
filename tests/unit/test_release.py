# SPDX-License-Identifier: LGPL-2.1-or-later
"""The version stands in several places: all name the same, and packaging/release sets them all."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from kexecprepd import __version__

CHECKOUT = Path(__file__).resolve().parents[2]
RELEASE = CHECKOUT / "packaging" / "release"
LATER = "99.0.0"
PLACES = (
    "kexecprepd/__init__.py",
    "man/kexecprepctl.1",
    "man/kexecprepd-findings.7",
    "man/kexecprepd-findings.7.in",
    "man/kexecprepd-image.5",
    "man/kexecprepd-loaders.7",
    "man/kexecprepd.service.8",
    "man/org.kexecprepd1.5",
    "man/org.kexecprepd1.5.in",
    "packaging/debian/changelog",
    "packaging/kexecprepd.spec",
    "CHANGELOG.md",
    "README.md",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a release changes, with something to tell in it."""
    for name in ("kexecprepd/__init__.py", "README.md", "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(CHECKOUT / name, tmp_path / name)
    for folder in ("man", "packaging"):
        shutil.copytree(CHECKOUT / folder, tmp_path / folder)
    changelog = tmp_path / "CHANGELOG.md"
    news = changelog.read_text()
    if "## Unreleased\n" not in news:
        head, _, rest = news.partition("\n## ")
        changelog.write_text(f"{head}\n## Unreleased\n\n- Something.\n\n## {rest}")
    return tmp_path


def release(checkout: Path, version: str) -> subprocess.CompletedProcess[str]:
    """Run it."""
    command = [sys.executable, str(RELEASE), "--checkout", str(checkout), version]
    return subprocess.run(command, capture_output=True, text=True)


def texts(checkout: Path, names: Iterable[str] = PLACES) -> dict[str, str]:
    """What files of it say."""
    return {name: (checkout / name).read_text() for name in names}


def all_texts(checkout: Path) -> dict[str, str]:
    """What each file says that it might change."""
    files = (path for path in checkout.rglob("*") if path.is_file())
    return texts(checkout, (path.relative_to(checkout).as_posix() for path in files))


def test_both_packages_have_the_code_s_version() -> None:
    names = ("packaging/debian/changelog", "packaging/kexecprepd.spec")
    debian, spec = texts(CHECKOUT, names).values()
    assert debian.startswith(f"kexecprepd ({__version__}-1) ")
    assert re.findall(r"(?m)^Version: +(.+)$", spec) == [__version__]
    assert re.findall(r"(?s)%changelog\n\* [^\n]* - ([^\n]*)\n", spec) == [f"{__version__}-1"]


def test_the_changelog_tells_of_this_version() -> None:
    assert re.search(rf"(?m)^## {re.escape(__version__)} \(", texts(CHECKOUT)["CHANGELOG.md"])


def test_no_place_is_left_with_the_version_before(checkout: Path) -> None:
    before = all_texts(checkout)
    done = release(checkout, LATER)

    assert (done.returncode, done.stderr) == (0, "")
    after = all_texts(checkout)
    assert {name for name, text in after.items() if text != before[name]} == set(PLACES)
    # A changelog goes on to tell of what was before.
    current = {name: text.partition("%changelog\n")[0] for name, text in after.items()}
    for name in PLACES:
        assert LATER in current[name], name
    told = re.compile(rf"(?<![\d.]){re.escape(__version__)}(?![\d.])")
    named = {name for name, text in current.items() if told.search(text)}
    assert named <= {"CHANGELOG.md", "packaging/debian/changelog"}


def test_debian_s_changelog_has_an_entry_as_dpkg_wants_it(checkout: Path) -> None:
    release(checkout, LATER)
    text = (checkout / "packaging/debian/changelog").read_text()
    assert re.match(
        rf"kexecprepd \({LATER}-1\) unstable; urgency=medium\n\n  \* .+\n\n"
        r" -- .+ <.+@.+>  \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000\n\nkexecprepd \(",
        text,
    )


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("0.0.1", "does not come after"),
        (__version__, "does not come after"),
        ("1.0", "is no version"),
        ("1.0.0rc1", "is no version"),
    ],
)
def test_a_version_that_cannot_be_changes_nothing(checkout: Path, version: str, words: str) -> None:
    before = texts(checkout)
    done = release(checkout, version)
    assert (done.returncode, texts(checkout)) == (1, before)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_release_that_tells_nothing_is_none(checkout: Path) -> None:
    release(checkout, LATER)
    before = texts(checkout)
    done = release(checkout, "99.0.1")
    assert (done.returncode, texts(checkout)) == (1, before)
    assert "tells nothing under '## Unreleased'" in done.stderr
