# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel at P0, relocate_kernel's first instruction: what the rest of its jump is judged by."""

from __future__ import annotations

from dataclasses import dataclass, field

import jumpback_kimage
import jumpback_memory
import jumpback_relocation as relocation
import jumpback_vm

from harness.jump.page_walk import PageTables, read_ram
from harness.jump.relocate_code import RelocateCode
from harness.jump.side import PAGE, Side
from harness.kexec.kimage_struct import BadKimage, Kimage, installed, read_as_is
from harness.machine.interrupts import InterruptControllers
from harness.machine.registers import Registers
from harness.oracles.owner import Owners

# The processor's own order: ModRM.
_GPR = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()
_SELECTORS = ("cs", "ds", "es", "ss", "fs", "gs")
# GDT_SIZE - 1: GDT_ENTRIES descriptors, arch/x86/include/asm/segment.h.
_GDT_LIMIT = {"x86_64": 16 * 8 - 1, "i386": 32 * 8 - 1}
_PUSHED = 64  # bytes, at most: seven registers and flags of relocate_kernel
_PAGE_LIST_WORDS = 4  # page_list of x86_64 up to 6.13: control (PA, VA), table, swap


def cpu_state(registers: Registers) -> relocation.CpuState:
    return relocation.CpuState(
        gpr=[registers.general[name] for name in _GPR],
        rip=registers.rip,
        rflags=registers.eflags,
        cr0=registers.control["cr0"],
        cr3=registers.control["cr3"],
        cr4=registers.control["cr4"],
        gdtr=(registers.gdtr.base, registers.gdtr.limit),
        idtr=(registers.idtr.base, registers.idtr.limit),
        selectors=[registers.selectors[name] for name in _SELECTORS],
    )


@dataclass(frozen=True)
class Stops:
    """Addresses, linear, at which the kernel is stopped: known once its image is loaded."""

    departure: int  # P0
    mapped: int  # P3
    control_page: int  # gpa of the page with the code

    @staticmethod
    def of(side: Side, image: Kimage) -> Stops:
        code = RelocateCode(side.symbols, side.kernel.saved_words_in_data)
        control = image.control_code.frames[-1] * PAGE
        abi = side.kernel.abi
        if abi == "page_list":
            # The first half runs in the kernel's text, and virtual_mapped is mapped there.
            symbol = side.symbols.address
            return Stops(
                symbol("relocate_kernel"), code.begin + code.offset("virtual_mapped"), control
            )
        if abi == "flags":
            at = control + code.offset("kexec_va_control_page")
            try:
                base = int.from_bytes(side.view.ram.read(at, 8), "little")
            except jumpback_memory.MemoryModelError as error:
                raise BadKimage(f"control page {control:#x}: {error}") from error
        else:
            # page_address() of low memory.
            text = side.symbols.address("_text")
            base = control + text - side.view.kernel.translate(text)[0]
        return Stops(
            base + code.offset("relocate_kernel"), base + code.offset("virtual_mapped"), control
        )


@dataclass(frozen=True)
class Arguments:
    """What machine_kexec() hands to relocate_kernel."""

    head: int
    start: int
    preserve: bool
    control_page: int  # gpa
    table_root: int  # gpa
    swap_page: int  # gpa
    has_pae: bool = True  # i386


def _arguments(side: Side, registers: Registers, ram: relocation.Ram, control: int) -> Arguments:
    general = registers.general
    tables = PageTables(ram, registers.control["cr3"], side.arch, registers)

    def words(address: int, count: int) -> list[int]:
        found = []
        for number in range(count):
            found.append(_word(ram, tables.walk(address + number * side.word).gpa, side.word))
        return found

    if side.kernel.abi == "page_list":
        page_list = words(general["rsi"], _PAGE_LIST_WORDS)
        return Arguments(
            head=general["rdi"],
            start=general["rdx"],
            preserve=general["rcx"] & 0xFFFFFFFF == 1,
            control_page=page_list[0],
            table_root=page_list[2],
            swap_page=page_list[3],
        )
    if side.kernel.abi == "flags":
        code = RelocateCode(side.symbols, True)
        table, swap = (
            _word(ram, control + code.offset(name), 8)
            for name in ("kexec_pa_table_page", "kexec_pa_swap_page")
        )
        preserve = bool(general["rcx"] & 1)  # RELOC_KERNEL_PRESERVE_CONTEXT
        return Arguments(general["rdi"], general["rdx"], preserve, general["rsi"], table, swap)
    head, page_list_at, start, has_pae, preserve_word = words(general["rsp"] + 4, 5)
    page_list = words(page_list_at, _PAGE_LIST_WORDS)
    return Arguments(
        head=head,
        start=start,
        preserve=preserve_word == 1,
        control_page=page_list[0],
        table_root=page_list[2],
        swap_page=page_list[3],
        has_pae=has_pae != 0,
    )


@dataclass
class Departure:
    """``capture`` and what is made of it go back to their pool with ``close``."""

    side: Side
    number: int  # of this jump in the run, from 1 on
    cpu: int
    image: Kimage
    arguments: Arguments
    stops: Stops
    registers: Registers
    state: relocation.CpuState
    controllers: InterruptControllers | None
    moves: relocation.Moves
    pairs: list[tuple[int, int]]  # (destination, source), gpa
    list_pages: list[int]
    list_problem: str  # empty, or what is wrong with the page list
    places: relocation.Places
    table_pages: list[int]
    stack_below: list[relocation.Allowance]  # pushes that reach the page below the stack pointer's
    return_address: int  # of the call in machine_kexec()
    saved_gdt: tuple[int, int]  # base, limit: what save_processor_state() keeps
    gdt_kept: bool  # it stands in saved_context
    unmapped: list[tuple[str, int]]  # what the kexec tables lack: name, address
    regions: list[tuple[int, int, int]]
    capture: jumpback_vm.Capture | None
    ram: relocation.Ram | None  # of the capture
    # Filled in at the stops behind it.
    return_point: int = 0  # P2, physical
    control_at_entry: bytes = b""  # the control page at P1
    callee: Registers | None = None  # at P2
    left: relocation.FrameCopy = field(default_factory=relocation.FrameCopy)  # by the callee
    _owners: Owners | None = None

    @property
    def destinations(self) -> relocation.Frames:
        return self.moves.destinations

    @property
    def memory(self) -> relocation.Ram:
        assert self.ram is not None, "the departure was closed"
        return self.ram

    def close(self) -> None:
        self._owners = None
        self.ram = None
        self.capture = None

    def owner(self, gpa: int, *, swapped: bool = False) -> str:
        """Whose the frame was at P0, and what the jump does with it. ``swapped``: the pages have
        changed places."""
        pfn = gpa // PAGE
        page = pfn * PAGE
        kept = self.moves.destination_of(pfn)
        if swapped and kept is not None and kept != pfn:
            away = kept * PAGE + gpa % PAGE
            return f"{self._describe(kept, away)}, {away:#x} at the departure"
        parts = [name for at, name in self.image.kept if at == page]
        if page in self.table_pages and not parts:
            parts.append("page table")
        if page in self.list_pages:
            parts.append("page of the image's list")
        destination, source = self.moves.destination_of(pfn), self.moves.source_of(pfn)
        if destination is not None:
            parts.append(f"image's source page for {destination * PAGE:#x}")
        if not parts:
            parts.append(self._describe(pfn, gpa))
        if source is not None and destination is None:
            parts.append(f"destination of the image, from {source * PAGE:#x}")
        return ", ".join(parts)

    def _describe(self, pfn: int, gpa: int) -> str:
        if self._owners is None:
            assert self.capture is not None
            control = self.registers.control
            guest = jumpback_memory.GuestKernel(
                jumpback_memory.GuestRam(self.capture.view(), self.regions),
                self.side.symbols.addresses(),
                self.side.arch,
                cr3=control["cr3"],
                cr0=control["cr0"],
                cr4=control["cr4"],
                efer=control["efer"],
            )
            self._owners = Owners(self.side.symbols, guest)
        return self._owners.describe(pfn, gpa)


def read_departure(
    side: Side,
    number: int,
    registers: Registers,
    controllers: InterruptControllers | None,
    capture: jumpback_vm.Capture,
    regions: list[tuple[int, int, int]],
) -> Departure:
    """At P0. Raises BadKimage if there is no image to be read."""
    image = read_as_is(side.view, installed(side.view))
    stops = Stops.of(side, image)
    ram = relocation.Ram(capture.view(), regions, capture.extents())
    arguments = _arguments(side, registers, ram, stops.control_page)
    decoded = jumpback_kimage.decode(capture.view(), regions, arguments.head, side.arch, image.kept)
    pairs = decoded["moves"]
    walker = _Walker(side, registers, ram, arguments, image, stops)
    stack = walker.own.walk(registers.sp)
    saved_gdt = _gdt(side)
    return Departure(
        side=side,
        number=number,
        cpu=registers.cpu,
        image=image,
        arguments=arguments,
        stops=stops,
        registers=registers,
        state=cpu_state(registers),
        controllers=controllers,
        moves=relocation.Moves(pairs),
        pairs=pairs,
        list_pages=decoded["list_pages"],
        list_problem=decoded.get("message", ""),
        places=walker.places(stack.gpa),
        table_pages=walker.table_pages(),
        stack_below=walker.stack_below(),
        return_address=_word(ram, stack.gpa, side.word),
        saved_gdt=saved_gdt,
        gdt_kept=_gdt_in_saved_context(side, saved_gdt),
        unmapped=walker.unmapped([destination for destination, _ in pairs], decoded["list_pages"]),
        regions=regions,
        capture=capture,
        ram=ram,
    )


def _word(ram: relocation.Ram, gpa: int | None, size: int) -> int:
    """0 where nothing is."""
    data = None if gpa is None else read_ram(ram, gpa, size)
    return int.from_bytes(data or b"", "little")


def _gdt(side: Side) -> tuple[int, int]:
    """get_cpu_gdt_rw(0), which __save_processor_state() puts into saved_context.gdt_desc."""
    base = side.symbols.address("gdt_page")
    offsets = side.symbols.all("__per_cpu_offset")
    if offsets:  # CONFIG_SMP
        base += side.view.number(offsets[0][0])
    return base & (1 << 8 * side.word) - 1, _GDT_LIMIT[side.arch]


def _gdt_in_saved_context(side: Side, gdt: tuple[int, int]) -> bool:
    address, size = side.symbols.all("saved_context")[0]
    base, limit = gdt
    descriptor = limit.to_bytes(2, "little") + base.to_bytes(side.word, "little")
    return descriptor in side.view.kernel.read_virtual(address, size)


class _Walker:
    """The page tables of a jump: the kernel's own, and those that kexec_load has made."""

    def __init__(
        self,
        side: Side,
        registers: Registers,
        ram: relocation.Ram,
        arguments: Arguments,
        image: Kimage,
        stops: Stops,
    ) -> None:
        self._side = side
        self._registers = registers
        self._ram = ram
        self._arguments = arguments
        self._image = image
        self._stops = stops
        self.own = PageTables(ram, registers.control["cr3"], side.arch, registers)
        self._made = PageTables(ram, arguments.table_root, side.arch, registers)

    def table_pages(self) -> list[int]:
        named = {page: name for page, name in self._image.kept}
        pages = {page for page, name in named.items() if name == "page table"}
        pages |= {pfn * PAGE for pfn in self._image.control_code.frames[:-1]}  # PGD up to 6.1
        stops, registers = self._stops, self._registers
        for address in (stops.departure, stops.mapped, registers.sp, registers.gdtr.base):
            pages.update(self.own.walk(address).tables)
        control = self._arguments.control_page
        for address in (stops.departure, stops.mapped, control, self._arguments.start):
            pages.update(self._made.walk(address).tables)
        return sorted(pages)

    def stack_below(self) -> list[relocation.Allowance]:
        pointer = self._registers.sp
        used = pointer % PAGE
        if used >= _PUSHED:
            return []
        below = self.own.walk(pointer - used - _PUSHED).gpa
        return [] if below is None else [relocation.Allowance("caller-stack", below, _PUSHED)]

    def unmapped(self, destinations: list[int], list_pages: list[int]) -> list[tuple[str, int]]:
        """What relocate_kernel reaches by its physical address has to be mapped there. One address
        of each 2 MiB: the kernel maps no less. Nothing of i386, where paging is off, but the
        control page."""
        arguments = self._arguments
        wanted = [("control page", arguments.control_page)]
        if self._side.arch == "x86_64":
            wanted += [("image->start", arguments.start), ("swap page", arguments.swap_page)]
            wanted += [("page of the list", page) for page in list_pages]
            wanted += [
                ("destination", page) for page in {at >> 21: at for at in destinations}.values()
            ]
        return [(name, at) for name, at in wanted if self._made.walk(at).gpa != at]

    def places(self, stack: int | None) -> relocation.Places:
        side, arguments = self._side, self._arguments
        code = RelocateCode(side.symbols, side.kernel.saved_words_in_data)
        page = arguments.control_page
        data = read_ram(self._ram, page, PAGE) or bytes(PAGE)
        tables = code.debug_tables(data) if side.kernel.debug_tables else None
        gdt, idt = tables or ((0, 0), (0, 0))
        return relocation.Places(
            control_page=page,
            code_size=code.size,
            saved_words=code.saved_words(),
            debug_gdt_span=(gdt[0], gdt[1] + 1) if tables else (0, 0),
            swap_page=arguments.swap_page,
            table_root=arguments.table_root,
            table_pages=self.table_pages(),
            caller_stack_page=(stack or 0) & ~(PAGE - 1),
            caller_stack_used=(stack or 0) % PAGE,
            debug_gdt=(page + gdt[0], gdt[1]) if tables else (0, 0),
            debug_idt=(page + idt[0], idt[1]) if tables else (0, 0),
        )
