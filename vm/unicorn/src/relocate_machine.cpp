// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/unicorn/relocate_machine.h"

#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "vm/unicorn/src/describe.h"
#include "vm/unicorn/src/dirty_tlb.h"
#include "vm/unicorn/src/engine.h"
#include "vm/unicorn/src/entry_stub.h"
#include "vm/unicorn/src/initial_state.h"

namespace jumpback::unicorn {

namespace {

constexpr std::chrono::milliseconds kDefaultLimit{250};
constexpr unsigned kTraceFactor = 40;
// A record ends here (some 100 MB): only code that loops gets so far.
constexpr std::size_t kMostRecorded = 2'000'000;
constexpr std::chrono::milliseconds kStubLimit{1000};

struct FreePages {
    void operator()(std::byte* memory) const {
        ::operator delete (memory, std::align_val_t{kPageSize});
    }
};
using Pages = std::unique_ptr<std::byte, FreePages>;

Pages allocate(std::uint64_t bytes) {
    return Pages(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{kPageSize})));
}

}  // namespace

struct RelocateMachine::Impl {
    Impl(RelocateCode code_in, Layout layout_in, Pages memory_in, memory::WritableRam ram_in,
         Disassembler disassembler_in)
        : code(std::move(code_in)),
          layout(std::move(layout_in)),
          memory(std::move(memory_in)),
          ram(std::move(ram_in)),
          disassembler(std::move(disassembler_in)),
          describer(code, layout, ram, disassembler) {}
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    Impl(Impl&&) = delete;
    Impl& operator=(Impl&&) = delete;
    ~Impl() = default;

    Status start_engine();
    void remember_system_pages();
    void restore_system_pages();
    // Whether the guest left the code as it was: what is translated may be kept then.
    [[nodiscard]] bool code_is_intact() const;
    Status enter(const relocate::CpuState& at);

    Stop run(std::uint64_t begin, std::uint64_t target, std::vector<Step>* steps,
             std::vector<TracedWrite>* writes);
    Stop forward(std::vector<Step>* steps, std::vector<TracedWrite>* writes);
    Stop back(const CalleeReturn& callee, std::vector<Step>* steps,
              std::vector<TracedWrite>* writes);
    Outcome run_traced(std::uint64_t begin, std::uint64_t target, std::vector<Step>& steps,
                       std::vector<TracedWrite>& writes);

    [[nodiscard]] std::byte* page(Gpa gpa) const { return ram.page_or_null(pfn_of(gpa)); }
    // A word of the stack at a physical address; nothing where there is no RAM.
    [[nodiscard]] std::optional<std::uint64_t> word(std::uint64_t gpa) const;

    RelocateCode code;
    Layout layout;
    Pages memory;
    memory::WritableRam ram;
    Disassembler disassembler;
    Describer describer;
    std::unique_ptr<Engine> engine;
    bool engine_is_spoilt = false;  // after a fault nobody knows what state it is in

    std::vector<Gpa> system_pages;        // all but the arena
    std::vector<std::byte> system_bytes;  // as after create()

    relocate::CpuState p0;
    std::uint64_t start = 0;
    std::chrono::milliseconds limit = kDefaultLimit;
};

Status RelocateMachine::Impl::start_engine() {
    auto opened = Engine::open(code.arch);
    if (!opened) {
        return opened.error();
    }
    engine = std::move(opened).value();
    engine_is_spoilt = false;

    const Board& board = layout.board;
    const auto show = [&](std::uint64_t address, Gpa gpa, bool executable) {
        return engine->map(address, page(gpa), kPageSize, executable);
    };
    const auto holds_code = [&](Gpa gpa) {
        return gpa == board.control_page || gpa == board.entry_page ||
               (layout.text_page != Gpa{} && gpa == layout.text_page);
    };
    // The control page first: Unicorn looks for translated code by the first address it got for a
    // page of the host, and the control page is written to by its physical address.
    Status status = show(board.control_page.raw, board.control_page, true);
    for (const memory::RamRegion& region : board.ram) {
        std::uint64_t from = 0;
        for (std::uint64_t at = 0; at <= region.length.raw && status; at += kPageSize) {
            const Gpa gpa{region.gpa.raw + at};
            const bool end = at == region.length.raw;
            if (!end && !holds_code(gpa)) {
                continue;
            }
            if (at > from) {
                const Gpa begin{region.gpa.raw + from};
                status = engine->map(begin.raw, page(begin), at - from, false);
            }
            if (!end && status && gpa != board.control_page) {
                status = show(gpa.raw, gpa, true);
            }
            from = at + kPageSize;
        }
    }
    // The pages at their virtual addresses: see relocate_machine.h.
    for (const PageMapping& mapping : layout.kernel) {
        if (!status || mapping.va == mapping.pa.raw) {
            continue;
        }
        const bool text = layout.text_page != Gpa{} && mapping.pa == layout.text_page;
        const bool runs_there =
            mapping.pa == board.control_page && code.convention != Convention::kX86_64PageList;
        status = show(mapping.va, layout.to_gpa(mapping.va), text || runs_there);
    }
    return status;
}

void RelocateMachine::Impl::remember_system_pages() {
    for (const memory::RamRegion& region : layout.board.ram) {
        for (std::uint64_t at = 0; at < region.length.raw; at += kPageSize) {
            const Gpa gpa{region.gpa.raw + at};
            bool in_arena = false;
            for (const memory::RamRegion& arena : layout.board.arena) {
                in_arena |= gpa >= arena.gpa && gpa.raw - arena.gpa.raw < arena.length.raw;
            }
            if (!in_arena) {
                system_pages.push_back(gpa);
                system_bytes.insert(system_bytes.end(), page(gpa), page(gpa) + kPageSize);
            }
        }
    }
}

void RelocateMachine::Impl::restore_system_pages() {
    const std::byte* from = system_bytes.data();
    for (const Gpa gpa : system_pages) {
        std::memcpy(page(gpa), from, kPageSize);
        from += kPageSize;
    }
}

bool RelocateMachine::Impl::code_is_intact() const {
    const std::byte* text = code.blob.data();
    if (std::memcmp(page(layout.board.control_page), text, code.code_size) != 0) {
        return false;
    }
    const std::byte* from = system_bytes.data();
    for (const Gpa gpa : system_pages) {
        if ((gpa == layout.board.entry_page || gpa == layout.text_page) &&
            std::memcmp(page(gpa), from, kPageSize) != 0) {
            return false;
        }
        from += kPageSize;
    }
    return true;
}

// Runs the stub and puts the registers that can be set from outside.
Status RelocateMachine::Impl::enter(const relocate::CpuState& at) {
    relocate::CpuState stub;
    stub.gpr[relocate::kRax] = at.cr4;
    stub.gpr[relocate::kRbx] = at.cr3;
    stub.gpr[relocate::kRcx] = at.cr0;
    stub.gdtr = {layout.gdt_va, 0xff};
    engine->set_cpu(stub);
    const std::uint64_t begin = layout.board.entry_page.raw;
    const Outcome outcome = engine->run(begin, ~std::uint64_t{0}, kStubLimit);
    if (outcome.end != RunEnd::kHalt || outcome.cpu.rip - begin > kEntryStubBytes) {
        return Error{"Unicorn",
                     "the way to the kernel's state failed: " + describer.what(outcome, false)};
    }
    engine->set_cpu(at);
    return success();
}

std::optional<std::uint64_t> RelocateMachine::Impl::word(std::uint64_t gpa) const {
    const std::uint64_t size = code.arch == Arch::x86_64 ? 8 : 4;
    const std::byte* frame = page(Gpa{gpa});
    if (frame == nullptr || gpa % kPageSize + size > kPageSize) {
        return std::nullopt;
    }
    std::uint64_t value = 0;
    std::memcpy(&value, frame + gpa % kPageSize, size);
    return value;
}

Outcome RelocateMachine::Impl::run_traced(std::uint64_t begin, std::uint64_t target,
                                          std::vector<Step>& steps,
                                          std::vector<TracedWrite>& writes) {
    bool repeats = false;
    Tracer tracer;
    tracer.step = [&](std::uint64_t rip) {
        if ((repeats && steps.back().rip == rip) || steps.size() >= kMostRecorded) {
            return;
        }
        const std::optional<Instruction> found = describer.instruction(rip);
        repeats = found && found->repeats;
        steps.push_back({rip, describer.link_of(rip), found ? found->text : "(bad)"});
    };
    tracer.write = [&](std::uint64_t address, std::uint64_t size, std::uint64_t value) {
        if (!steps.empty() && writes.size() < kMostRecorded) {
            writes.push_back({steps.size() - 1, layout.to_gpa(address), Bytes{size}, value});
        }
    };
    Outcome out = engine->run_traced(begin, target, limit * kTraceFactor, tracer);
    if (!steps.empty() && out.end != RunEnd::kReached && out.end != RunEnd::kHalt) {
        out.cpu.rip = steps.back().rip;
    }
    return out;
}

Stop RelocateMachine::Impl::run(std::uint64_t begin, std::uint64_t target, std::vector<Step>* steps,
                                std::vector<TracedWrite>* writes) {
    const bool traced = steps != nullptr && writes != nullptr;
    const Outcome outcome =
        traced ? run_traced(begin, target, *steps, *writes) : engine->run(begin, target, limit);
    Stop stop;
    stop.cpu = outcome.cpu;
    if (outcome.end == RunEnd::kReached) {
        return stop;
    }
    engine_is_spoilt = true;
    stop.reason = outcome.end == RunEnd::kStuck ? StopReason::kStuck : StopReason::kFault;
    stop.what = describer.what(outcome, traced);
    return stop;
}

Stop RelocateMachine::Impl::forward(std::vector<Step>* steps, std::vector<TracedWrite>* writes) {
    if (steps != nullptr && engine->has_translated()) {
        // A new engine costs a few milliseconds, to make an old one forget its code 100.
        Status ready = start_engine();
        if (ready) {
            ready = enter(p0);
        }
        if (!ready) {
            Stop stop;
            stop.reason = StopReason::kFault;
            stop.what = ready.error().message();
            engine_is_spoilt = true;
            return stop;
        }
    }
    return run(p0.rip, start, steps, writes);
}

Stop RelocateMachine::Impl::back(const CalleeReturn& callee, std::vector<Step>* steps,
                                 std::vector<TracedWrite>* writes) {
    relocate::CpuState cpu = engine->cpu();
    const std::uint64_t size = code.arch == Arch::x86_64 ? 8 : 4;
    std::uint64_t stack = cpu.gpr[relocate::kRsp];
    const std::optional<std::uint64_t> return_point = word(stack);
    if (!return_point) {
        Stop stop;
        stop.reason = StopReason::kFault;
        stop.cpu = cpu;
        stop.what =
            "the callee's stack pointer " + describer.place(stack) + " does not point into RAM";
        engine_is_spoilt = true;
        return stop;
    }
    if (callee.reentry_slot) {
        std::memcpy(page(Gpa{stack}) + stack % kPageSize, &callee.next_entry, size);
    } else {
        stack += size;
    }
    cpu.gpr = callee.cpu.gpr;
    cpu.gpr[relocate::kRsp] = stack;
    cpu.rflags = callee.cpu.rflags;
    cpu.gdtr = callee.cpu.gdtr;
    cpu.idtr = callee.cpu.idtr;
    engine->set_cpu(cpu);
    return run(*return_point, layout.return_va, steps, writes);
}

RelocateMachine::RelocateMachine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RelocateMachine::RelocateMachine(RelocateMachine&&) noexcept = default;
RelocateMachine& RelocateMachine::operator=(RelocateMachine&&) noexcept = default;
RelocateMachine::~RelocateMachine() = default;

Result<RelocateMachine> RelocateMachine::create(const RelocateCode& code, unsigned variant,
                                                std::uint64_t arena_pages) {
    auto layout = make_layout(code, variant, arena_pages);
    if (!layout) {
        return layout.error();
    }
    auto disassembler = Disassembler::create(code.arch);
    if (!disassembler) {
        return disassembler.error();
    }
    Pages memory = allocate(layout->ram_bytes);
    std::memset(memory.get(), 0, layout->ram_bytes);
    auto ram = memory::WritableRam::create({memory.get(), layout->ram_bytes}, layout->board.ram);
    if (!ram) {
        return ram.error();
    }
    const Status written = write_system_pages(*ram, code, *layout);
    if (!written) {
        return written.error();
    }
    auto impl = std::make_unique<Impl>(code, std::move(layout).value(), std::move(memory),
                                       std::move(ram).value(), std::move(disassembler).value());
    impl->remember_system_pages();
    const Status started = impl->start_engine();
    if (!started) {
        return started.error();
    }
    return RelocateMachine(std::move(impl));
}

const Board& RelocateMachine::board() const { return impl_->layout.board; }

memory::WritableRam& RelocateMachine::ram() { return impl_->ram; }

Status RelocateMachine::prepare(const Call& call) {
    Impl& self = *impl_;
    const Pfn start = pfn_of(Gpa{call.start});
    const Board& board = self.layout.board;
    if (start == pfn_of(board.control_page) || start == pfn_of(board.entry_page) ||
        start == pfn_of(self.layout.text_page)) {
        return Error{"start", "lies in a page that holds code of relocate_kernel"};
    }
    const bool renew = self.engine_is_spoilt || self.engine->has_traced() || !self.code_is_intact();
    self.restore_system_pages();
    if (renew) {
        Status started = self.start_engine();
        if (!started) {
            return started;
        }
    }
    self.start = call.start;
    self.p0 = write_call(self.ram, self.code, self.layout, call);
    return self.enter(self.p0);
}

relocate::CpuState RelocateMachine::cpu() const {
    relocate::CpuState cpu = impl_->engine->cpu();
    // Between prepare() and the first run Unicorn's own instruction pointer is still the stub's.
    if (cpu.rip - impl_->layout.board.entry_page.raw < kPageSize) {
        cpu.rip = impl_->p0.rip;
    }
    return cpu;
}

Stop RelocateMachine::run_to_callee() { return impl_->forward(nullptr, nullptr); }

Stop RelocateMachine::run_back(const CalleeReturn& callee) {
    return impl_->back(callee, nullptr, nullptr);
}

Stop RelocateMachine::run_to_callee(std::vector<Step>& steps, std::vector<TracedWrite>& writes) {
    return impl_->forward(&steps, &writes);
}

Stop RelocateMachine::run_back(const CalleeReturn& callee, std::vector<Step>& steps,
                               std::vector<TracedWrite>& writes) {
    return impl_->back(callee, &steps, &writes);
}

void RelocateMachine::set_limit(std::chrono::milliseconds cpu_time) { impl_->limit = cpu_time; }

bool RelocateMachine::stores_are_fast() { return FastStores::possible(); }

}  // namespace jumpback::unicorn
