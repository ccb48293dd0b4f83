# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests share: recorded trees, a private bus, the daemon as a process."""
