# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests: built, booted, talked to and kept. A library, with a README of its own."""
