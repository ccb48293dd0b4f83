# SPDX-License-Identifier: LGPL-2.1-or-later
"""Build and cache the Debian disk, kernel and initrd that the virtual machines boot."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .environment import cache_dir
from .lock import locked

SUITES = ("bookworm", "trixie", "testing")

PACKAGES = (
    "busybox-static",
    "dbus",
    "dbus-broker",
    "initramfs-tools",
    "kexec-tools",
    "kmod",
    "linux-image-amd64",
    "man-db",
    "procps",
    "python3-pefile",
    "python3-pydbus",
    "python3-pyudev",
    "python3-sdnotify",
    "qemu-guest-agent",
    "systemd",
    "systemd-sysv",
    "udev",
    "util-linux",
    "zstd",
)

# Drivers of what no virtual machine of ours has, or has no use for: half of the disk, most of
# depmod's time, and at each start seconds of udev's, which loads what fits the board, KVM first.
# The kernel's package has them below /lib or /usr/lib.
LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/man/[a-z][a-z]/*",
    *(
        f"*/lib/modules/*/kernel/{part}/*"
        for part in (
            "arch/x86/kvm",
            "drivers/ata",
            "drivers/bluetooth",
            "drivers/cpufreq",
            "drivers/crypto",
            "drivers/gpu",
            "drivers/hid",
            "drivers/hwmon",
            "drivers/i2c",
            "drivers/iio",
            "drivers/infiniband",
            "drivers/input",
            "drivers/media",
            "drivers/mfd",
            "drivers/net",
            "drivers/scsi",
            "drivers/staging",
            "drivers/usb",
            "drivers/watchdog",
            "net",
            "sound",
        )
    ),
)

# But the one for QEMU's graphics card, where the kernel also has what bookworm's lacks: a driver
# of the firmware's framebuffer that makes room for it. (/usr/lib is not where bookworm's are.)
LEFT_IN = tuple(
    f"/usr/lib/modules/*/kernel/drivers/gpu/drm/{part}" for part in ("drm*", "ttm/*", "tiny/bochs*")
)

# What Debian makes an initrd with would put udev in, and libraries of 20 MiB: seconds of each
# start where the processor is emulated. This one has what leads to the root file system, not
# compressed; its own tool is never called.
PREPARE = r"""
chroot "$1" dpkg-divert --quiet --local --no-rename \
    --divert /usr/sbin/mkinitramfs.debian --add /usr/sbin/mkinitramfs
cat >"$1/usr/sbin/mkinitramfs" <<'END'
#!/bin/sh
# mkinitramfs [-v] -o FILE RELEASE
set -eu
while getopts vo: option; do
    case $option in
        o) output=$OPTARG ;;
        *) ;;
    esac
done
shift $((OPTIND - 1))
top=$(mktemp -d)
cd "$top"
mkdir bin dev modules new proc
cp "$(command -v busybox)" bin/busybox
cat >init <<'INIT'
#!/bin/busybox sh
set -e
# One of a processor that this is not, ext4 can do without.
for module in /modules/*; do
    /bin/busybox insmod "$module" || :
done
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for word in $(/bin/busybox cat /proc/cmdline); do
    case $word in
        root=*) root=${word#root=} ;;
    esac
done
/bin/busybox umount /proc
/bin/busybox mount -t ext4 -o noatime "$root" /new
/bin/busybox mount -o move /dev /new/dev
exec /bin/busybox switch_root /new /sbin/init "$@"
INIT
chmod 755 init
number=100
for wanted in virtio_pci virtio_blk ext4; do
    modprobe --set-version="$1" --show-depends "$wanted" | while read -r what path _; do
        [ "$what" = insmod ] || continue
        name=${path##*/}
        echo "$path ${name%%.*}"
    done
done | awk '!seen[$1]++' | while read -r path name; do
    number=$((number + 1))
    case $path in
        *.xz) busybox xzcat "$path" ;;
        *) cat "$path" ;;
    esac >"modules/$number-$name.ko"
done
find . | busybox cpio -o -H newc >"$output"
rm -r "$top"
END
chmod 755 "$1/usr/sbin/mkinitramfs"
"""

# Work that a throw-away machine without a network has no use for, at a second or so each when
# the processor is emulated.
MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dev-hugepages.mount",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
    "kexec-load.service",
    "kexec.service",
    "man-db.timer",
    "modprobe@configfs.service",
    "modprobe@dm_mod.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "modprobe@loop.service",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount",
    "systemd-binfmt.service",
    "systemd-hibernate-clear.service",
    "systemd-hwdb-update.service",
    "systemd-network-generator.service",
    "systemd-networkd.service",
    "systemd-pcrmachine.service",
    "systemd-pcrphase-sysinit.service",
    "systemd-pcrphase.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-timesyncd.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-tpm2-setup-early.service",
    "systemd-tpm2-setup.service",
    "systemd-udev-load-credentials.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
)

# Each is a process more at every start, and whenever systemd reads its units again.
GENERATORS = (
    "systemd-cryptsetup-generator",
    "systemd-debug-generator",
    "systemd-factory-reset-generator",
    "systemd-getty-generator",
    "systemd-gpt-auto-generator",
    "systemd-hibernate-resume-generator",
    "systemd-integritysetup-generator",
    "systemd-rc-local-generator",
    "systemd-ssh-generator",
    "systemd-system-update-generator",
    "systemd-tpm2-generator",
    "systemd-veritysetup-generator",
)

# What was there before udev, and has a driver yet to be loaded, or a unit that waits for it. Of
# all there is, some two hundred, most are terminals.
COLDPLUGGED = ("block", "pci", "platform", "virtio", "virtio-ports")
MATCHES = " ".join(f"--subsystem-match={each}" for each in COLDPLUGGED)

CUSTOMISE = rf"""
chroot "$1" useradd --create-home --uid 1000 --shell /bin/bash tester
echo kexecprepd-vm >"$1/etc/hostname"
echo 127.0.0.1 localhost kexecprepd-vm >"$1/etc/hosts"
# A set id: an empty one makes every boot a first boot, which enables every unit there is.
echo 6b657865637072657064766d00000001 >"$1/etc/machine-id"
: >"$1/etc/fstab"
for unit in {" ".join(MASKED)}; do
    ln -sf /dev/null "$1/etc/systemd/system/$unit"
done
# Which of the two buses there is, a start decides: dbus-broker by a word on the command line.
rm -f "$1/etc/systemd/system/dbus.service"
mkdir -p "$1/etc/systemd/system-generators"
for generator in {" ".join(GENERATORS)}; do
    ln -s /dev/null "$1/etc/systemd/system-generators/$generator"
done
mkdir "$1/usr/lib/systemd/system/systemd-udev-trigger.service.d"
cat >"$1/usr/lib/systemd/system/systemd-udev-trigger.service.d/vm.conf" <<END
[Service]
ExecStart=
ExecStart=-udevadm trigger --action=add {MATCHES}
END
cat >"$1/etc/systemd/system-generators/bus" <<'END'
#!/bin/sh
grep -qw bus=broker /proc/cmdline || exit 0
ln -s /lib/systemd/system/dbus-broker.service "$2/dbus.service"
END
chmod 755 "$1/etc/systemd/system-generators/bus"
# No index of the manual: `man` finds a page without, and each dpkg would make it anew.
rm -f "$1/var/lib/man-db/auto-update"
mkdir -p "$1/etc/systemd/journald.conf.d"
# One file that is never full: while journald goes on to another, journalctl may read neither,
# and says with status 0 that it ignores one.
cat >"$1/etc/systemd/journald.conf.d/vm.conf" <<'END'
[Journal]
Storage=volatile
RuntimeMaxUse=64M
RuntimeMaxFileSize=64M
END
# Nothing of busybox need have been there when the kernel was installed.
release=$(ls "$1/lib/modules")
chroot "$1" mkinitramfs -o "/boot/initrd.img-$release" "$release"
rm -rf "$1"/var/cache/apt/*.bin "$1"/var/log/*.log
touch "$1/etc/.updated" "$1/var/.updated"
"""

FREE_SPACE_MIB = 500


@dataclass(frozen=True)
class Image:
    """A bootable guest: nobody writes to these files, machines work on an overlay."""

    suite: str
    disk: Path
    kernel: Path
    initrd: Path


class ImageError(Exception):
    """The image cannot be built; the message says what to do."""


def image_key(suite: str) -> str:
    """Name an image after everything that determines it."""
    recipe = [suite, FREE_SPACE_MIB, _build_arguments("")]
    return f"{suite}-{hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]}"


def get_image(suite: str = "bookworm") -> Image:
    """Return the image of a Debian suite, building it if the cache has none."""
    if suite not in SUITES:
        raise ImageError(f"Debian suite {suite!r} is not known here: use one of {SUITES}")
    folder = cache_dir() / image_key(suite)
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.parent / f"{suite}.lock"):
            if not folder.is_dir():
                _build(suite, folder)
    return Image(suite, folder / "disk.raw", folder / "vmlinuz", folder / "initrd")


def _build(suite: str, folder: Path) -> None:
    if os.geteuid() != 0:
        raise ImageError("building a guest image takes root: run the build as root once")
    for tool in ("mmdebstrap", "mke2fs"):
        if shutil.which(tool) is None:
            raise ImageError(f"{tool} is missing: install mmdebstrap and e2fsprogs")
    # We hold the lock, so what an interrupted build left behind has no owner.
    for leftover in folder.parent.glob(f"building-{suite}-*"):
        _unmount(leftover)
        shutil.rmtree(leftover)
    work = Path(tempfile.mkdtemp(prefix=f"building-{suite}-", dir=folder.parent))
    try:
        _fill(suite, work)
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _unmount(folder: Path) -> None:
    """Undo mmdebstrap's mounts below a folder: /proc, /sys and the devices are the host's own."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    for line in reversed(lines):
        point = line.split()[1].encode().decode("unicode_escape")
        if Path(point).is_relative_to(folder):
            run_tool(["umount", "--lazy", point])


def _build_arguments(suite: str) -> list[str]:
    arguments = ["mmdebstrap", "--variant=minbase", "--format=directory", "--quiet"]
    # A mirror may be a snapshot of some age.
    arguments.append('--aptopt=Acquire::Check-Valid-Until "false"')
    # It would undo the machine id that the hook has set.
    arguments.append("--skip=cleanup/reproducible")
    arguments += [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    arguments += [f"--dpkgopt=path-include={pattern}" for pattern in LEFT_IN]
    # Nobody reads what a crash of the machine that builds has left.
    arguments.append("--dpkgopt=force-unsafe-io")
    arguments.append(f"--include={','.join(PACKAGES)}")
    arguments += [f"--essential-hook={PREPARE}", f"--customize-hook={CUSTOMISE}", suite]
    return arguments


def _fill(suite: str, work: Path) -> None:
    root = work / "root"
    run_tool([*_build_arguments(suite), str(root)])
    for name, pattern in (("vmlinuz", "vmlinuz-*"), ("initrd", "initrd.img-*")):
        found = sorted((root / "boot").glob(pattern))
        if len(found) != 1:
            raise ImageError(f"/boot of the new guest has {len(found)} files {pattern}, not one")
        shutil.copyfile(found[0], work / name)
    used = int(run_tool(["du", "-sm", str(root)]).split()[0])
    # No journal: the disk lives for one run, and replaying it costs time at every boot.
    run_tool(
        [
            *("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-L", "root"),
            *("-E", "lazy_itable_init=0", "-d", str(root), str(work / "disk.raw")),
            f"{used + used // 10 + FREE_SPACE_MIB}M",
        ]
    )
    shutil.rmtree(root)


def run_tool(command: list[str], folder: Path | None = None) -> str:
    """Run a program, in a folder, and return its output. Raises ImageError, which quotes the end
    of it.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise ImageError(f"{command[0]} failed with status {done.returncode}:\n{tail}")
    return done.stdout


if __name__ == "__main__":
    for name in sys.argv[1:] or ["bookworm"]:
        print(get_image(name).disk)
