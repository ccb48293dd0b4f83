# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Debian package: what is in it, and that it is as Debian wants it."""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kexecprepd import __version__
from tests.support.packages import CHECKOUT, build_deb, files_below, run

pytestmark = pytest.mark.package

MODULES = "/usr/lib/python3/dist-packages"
INFO = f"{MODULES}/kexecprepd-{__version__}.dist-info"

OF_DEBIAN = {
    *(f"/usr/share/doc/kexecprepd/{name}" for name in ("changelog.gz", "changelog.Debian.gz")),
    "/usr/share/doc/kexecprepd/copyright",
    "/usr/share/lintian/overrides/kexecprepd",
}
"""What the package has beyond packaging/install's files."""


def field(deb: Path, name: str) -> str:
    """A field of the package's control file."""
    return run("dpkg-deb", "--field", deb, name).strip()


def control(deb: Path, name: str) -> str:
    """A file of the package's control part, empty where it has none of that name."""
    archive = subprocess.run(["dpkg-deb", "--ctrl-tarfile", deb], capture_output=True, check=True)
    command = ["tar", "--extract", "--to-stdout", f"./{name}"]
    return subprocess.run(command, input=archive.stdout, capture_output=True).stdout.decode()


def test_lintian_has_no_error_or_warning(deb: Path, tmp_path: Path) -> None:
    command = ["lintian", "--no-cfg", "--allow-root", "--fail-on", "error,warning", str(deb)]
    # It leaves files behind.
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"lintian says:\n{done.stdout}{done.stderr}"


def test_every_override_of_lintian_has_its_reason() -> None:
    lines = (CHECKOUT / "packaging/debian/kexecprepd.lintian-overrides").read_text().splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        assert line.startswith("#") or before.startswith("#"), f"no reason above {line!r}"


def test_it_has_the_files_that_install_has(unpacked: Path, installed: Path) -> None:
    # What dh_python3 knows of Python's metadata varies with the release that builds.
    shipped = {path for path in files_below(unpacked) if not path.startswith(f"{INFO}/")}
    names = files_below(installed)
    expected = {f"{path}.gz" if "/man/" in path else path for path in names}
    assert shipped == expected | OF_DEBIAN


def test_they_have_the_same_content_and_mode(unpacked: Path, installed: Path) -> None:
    shipped = files_below(unpacked)
    for name, path in files_below(installed).items():
        if "/man/" in name:
            continue
        assert shipped[name].read_bytes() == path.read_bytes(), name
        assert shipped[name].stat().st_mode == path.stat().st_mode, name


def test_no_file_names_one_that_is_not_there(installed: Path) -> None:
    there = files_below(installed)
    folders = {str(parent) for name in there for parent in Path(name).parents}
    for name, path in there.items():
        text = path.read_text("utf-8").replace("\\-", "-")
        named = re.findall(r"/usr/[\w./-]*kexecprep[\w./-]*", text)
        assert {each.rstrip("./") for each in named} <= {*there, *folders}, name
        if path.suffix == ".md":
            links = re.findall(r"\]\(([^):]+)\)|`(\S+\.\w+)`", text)
            assert all((path.parent / "".join(each)).is_file() for each in links), name


def test_one_package_is_for_every_release(deb: Path, unpacked: Path) -> None:
    assert field(deb, "Architecture") == "all"
    unit = (unpacked / "usr/lib/systemd/system/kexecprepd.service").read_text()
    assert "\nType=notify\n" in unit
    assert "\nExecReload=/bin/kill -HUP $MAINPID\n" in unit
    # What 252 does not know it would warn of.
    assert "\nRestartSec=" in unit
    assert "RestartSteps" not in unit
    assert "FileDescriptorStore" not in unit


def test_it_depends_on_what_the_daemon_needs(deb: Path) -> None:
    depends = set(field(deb, "Depends").split(", "))
    assert depends >= {
        "default-dbus-system-bus | dbus-system-bus",
        "procps",
        "python3 (>= 3.11)",
        "python3-pydbus",
        "python3-pyudev",
        "python3-sdnotify",
        "systemd (>= 252)",
    }
    # An upper bound would keep it from the next release.
    assert not re.search(r"\(<", field(deb, "Depends"))


def test_hooks_alone_are_configuration_and_do_nothing_without_the_package(deb: Path) -> None:
    # So that nothing of the package outlives its removal, but what others look for in /etc.
    hooks = control(deb, "conffiles").split()
    assert hooks == [
        "/etc/initramfs/post-update.d/zzz-kexecprepd",
        "/etc/kernel/postinst.d/zzz-kexecprepd",
        "/etc/kernel/postrm.d/zzz-kexecprepd",
    ]
    source = CHECKOUT / "packaging/hooks/hook"
    assert run("sh", source, "6.1.0-1-amd64") == ""


def test_what_boots_by_default_is_loaded_only_where_that_is_enabled(deb: Path) -> None:
    postinst = control(deb, "postinst")
    # What was enabled before stays so over an upgrade.
    assert "if deb-systemd-helper debian-installed 'kexecprepd-load.service'" in postinst
    assert not re.search(r"deb-systemd-invoke .*kexecprepd-load", postinst)


def test_the_user_is_there_before_the_bus_looks_and_the_service_starts(deb: Path) -> None:
    postinst = control(deb, "postinst")
    steps = ("systemd-sysusers ", "ReloadConfig", "deb-systemd-invoke ")
    places = [postinst.index(step) for step in steps]
    assert places == sorted(places)


def test_an_upgrade_restarts_the_service_and_does_not_stop_it_before(deb: Path) -> None:
    assert "_dh_action=restart" in control(deb, "postinst")
    assert re.search(r'"\$1" = remove \].*\n\s*deb-systemd-invoke stop', control(deb, "prerm"))


def test_the_watch_is_enabled_and_started_and_what_it_starts_is_not(deb: Path) -> None:
    postinst = control(deb, "postinst")
    assert "deb-systemd-helper enable 'kexecprepd-reload.path'" in postinst
    assert "deb-systemd-invoke $_dh_action 'kexecprepd-reload.path'" in postinst
    assert "kexecprepd-reload.service" not in postinst + control(deb, "prerm")


def test_purge_takes_the_cache_and_the_user(deb: Path) -> None:
    postrm = control(deb, "postrm")
    assert "/run/kexecprepd" in postrm
    assert "userdel kexecprepd" in postrm


def test_the_code_compiles(unpacked: Path) -> None:
    modules = sorted((unpacked / MODULES[1:]).rglob("*.py"))
    assert modules
    for path in modules:
        compile(path.read_bytes(), path, "exec")


@pytest.mark.parametrize("program", ["usr/bin/kexecprepctl", "usr/libexec/kexecprepd"])
def test_the_programs_run_from_the_package(unpacked: Path, program: str) -> None:
    path = unpacked / program
    assert path.read_text().startswith("#!/usr/bin/python3 -IS\n")
    # -I keeps out what PYTHONPATH names, so the module's place is given in another way.
    start = f"import sys, runpy; sys.path.insert(0, {str(unpacked / MODULES[1:])!r}); "
    start += f"sys.argv = ['{path.name}', '--version']; runpy.run_path({str(path)!r})"
    shown = run(sys.executable, "-I", "-B", "-c", start)
    assert shown == f"{path.name} {__version__}\n"


def test_its_version_is_the_code_s(deb: Path) -> None:
    assert field(deb, "Version").rpartition("-")[0] == __version__


def test_python_knows_it(unpacked: Path) -> None:
    metadata = (unpacked / INFO[1:] / "METADATA").read_text()
    assert f"\nName: kexecprepd\nVersion: {__version__}\n" in metadata


@pytest.fixture(scope="module")
def built_again(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Built once more, of a copy elsewhere and in another time zone; and with a suffix."""
    same, later = tmp_path_factory.mktemp("same"), tmp_path_factory.mktemp("later")
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "a checkout"
    shutil.copytree(CHECKOUT, elsewhere, ignore=shutil.ignore_patterns(".git", ".cache"))
    with ThreadPoolExecutor() as pool:
        builds = [
            pool.submit(build_deb, same, checkout=elsewhere, timezone="Pacific/Apia"),
            pool.submit(build_deb, later, "--suffix", "+local1"),
        ]
        again, suffixed = (build.result() for build in builds)
    return again, suffixed


def test_the_same_tree_gives_the_same_package(deb: Path, built_again: tuple[Path, Path]) -> None:
    again, _ = built_again
    assert (again.name, again.read_bytes()) == (deb.name, deb.read_bytes())


def test_a_suffix_makes_a_later_version(deb: Path, built_again: tuple[Path, Path]) -> None:
    _, later = built_again
    versions = (field(later, "Version"), field(deb, "Version"))
    assert versions[0] == f"{versions[1]}+local1"
    run("dpkg", "--compare-versions", versions[0], "gt", versions[1])


def test_the_build_leaves_nothing_in_the_checkout(deb: Path) -> None:
    for name in ("debian", "build", ".pybuild"):
        assert not os.path.lexists(CHECKOUT / name)
    assert not list(CHECKOUT.glob("*.egg-info"))
