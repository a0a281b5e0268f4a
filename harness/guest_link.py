# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent of a guest, followed over its lives, with its troubles told in the machine's terms.

An agent that does not answer is a symptom: the cause is a panic, a dead machine or a hang, and
that is what the user has to be told.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from harness.agent import (
    Agent,
    AgentError,
    AgentEvent,
    AgentProtocolError,
    AgentRefused,
    AgentReplaced,
    AgentTimeout,
)
from harness.errors import GuestBroken, InfraError
from harness.machine import GuestSaid, Life, Machine
from harness.machine.snapshot_store import SnapshotStore


_CALLS = {
    "resumed": "the write to /sys/power/state",
    "jumped": "reboot(LINUX_REBOOT_CMD_KEXEC)",
}


BOOT_LIMIT = 60.0  # seconds until the agent says hello; usual: 2


class GuestLink:
    """``life``: whose machine the guest lives in now. ``time_scale``: of all time limits."""

    def __init__(self, life: Life, time_scale: float = 1.0) -> None:
        self.life = life
        self.agent = Agent.attach(life.agent, on_event=self._tell)
        self.agent.time_scale = time_scale

    def follow(self, life: Life) -> None:
        """From now on the guest (or a new one, if the kernel boots afresh) is in ``life``."""
        self.life = life
        self.agent.rebind(life.agent)

    @contextlib.contextmanager
    def asking(self) -> Iterator[Agent]:
        """Around requests: an agent's silence becomes GuestPanic, LostMachine, UnexpectedEnd or
        GuestHang, whichever it is; an agent that is another one or says no, GuestBroken."""
        try:
            yield self.agent
        except AgentTimeout as error:
            self.life.check()
            raise self.life.silence(str(error)) from error
        except (AgentRefused, AgentReplaced, AgentProtocolError) as error:
            self.life.check()
            raise GuestBroken(str(error)) from error
        except AgentError as error:
            self.life.check()
            raise InfraError(str(error)) from error

    def close(self) -> None:
        self.agent.close()

    def _tell(self, event: AgentEvent) -> None:
        fields = event.fields
        if event.name in _CALLS:
            words = f"{_CALLS[event.name]} returned {fields.get('error') or 'success'}"
        else:
            words = " ".join(f"{key}={value}" for key, value in fields.pairs)
        self.life.tell(GuestSaid(self.life.now(), event.name, words))


def guest_up(
    machine: Machine,
    store: SnapshotStore | None,
    *,
    role: str = "A",
    cycle: int = 0,
    nonce: str = "",
    append: str = "",
    time_scale: float = 1.0,
    point: str = "agent",
    prepare: Callable[[GuestLink], None] = lambda link: None,
) -> GuestLink:
    """The machine's next life, with an agent that waits for requests; the machine stands still.

    Restored if ``store`` has such a life, else booted. ``prepare``: what else is done in the guest,
    which runs, before it is saved; ``point`` says what in words and changes with it. What others
    need of it goes into ``link.life.memo``. ``nonce``: see ``SnapshotStore.life``; to be given
    where there is no store.
    """
    links: list[GuestLink] = []

    def boot(life: Life) -> None:
        links.append(GuestLink(life, time_scale))
        with life.stage("boot", BOOT_LIMIT * time_scale):
            life.resume()
            life.wait(lambda event: isinstance(event, GuestSaid) and event.name == "hello")
        prepare(links[0])
        life.pause()

    if store is None:
        life = machine.new_life(nonce, role, cycle, append)
        life.start()
        boot(life)
    else:
        life = store.life(machine, point, boot, role=role, cycle=cycle, nonce=nonce, append=append)
    return links[0] if links else GuestLink(life, time_scale)
