# SPDX-License-Identifier: LGPL-2.1-or-later
"""kexecprepctl: what the daemon knows, for people and for scripts."""
