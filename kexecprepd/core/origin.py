# SPDX-License-Identifier: LGPL-2.1-or-later
"""How this kernel was started: by a boot loader or by kexec, and how many times since power-on."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ..abi.bootparam import BootParams
from .receipt import MOST_KEXECS, Receipt, Unusable
from .snapshot import SetupData, by_kexec, receipt_among


class StartedBy(StrEnum):
    """What started this kernel."""

    BOOT_LOADER = "boot-loader"
    KEXEC = "kexec"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Origin:
    """What started this kernel, and the receipt that came along; None without one of use.

    The receipt is the loader's, or else the one that the kernel before had systemd keep.
    """

    started_by: StartedBy
    receipt: Receipt | None

    @property
    def kexec_count(self) -> int | None:
        """Kexecs since power-on, None where that is not known."""
        if self.started_by is StartedBy.BOOT_LOADER:
            return 0
        return self.receipt.kexec_count if self.receipt else None

    @property
    def next_count(self) -> int | None:
        """`kexec_count` of a kernel that this one starts; None as well where a receipt cannot tell
        so many.
        """
        count = self.kexec_count
        return None if count is None or count >= MOST_KEXECS else count + 1


def origin(
    params: BootParams | None,
    nodes: Iterable[SetupData],
    kept: Receipt | Unusable | None = None,
) -> Origin:
    """Tell by what this kernel was handed; `params` is None where it does not show that.

    `kept` is what the kernel before had systemd keep. Nothing is kept over anything but a kexec;
    where a boot loader started this kernel, it is not believed.
    """
    nodes = tuple(nodes)
    receipt = receipt_among(nodes)
    if not isinstance(receipt, Receipt):
        receipt = kept
    if by_kexec(params, nodes) or (params is None and isinstance(kept, Receipt)):
        return Origin(StartedBy.KEXEC, receipt if isinstance(receipt, Receipt) else None)
    return Origin(StartedBy.UNKNOWN if params is None else StartedBy.BOOT_LOADER, None)
