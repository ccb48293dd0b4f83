# SPDX-License-Identifier: LGPL-2.1-or-later
"""What goes over D-Bus: the connection, names, errors and records. The one floor with pydbus."""
