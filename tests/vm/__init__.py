# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests on real firmware and a real kernel, in a virtual machine."""
