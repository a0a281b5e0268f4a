# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupt controllers on the way from one kernel to another: docs/interrupt-model.md.

Registers go by name: "LAPIC LVT0", "IOAPIC 0 RTE 4", "8259 master IMR", "PIT mode"; see
``Machine.registers``. A path is "jump", "return", "plain kexec" or "crash". A pin is (IOAPIC, pin).
"""

class InterruptModelError(ValueError):
    """No such register, function, fault…: ``where`` names it, ``what`` what was expected."""

    where: str
    what: str

class Machine:
    """Registers, wires, and what the kernel knows and has saved.

    ``flavour``: "hardware", or "qemu" for what QEMU 7.2's LAPIC and IOAPIC do otherwise.
    """

    # What the kernel found out at boot
    nr_legacy_irqs: int
    smp: bool
    cpu_has_apic: bool
    pic_mode: bool
    enabled_via_apicbase: bool
    irq_remapping: bool
    thermal_vector: bool
    mce_intel: bool
    tick: str
    """"none", "lapic", "pit" or "hpet"."""
    broadcast: str
    tick_periodic: bool
    hpet_was_enabled: bool
    hpet_was_legacy: bool
    ioapic_i8259: tuple[int, int] | None
    # Wires
    pit_pin: tuple[int, int] | None
    intr_pin: tuple[int, int] | None
    intr_on_lint0: bool
    imcr_present: bool
    # The kernel's memory of the controllers
    cached_irq_mask: int
    auto_eoi: bool
    ioapic_ids: list[int]
    saved_elcr: list[int]
    saved_lapic: dict[str, int]
    """apic_pm_state, by the kernel's names ("apic_lvt0"); an assignment may name some."""
    saved_rtes: list[list[int]]

    def __init__(
        self,
        version: str = ...,
        arch: str = ...,
        flavour: str = ...,
        ioapic_pins: list[int] = ...,
    ) -> None: ...
    def copy(self) -> Machine: ...
    def __getitem__(self, register: str) -> int: ...
    def __setitem__(self, register: str, value: int) -> None: ...
    def registers(self) -> dict[str, int]: ...
    def call(self, function: str) -> None:
        """Runs one kernel function or step of the model: ``functions``, ``steps``."""

class Difference:
    @property
    def register(self) -> str: ...
    @property
    def expected(self) -> int: ...
    @property
    def found(self) -> int: ...
    @property
    def missing(self) -> bool:
        """There is no such register in what was found."""
    @property
    def expected_meaning(self) -> str: ...
    @property
    def found_meaning(self) -> str: ...
    @property
    def step(self) -> str:
        """The step that should have given the register its value; "" if none did."""
    @property
    def since(self) -> str:
        """The last step after which the register had the value found, or "before"."""

class Expectation:
    @property
    def ignored(self) -> list[str]:
        """Registers that may have any value."""
    @property
    def trace(self) -> list[tuple[str, dict[str, int]]]:
        """Registers after each step."""
    def registers(self) -> dict[str, int]: ...

class Fault:
    @property
    def id(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def register(self) -> str:
        """The register that shows it, or how its name begins."""
    @property
    def step(self) -> str: ...

class TickAnswer:
    @property
    def path(self) -> str:
        """The way that is open: "none", "LAPIC virtual wire", "IOAPIC virtual wire",
        "IOAPIC direct" or "PIC mode"."""
    @property
    def open_to_pic(self) -> bool:
        """Open up to the 8259: the rest is the next kernel's own to set up."""
    @property
    def ticks_now(self) -> bool: ...
    @property
    def source(self) -> str:
        """What raises IRQ 0 now: "none", "PIT" or "HPET"."""
    @property
    def obstacles(self) -> list[str]:
        """In that way; with none open, in all of them."""
    @property
    def paths(self) -> dict[str, list[str]]: ...

def functions() -> list[str]: ...
def steps(path: str, machine: Machine) -> list[str]: ...
def meaning(register: str, value: int) -> str: ...
def at_entry_of_b(before: Machine, path: str = ...) -> Expectation:
    """``before``: before syscore_suspend(), or before machine_shutdown() without a jump."""

def at_return_of_a(before: Machine) -> Expectation:
    """After syscore_resume(); ``before``: before syscore_suspend()."""

def compare(expected: Expectation, found: Machine) -> list[Difference]: ...
def differences(expected: Machine, found: Machine) -> list[Difference]: ...
def known_faults() -> list[Fault]: ...
def with_fault(before: Machine, fault: str) -> Machine: ...
def explain(before: Machine, path: str, found: Machine) -> list[str]:
    """Ids of the known faults that leave exactly these registers; "" if a correct kernel does."""

def can_tick_reach(machine: Machine) -> TickAnswer: ...
