# SPDX-License-Identifier: LGPL-2.1-or-later
"""A load as it is remembered, with names that are not plain ASCII."""

from kexecprepd.loader.request import File, Loaded, Request

LOADED = Loaded(
    boot_id="0f6ab6d0-5b1d-4c5e-9a3e-7f2c1d8e4b90",
    efi=True,
    handover_sha256="ab" * 32,
    generation=3,
    loaded_at=1_700_000_000_000_000,
    request=Request(
        kernel=File("/boot/vmlinuz", "cd" * 32),
        initrds=(File("/boot/initrd\udcff ä", "ef" * 32), File("/boot/more", "01" * 32)),
        append="root=/dev/sda1 name=ä",
        reuse_cmdline=False,
        efi=True,
    ),
)
