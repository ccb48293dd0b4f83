# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tells what would boot here by default, and what else would: the machine's boot entries.

It goes by the boot loader that started the machine: systemd-boot's entries in its order; those of
the Boot Loader Specification in GRUB's, where GRUB reads them; else the kernels that are installed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..reading import efivars, small
from ..reading.kernel import read_system
from ..reading.there import is_there
from . import assignments, cmdline, entry, entry_files
from .bootctl import Told
from .entry import Entry, Kind
from .entry_files import Partition
from .errors import LoadError

_TOPS = ("efi", "boot", "boot/efi")
"""Where the partitions with entries are mounted (UAPI.1)."""

_AUTOMATIC = "auto-"
"""How the IDs begin of what systemd-boot finds by itself: other systems, and a shell."""

_GRUB = ("boot/grub2", "boot/grub")
NOTHING = "There is no boot entry, and no kernel in /boot."
_HINT = "Name a KERNEL, with its --initrd and a command line, or an --entry."


@dataclass(frozen=True, slots=True)
class Found:
    """The entries in the order of the menu; `default` and `running` are None where not known."""

    entries: tuple[Entry, ...]
    default: Entry | None
    running: Entry | None
    notes: tuple[str, ...]

    def named(self, name: str | None) -> Entry:
        """The entry of an ID, or the default one. Raises LoadError."""
        if name is None:
            if self.default is None:
                lack = "No boot entry is the default." if self.entries else NOTHING
                raise LoadError(" ".join((lack, *self.notes)), _HINT)
            return self.default
        for each in self.entries:
            if name in (each.id, each.id.removesuffix(".conf")):
                return each
        raise LoadError(f"There is no boot entry {name}.", "`kexecprepctl entries` lists them.")


def find(root: Path, told: Told | None) -> Found:
    """Look below `root`; `told` is what bootctl knows of it, if it was asked. Raises LoadError."""
    grub = next((root / each for each in _GRUB if is_there(root / each / "grub.cfg")), None)
    if (efivars.text(root, "LoaderInfo") or "").startswith("systemd-boot"):
        grub = None
    environment = assignments.grub(entry_files.text_of(grub / "grubenv") or "") if grub else {}
    notes: list[str] = []
    entries: list[Entry] = []
    default: Entry | None
    if grub is None or _reads_entries(grub / "grub.cfg"):
        for partition in _partitions(root, _tops(root, told)):
            first, first_notes = entry_files.type1(partition, environment if grub else None)
            second, second_notes = entry_files.type2(partition) if grub is None else ([], [])
            entries += first + second
            notes += first_notes + second_notes
    if entries and grub is None:
        ordered = entry.in_menu_order(entries)
        default = _default(root, ordered, told)
        if default is None:
            notes.append("What boots by default is another system than Linux.")
    elif entries:
        ordered = entry.in_grub_order(entries)
        default = entry.saved(ordered, environment.get("saved_entry", "")) or ordered[0]
    else:
        ordered, more = _installed(root)
        default, unfinished = _newest(ordered)
        notes += more + unfinished
    return Found(tuple(ordered), default, _running(root, ordered), tuple(notes))


def _installed(root: Path) -> tuple[list[Entry], list[str]]:
    names = entry_files.listed(root / "boot")
    if not any(name.startswith("vmlinuz-") for name in names):
        return [], []
    system = entry_files.system_name(root)
    return entry_files.by_name(root / "boot", system, cmdline.running(root))


def _newest(installed: Sequence[Entry]) -> tuple[Entry | None, list[str]]:
    """Which of the installed kernels is the default, and a note where that is not the newest.

    One without an initrd, where others have theirs, is not installed to its end: it would not find
    its root.
    """
    finished = [each for each in installed if each.initrds] or list(installed)
    if not finished:
        return None, []
    newer = installed[: installed.index(finished[0])]
    notes = [
        f"The kernel {each.kernel} has no initrd, and so is not the default." for each in newer
    ]
    return finished[0], notes


def _reads_entries(grub_cfg: Path) -> bool:
    try:
        return b"blscfg" in small.contents(grub_cfg)
    except OSError:
        return False


def _tops(root: Path, told: Told | None) -> list[Path]:
    """Where partitions with entries may be mounted."""
    return [*(told.tops if told else ()), *(root / each for each in _TOPS)]


def _partitions(root: Path, tops: Iterable[Path]) -> list[Partition]:
    """Where entries may lie, each once."""
    found: dict[tuple[int, int], Partition] = {}
    for top in tops:
        try:
            status = top.stat()
            above = top.parent.stat()
        except OSError:
            continue
        within = status.st_dev == above.st_dev and top != root
        partition = Partition((top, top.parent) if within else (top,))
        found.setdefault((status.st_dev, status.st_ino), partition)
    return list(found.values())


def _default(root: Path, entries: Sequence[Entry], told: Told | None) -> Entry | None:
    """As systemd-boot chooses, where it is not asked for another one this once.

    None where that is another system.
    """
    if told and told.default:
        for each in entries:
            if each.id == told.default:
                return each
        if told.default.startswith(_AUTOMATIC):
            return None
    usable = [each for each in entries if each.tries_left != 0]
    patterns = [(usable, efivars.text(root, "LoaderEntryPreferred"))]
    patterns.append((list(entries), efivars.text(root, "LoaderEntryDefault")))
    for top in _tops(root, told):
        text = entry_files.text_of(top / "loader/loader.conf")
        patterns += [(list(entries), each) for each in entry.parse_loader_conf(text or "")]
    for among, pattern in patterns:
        if pattern == "@saved":
            pattern = efivars.text(root, "LoaderEntryLastBooted")
        if pattern and (found := entry.matching(among, pattern)):
            return found
        if pattern and pattern.startswith(_AUTOMATIC):
            return None
    return entries[0]


def _running(root: Path, entries: Sequence[Entry]) -> Entry | None:
    """The one whose kernel runs; of several with one kernel, the one that the boot loader started,
    or that has this command line.
    """
    release = (small.text_or_none(root / "proc/sys/kernel/osrelease") or "").strip()
    same = [each for each in entries if release and each.release == release]
    if len(same) < 2:
        return same[0] if same else None
    if not read_system(root).started_by_kexec:
        selected = efivars.text(root, "LoaderEntrySelected")
        for each in same:
            if selected and each.id.lower() == selected.lower():
                return each
    try:
        now = cmdline.running(root)
    except LoadError:
        return None
    alike = [each for each in same if each.options is not None and each.options == now]
    return alike[0] if alike and alike[0].kind is not Kind.FILES else None


def as_json(found: Found) -> list[Mapping[str, object]]:
    """For programs."""
    return [
        {
            "id": each.id,
            "title": each.title,
            "type": str(each.kind),
            "kernel": str(each.kernel),
            "initrds": [str(path) for path in each.initrds],
            "command-line": each.options,
            "profile": each.profile,
            "release": each.release,
            "default": each == found.default,
            "running": each == found.running,
        }
        for each in found.entries
    ]
