# SPDX-License-Identifier: LGPL-2.1-or-later
"""Numbers that are others': the UEFI specification's and the kernel's. Imports nothing of ours."""
