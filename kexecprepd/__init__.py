# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepd makes EFI survive kexec: it packs the runtime map for the next kernel."""

__version__ = "0.2.0"
