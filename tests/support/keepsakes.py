# SPDX-License-Identifier: LGPL-2.1-or-later
"""What two kernels' daemons have left, one after the other."""

from dataclasses import replace

from kexecprepd.core.receipt import Receipt

from .receipts import FROM, LOADED_AT

OWN = Receipt(
    from_boot_id=FROM,
    sha256="ab" * 32,
    region_count=8,
    loader="kexecprepd 0.2",
    loaded_at=LOADED_AT,
    kexec_count=2,
    generation=3,
    kept=True,
)
BEFORE = replace(OWN, from_boot_id="7a" + FROM[2:], kexec_count=1)
