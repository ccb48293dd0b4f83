# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guests that the tests run in, and how a test module says which of them it is for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from tests.lab.firmware import OVMF, OVMF32, SEABIOS, Firmware
from tests.lab.guest import DEFAULTS

OPTION_ROMS = 12
"""As many cards have one where there are graphics: a setup_data node each."""

DAEMON, BROKER = "dbus-daemon", "dbus-broker"


@dataclass(frozen=True)
class Machine:
    """A Debian release with one of the two buses, on some firmware."""

    suite: str
    bus: str = DAEMON
    firmware: Firmware = OVMF
    options: str = ""
    firmware_name: str = ""
    defaults: bool = False
    graphics: bool = False
    lookouts: bool = False

    def __str__(self) -> str:
        """What pytest's ids and the console logs call it."""
        defaults = "defaults" if self.defaults else ""
        graphics = "graphics" if self.graphics else ""
        parts = (self.suite, self.bus, self.firmware_name, self.options, defaults, graphics)
        return "-".join(filter(None, parts))

    @property
    def append(self) -> str:
        """What goes to the end of the kernel's command line."""
        # A generator in the image takes the word, and puts the other bus in dbus-daemon's place.
        bus = "bus=broker" if self.bus == BROKER else ""
        # The units that look at the daemon take 5 s of a start: they do where a test asks for it.
        lookouts = "lookouts=on" if self.lookouts else ""
        # Half of the machines take back what makes the lab's kernels faster.
        defaults = DEFAULTS if self.defaults else ""
        return " ".join(filter(None, (self.options, defaults, bus, lookouts)))

    @property
    def qemu_args(self) -> tuple[str, ...]:
        """What QEMU is given beside."""
        if not self.graphics:
            return ()
        others = ("-device", "pci-testdev,romfile=vgabios-stdvga.bin") * (OPTION_ROMS - 1)
        return ("-device", "VGA", *others)


BOOKWORM = Machine("bookworm", lookouts=True)
BOOKWORM_BROKER = Machine("bookworm", BROKER, defaults=True, lookouts=True)
TRIXIE = Machine("trixie", defaults=True, lookouts=True)
TRIXIE_BROKER = Machine("trixie", BROKER, lookouts=True)
COMBINATIONS = (BOOKWORM, BOOKWORM_BROKER, TRIXIE, TRIXIE_BROKER)

NO_RUNTIME = Machine("trixie", options="efi=noruntime")
BIOS = Machine("bookworm", firmware=SEABIOS, firmware_name="seabios")
MIXED_MODE = Machine("bookworm", firmware=OVMF32, firmware_name="ovmf32")
UNSUPPORTED = (NO_RUNTIME, BIOS, MIXED_MODE)

ONCE_EACH = (BOOKWORM, TRIXIE_BROKER)
THE_OTHERS = (BOOKWORM_BROKER, TRIXIE)
"""Either release and either bus once: for what takes long on an emulated processor."""

TESTING = Machine("testing", graphics=True, lookouts=True)
"""What the next release is to be: a newer kernel, systemd and Python."""

INSTALLED_UNDER = {each.suite: each for each in (*ONCE_EACH, TESTING)}
"""Where dpkg installs the package, for all machines of a release."""

INSTALLED_AGAIN = THE_OTHERS
"""Where the tests take it away again, and put it in anew."""

WITH_LOGO = (Machine("bookworm", graphics=True), Machine("trixie", graphics=True))
"""With a graphics card the firmware shows its logo, and leaves a table that tells where that is."""

CHAINS = (*WITH_LOGO, TESTING)
"""Where one kernel after the other is loaded."""

ALL = (*COMBINATIONS, *UNSUPPORTED, *CHAINS)
"""In the order in which they run."""


def on(machines: Iterable[Machine]) -> pytest.MarkDecorator:
    """Run a test, or a module, on each of these machines."""
    chosen = [pytest.param(each, marks=marks(each), id=str(each)) for each in machines]
    return pytest.mark.parametrize("machine", chosen, indirect=True)


def marks(machine: Machine) -> list[pytest.MarkDecorator]:
    """What marks a test for being on it: `packaging/test --testing` is for what comes and goes."""
    return [pytest.mark.testing] if machine.suite == "testing" else []
