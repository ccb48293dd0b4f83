# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the machine says: sysfs, /proc, the running kernel. Files in, values out."""
