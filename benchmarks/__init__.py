# SPDX-License-Identifier: LGPL-2.1-or-later
"""Speed, as ratios. benchmarks/run has them; nothing here passes or fails."""
