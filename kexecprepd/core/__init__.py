# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the numbers mean: values, rules, verdict, image, placement, generation. Pure: no I/O."""
