# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rules that a runtime map must keep, by what they look at."""
