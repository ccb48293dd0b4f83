# SPDX-License-Identifier: LGPL-2.1-or-later
"""Damaged inputs for everything that reads: by the thousand with the tests, by the million with
`python3 -m tests.fuzz --count 1000000`. How it is bounded is in `__main__`.
"""
