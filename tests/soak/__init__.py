# SPDX-License-Identifier: LGPL-2.1-or-later
"""Everything at once, for as long as one likes, in one real guest: `python3 -m tests.soak`."""
