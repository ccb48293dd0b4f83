# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service: follows sysfs, keeps the cache, and serves what there is to hand over."""
