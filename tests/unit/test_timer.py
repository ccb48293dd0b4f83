# SPDX-License-Identifier: LGPL-2.1-or-later
"""One timeout of the main loop: started anew, stopped, and over once it has called."""

from gi.repository import GLib

from kexecprepd.daemon.timer import Timer
from tests.support.notify_socket import DEADLINE


def run(loop: GLib.MainLoop) -> None:
    """Until something ends it, or for far too long."""
    late = Timer()
    late.start(int(DEADLINE * 1000), loop.quit)
    loop.run()
    assert late.running
    late.stop()


def test_a_new_start_takes_the_place_of_the_old_one() -> None:
    loop, timer = GLib.MainLoop(), Timer()
    called: list[str] = []

    timer.start(1, lambda: called.append("old"))
    timer.start(2, loop.quit)
    run(loop)

    assert called == []


def test_what_is_stopped_does_not_call() -> None:
    loop, timer, after = GLib.MainLoop(), Timer(), Timer()
    called: list[str] = []

    timer.start(1, lambda: called.append("stopped"))
    timer.stop()
    after.start(2, loop.quit)
    run(loop)

    assert called == []
    assert not timer.running
    timer.stop()


def test_it_is_over_when_it_calls_and_can_be_started_from_there() -> None:
    loop, timer = GLib.MainLoop(), Timer()
    running: list[bool] = []

    def called() -> None:
        running.append(timer.running)
        if len(running) == 2:
            loop.quit()
        else:
            timer.start(1, called)

    timer.start(1, called)
    run(loop)

    assert running == [False, False]
    assert not timer.running
