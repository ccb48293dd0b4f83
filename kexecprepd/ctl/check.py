# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command that answers: will EFI survive a kexec here, and if not, why not?"""

import sys
from argparse import Namespace
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..core.facilities import Firmware
from ..core.finding import Finding, State, kinds
from ..core.origin import Origin
from ..core.surroundings import Surroundings, cautions
from ..reading.clock import now
from ..reading.firmware import read_firmware
from ..reading.kernel import (
    Obstacle,
    System,
    file_load_obstacle,
    load_obstacle,
    read_origin,
    signed_only,
    system_of,
)
from ..reading.surroundings import read_surroundings
from . import loaded, origin_view
from .client import Client
from .exits import CtlError, Exit
from .here import HERE
from .loaded import Standing
from .output import (
    coloured,
    finding_as_json,
    note,
    plural,
    print_findings,
    print_json,
    printable,
    wide,
)

if TYPE_CHECKING:
    from .offline import Offline
    from .prospect import Prospect

_EXITS = {
    State.READY: Exit.OK,
    State.DEGRADED: Exit.DEGRADED,
    State.INVALID: Exit.INVALID,
    State.UNSUPPORTED: Exit.UNSUPPORTED,
}

_HEADLINES = {
    State.READY: "Yes: EFI will survive a kexec here.",
    State.DEGRADED: "Yes, but: EFI will survive a kexec here, with something to know.",
    State.INVALID: "No: the runtime map is broken, and must not be handed over.",
    State.UNSUPPORTED: "No: there is no EFI to hand over here.",
}

_NOES = {
    Exit.REFUSED: "No: EFI could be handed over, but kexec is refused here.",
    Exit.LOST: "No: EFI could be handed over, but the kernel that was named would have none.",
}
_SIGNED = (
    "The kernel is locked down: only one that is signed can be started, by kexec_file_load(2)."
)

_OFFLINE = (
    "The answer is read from sysfs, here and now; to hand EFI over, `kexecprepctl load` needs the "
    "daemon."
)


@dataclass(frozen=True, slots=True)
class Answer:
    """All that the answer is made of; `properties` are the daemon's, by their names, or what
    follows of them from sysfs: by `source`, daemon or sysfs.

    `found` is None where the findings are not for this user, `prospect` where no kernel is named,
    `standing` where none is loaded. `origin` is how this kernel was started.
    """

    source: str
    properties: dict[str, Any]
    found: list[Finding] | None
    system: System
    surroundings: Surroundings
    prospect: "Prospect | None"
    standing: Standing | None
    origin: Origin
    firmware: Firmware

    @property
    def state(self) -> State:
        """What there is to hand over."""
        return State(self.properties["State"])

    @property
    def exit(self) -> Exit:
        """What comes first: the map, then what this system allows, then the next kernel."""
        if self.state.has_image and file_load_obstacle(self.system) is not None:
            return Exit.REFUSED  # and so kexec_load(2) is, too
        if self.state.has_image and self.prospect is not None and not self.prospect.takes_efi:
            return Exit.LOST
        return _EXITS[self.state]

    @property
    def headline(self) -> str:
        """The answer in a line."""
        if self.exit in _NOES:
            return _NOES[self.exit]
        signed = self.state.has_image and signed_only(self.system)
        return f"{_HEADLINES[self.state]} {_SIGNED}" if signed else _HEADLINES[self.state]


def check(options: Namespace) -> Exit:
    """State, findings, what the system allows, and what becomes of EFI in a kernel."""
    if options.kernel is None and (options.append is not None or options.reuse_cmdline):
        sentence = "A command line is for a kernel, and none is named."
        raise CtlError(Exit.USAGE, sentence, "Add --kernel FILE.")
    system = system_of(options.root)
    prospect = _prospect(options, system)
    around = read_surroundings(options.root, system)
    source = _source(options)
    standing = loaded.look(options.root, system)
    properties = source.properties()
    # The daemon was given what systemd kept, which no file tells of.
    daemon = isinstance(source, Client)
    answer = Answer(
        source="daemon" if daemon else "sysfs",
        properties=properties,
        found=_findings(source),
        system=system,
        surroundings=around,
        prospect=prospect,
        standing=standing,
        origin=origin_view.origin_of(properties) if daemon else read_origin(options.root),
        firmware=read_firmware(options.root),
    )
    if options.json != "off":
        print_json(_as_json(answer), options.json)
    elif not options.quiet:
        _print(answer)
    return answer.exit


def _prospect(options: Namespace, system: System) -> "Prospect | None":
    if options.kernel is None:
        return None
    # Late: without a kernel to look at, the loader is not needed.
    from .prospect import prospect

    return prospect(options, system)


def _source(options: Namespace) -> "Client | Offline":
    """The daemon, or a tree; without a bus, as in an initrd or a rescue system, sysfs itself."""
    no_bus = None
    if options.root == HERE:
        try:
            return Client()
        except CtlError as error:
            no_bus = error
    from .offline import Offline  # late: the daemon has done all of it

    if no_bus is None:
        return Offline(options.root)
    try:
        offline = Offline(HERE)
    except CtlError as error:
        code = no_bus.code if error.denied else error.code
        raise CtlError(code, f"{no_bus.sentence} {error.sentence}", error.hint) from error
    note(f"{no_bus.sentence} {_OFFLINE}", quiet=options.quiet)
    return offline


def _findings(source: "Client | Offline") -> list[Finding] | None:
    """The findings; None where they are not for this user."""
    try:
        return source.findings()
    except CtlError as error:
        if not error.denied:
            raise
        return None


def _as_json(answer: Answer) -> dict[str, Any]:
    properties, found, system = answer.properties, answer.found, answer.system
    unknown, may_refuse = system.has_kexec is None, answer.surroundings.ima_may_refuse
    return {
        "source": answer.source,
        "state": properties["State"],
        "reason": properties["Reason"],
        "sha256": properties["Sha256"],
        "region-count": properties["RegionCount"],
        "warning-count": properties["WarningCount"],
        "error-count": properties["ErrorCount"],
        **wide("generation", properties.get("Generation")),
        "boot-id": properties.get("BootID"),
        "findings": None if found is None else [finding_as_json(each) for each in found],
        "system": {
            **_verdict("kexec-load", load_obstacle(system), uncertain=unknown or may_refuse),
            **_verdict("kexec-file-load", file_load_obstacle(system), uncertain=unknown),
            "signed-only": signed_only(system),
            **{name.replace("_", "-"): value for name, value in asdict(system).items()},
        },
        "cautions": [finding_as_json(each) for each in cautions(answer.surroundings)],
        "kernel": None if answer.prospect is None else answer.prospect.as_json(),
        "loaded": loaded.as_json(answer.standing),
        "origin": origin_view.as_json(answer.origin, properties, answer.firmware),
    }


def _verdict(call: str, obstacle: Obstacle | None, *, uncertain: bool) -> dict[str, Any]:
    """What is to be expected of a system call; `allowed` is null where that is not known."""
    return {
        f"{call}-allowed": None if uncertain and obstacle is None else obstacle is None,
        f"{call}-obstacle": None if obstacle is None else obstacle.words,
        f"{call}-obstacle-code": None if obstacle is None else obstacle.code,
    }


def _print(answer: Answer) -> None:
    state, found = answer.state, answer.found
    print(f"{coloured(state)}: {answer.headline}")
    print(answer.properties["Reason"])
    if found is None:
        print("The findings are for root alone: use sudo to see them.", file=sys.stderr)
    elif state is State.UNSUPPORTED:
        print(" ".join(finding.hint for finding in found))
    elif found:
        print(f"\n{_counted(found)}:")
        print_findings(found)
    if answer.prospect is not None:
        print()
        print("\n".join(answer.prospect.lines()))
    if answer.standing and answer.standing.stale:
        print(f"\n{coloured('warning')}: {loaded.STALE}\n    {loaded.AGAIN}")
    print("\nThis system:")
    for name, value in _lines(answer).items():
        print(f"  {name:<22} {value}")
    around = cautions(answer.surroundings)
    if around:
        print("\nBeside the map:")
        print_findings(around)
    _print_fates(answer)


def _counted(found: list[Finding]) -> str:
    """How many there are, and of how many kinds: each kind is told once."""
    count, different = plural(len(found), "finding"), len(kinds(found))
    return count if different == len(found) else f"{count} of {plural(different, 'kind')}"


def _print_fates(answer: Answer) -> None:
    """What was lost, after any kexec."""
    fates = origin_view.fates(answer.origin, answer.firmware)
    if not fates:
        return
    words = origin_view.as_text(answer.origin, answer.properties, answer.firmware, now().realtime)
    print(f"\nAfter the kexec:\n  Started by {words}.")
    for name, what in fates.items():
        print(f"  {name:<24} {coloured(what)}")


def _lines(answer: Answer) -> dict[str, str]:
    told = answer.system.has_kexec is not None or load_obstacle(answer.system) is not None
    kexec = _kexec_lines(answer) if told else {}
    return {**kexec, **_boot_lines(answer.system, answer.surroundings)}


def _kexec_lines(answer: Answer) -> dict[str, str]:
    system, uncertain = answer.system, answer.surroundings.ima_may_refuse
    allowed = "allowed, unless IMA's policy refuses it" if uncertain else "allowed"
    of_files = "signed kernels only" if signed_only(system) else "allowed"
    return {
        "kexec_load(2)": _words(load_obstacle(system), allowed),
        "kexec_file_load(2)": _words(file_load_obstacle(system), of_files),
        "Loads left": _limits(system),
        "Kernel loaded": _kernel(system, answer.standing),
        "Crash kernel loaded": _yes(system.crash_kernel_loaded),
        "Lockdown": system.lockdown or "unknown",
    }


def _boot_lines(system: System, around: Surroundings) -> dict[str, str]:
    return {
        "Secure Boot": _secure_boot(system, around),
        "This kernel": _origin(system),
        "ACPI root pointer": f"from {system.acpi_rsdp}" if system.acpi_rsdp else "unknown",
        "5-level paging": _paging(system.five_level_paging),
    }


def _kernel(system: System, standing: Standing | None) -> str:
    if standing is None:
        return _yes(None if system.is_empty is None else not system.is_empty)
    return printable(loaded.as_text(standing))


def _words(obstacle: Obstacle | None, otherwise: str) -> str:
    return otherwise if obstacle is None else f"refused: {obstacle.words}"


def _yes(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"


def _limits(system: System) -> str:
    def limit(value: int | None) -> str:
        return "unlimited" if value in (None, -1) else str(value)

    reboot, panic = limit(system.load_limit_reboot), limit(system.load_limit_panic)
    return reboot if reboot == panic else f"{reboot}; crash kernels {panic}"


def _secure_boot(system: System, around: Surroundings) -> str:
    if system.secure_boot != "unset":
        return system.secure_boot or "unknown"
    words = "not told by what started this kernel"
    if around.secure_boot is None:
        return words
    return f"{words}; {'enabled' if around.secure_boot else 'disabled'} by the firmware's variable"


def _origin(system: System) -> str:
    if system.started_by_kexec is None:
        return "unknown"
    if not system.started_by_kexec:
        return "started by a boot loader"
    if not system.handed_efi:
        return "started by kexec, and was handed no EFI"
    regions = "" if system.handed_regions is None else f" ({system.handed_regions} descriptors)"
    return f"started by kexec, and was handed EFI{regions}"


def _paging(active: bool | None) -> str:
    if active is None:
        return "unknown"
    return "on: the next kernel has to know it too" if active else "off"
