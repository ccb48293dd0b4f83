# SPDX-License-Identifier: LGPL-2.1-or-later
"""Loads a kernel with kexec_load(2), with EFI handed over and the firmware's memory left alone."""
