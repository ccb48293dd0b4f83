# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a kexec needs or loses beside the maps, each in a sentence: it changes nothing about them.

Adding a caution takes a function that gives the sentence, or None where there is nothing to say,
and a row. The function's docstring is its entry in kexecprepd-findings(7).
"""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..abi.efi import (
    BOOT_TO_FIRMWARE_UI,
    FILE_CAPSULE_DELIVERY,
    START_OS_RECOVERY,
    START_PLATFORM_RECOVERY,
)
from .finding import Finding, Severity


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a system says of itself that matters to a kexec; False or 0 where it does not tell.

    `guest` names what keeps this guest's memory from its host, if anything does. `secure_boot` is
    what started this kernel said of it, or else the firmware's own variable; None where neither
    does; `secure_boot_lost` is whether a kexec has started this kernel without a word of it.
    `signed_only` is whether lockdown demands signed kernels, `handover` whether something may
    be preserved over a kexec (KHO). `os_indications`, `boot_next` and `loader_entry` are what is
    asked of the firmware, and of the boot loader, for the next boot through them.
    """

    guest: str | None
    secure_boot: bool | None
    secure_boot_lost: bool
    signed_only: bool
    handover: bool
    os_indications: int
    boot_next: bool
    loader_entry: bool

    @property
    def ima_may_refuse(self) -> bool:
        """Whether kexec_load(2) may be refused by a policy that cannot be seen."""
        return bool(self.secure_boot) and not self.signed_only


@dataclass(frozen=True, slots=True)
class Caution:
    """A caution's stable code, how bad it is, what to do about it, and the function."""

    code: str
    severity: Severity
    hint: str
    check: Callable[[Surroundings], str | None]

    @property
    def meaning(self) -> str:
        """What the manual says of it."""
        return inspect.getdoc(self.check) or ""


def cautions(surroundings: Surroundings, rows: Iterable[Caution] | None = None) -> list[Finding]:
    """What there is to say, of all cautions or of some; nothing of it holds an address."""
    said = ((row, row.check(surroundings)) for row in (CAUTIONS if rows is None else rows))
    return [Finding(row.severity, row.code, text, row.hint) for row, text in said if text]


def _guest(surroundings: Surroundings) -> str | None:
    """The system is a TDX or an SEV-SNP guest. Memory that is shared with the host has to be made
    private again on the way, and processors have to be handed over: kernels have learned that one
    after the other, and older ones crash or hang in a kexec.
    """
    if surroundings.guest is None:
        return None
    return f"This is a guest with {surroundings.guest}, where kexec works between recent kernels."


def _ima(surroundings: Surroundings) -> str | None:
    """Secure Boot is on, and the kernel is not locked down. Kernels with CONFIG_IMA_ARCH_POLICY
    then refuse kexec_load(2) by IMA's policy (EACCES), which cannot be told beforehand.
    """
    if not surroundings.ima_may_refuse:
        return None
    return "Secure Boot is on without lockdown: IMA's policy may still refuse kexec_load(2)."


def _secure_boot_lost(surroundings: Surroundings) -> str | None:
    """This kernel was started by kexec, and was not told whether Secure Boot is on: kexec-tools
    leave that out with kexec_load(2). The next kernel is not told either, and neither locks itself
    down because of it.
    """
    if not surroundings.secure_boot_lost:
        return None
    return "What started this kernel did not tell it of Secure Boot, and so the next is not told."


def _handover(surroundings: Surroundings) -> str | None:
    """Kexec handover (KHO) is on, or there is /dev/liveupdate. What is preserved by that, as what
    services have in systemd's file descriptor store (261 and later), reaches a kernel that
    kexec_file_load(2) has loaded; after kexec_load(2) it is dropped.
    """
    if not surroundings.handover:
        return None
    return "Kexec handover (KHO) is on, and kexec_load(2) drops what services keep by it."


def _setup_screen(surroundings: Surroundings) -> str | None:
    """OsIndications asks the firmware for its setup screen, as `systemctl reboot --firmware-setup`
    does. A kexec does not go through the firmware, and the request waits.
    """
    if not surroundings.os_indications & BOOT_TO_FIRMWARE_UI:
        return None
    return "The firmware's setup screen is asked for, and a kexec passes that by."


def _capsule(surroundings: Surroundings) -> str | None:
    """OsIndications tells the firmware of an update on disk (a capsule), as fwupd does. A kexec
    does not go through the firmware: where a machine is only ever restarted by kexec, its updates
    are never applied.
    """
    if not surroundings.os_indications & FILE_CAPSULE_DELIVERY:
        return None
    return "A firmware update waits to be applied, and a kexec passes it by."


def _recovery(surroundings: Surroundings) -> str | None:
    """OsIndications asks the firmware to recover the system or the platform. A kexec does not go
    through the firmware, and the request waits.
    """
    if not surroundings.os_indications & (START_OS_RECOVERY | START_PLATFORM_RECOVERY):
        return None
    return "The firmware is asked for recovery, and a kexec passes that by."


def _boot_next(surroundings: Surroundings) -> str | None:
    """BootNext says what the firmware is to start at the next boot, once: another system, or the
    program by which fwupd updates the firmware. A kexec does not go through the firmware, and the
    request waits.
    """
    if not surroundings.boot_next:
        return None
    return "BootNext names what is to be started next, and a kexec passes that by."


def _loader_entry(surroundings: Surroundings) -> str | None:
    """LoaderEntryOneShot, or next_entry in GRUB's environment, says what the boot loader is to
    start at the next boot, once, as `systemctl reboot --boot-loader-entry=` and `grub-reboot` do. A
    kexec does not go through the boot loader, and the request waits.
    """
    if not surroundings.loader_entry:
        return None
    return "The boot loader is asked for another entry once, and a kexec passes that by."


IMA_MAY_REFUSE = "ima-may-refuse"

_REBOOT = "Reboot through the firmware to have that done: `systemctl reboot` with no kernel loaded."

OF_SYSTEM: tuple[Caution, ...] = (
    Caution(
        "confidential-guest",
        Severity.WARNING,
        "Have a recent kernel on both sides, and try it before you rely on it.",
        _guest,
    ),
    Caution(
        IMA_MAY_REFUSE,
        Severity.INFO,
        "`kexecprepctl load` has the kernel load a signed one by itself where that is so.",
        _ima,
    ),
    Caution(
        "secure-boot-lost",
        Severity.INFO,
        "Reboot through the firmware to have it told again; from then on `kexec -s` and "
        "`kexecprepctl load` hand it on.",
        _secure_boot_lost,
    ),
    Caution(
        "kexec-handover",
        Severity.WARNING,
        "Where something has to be preserved, load the kernel by kexec_file_load(2), as "
        "`kexecprepctl load` does by itself.",
        _handover,
    ),
)
"""What concerns the load of a kernel."""

OF_FIRMWARE: tuple[Caution, ...] = (
    Caution("firmware-setup-waits", Severity.WARNING, _REBOOT, _setup_screen),
    Caution("firmware-update-waits", Severity.WARNING, _REBOOT, _capsule),
    Caution("firmware-recovery-waits", Severity.WARNING, _REBOOT, _recovery),
    Caution("boot-next-waits", Severity.WARNING, _REBOOT, _boot_next),
    Caution("loader-entry-waits", Severity.WARNING, _REBOOT, _loader_entry),
)
"""What is asked of the firmware, and waits as long as nothing goes through it."""

OF_KEXEC_LOAD = (IMA_MAY_REFUSE, "secure-boot-lost", "kexec-handover")
"""Codes of those that do not concern kexec_file_load(2)."""

CAUTIONS: tuple[Caution, ...] = (*OF_SYSTEM, *OF_FIRMWARE)
"""All of them, in the order in which they are given."""
