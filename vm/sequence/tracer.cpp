// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/sequence/tracer.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "vm/text.h"

namespace jumpback::sequence {
namespace {

using jump::Step;

// kernel_kexec() runs about 100 instructions, machine_kexec() 600 with its copying of 2048 bytes.
constexpr unsigned kMostInstructions = 5000;

// What a function returns that the script answers with a place: some page that may be written.
constexpr std::uint64_t kPageOffset = 2 * kPageSize;  // in the scratch memory

// Prefixes of one instruction: operand size, segments and REX matter to no step.
bool is_prefix(std::uint8_t byte, bool is64) {
    constexpr std::array<std::uint8_t, 9> kPrefixes{0x66, 0x67, 0x26, 0x2e, 0x36,
                                                    0x3e, 0x64, 0x65, 0xf0};
    return std::find(kPrefixes.begin(), kPrefixes.end(), byte) != kPrefixes.end() ||
           (is64 && (byte & 0xf0) == 0x40);
}

std::size_t prefixes(const std::vector<std::byte>& code, bool is64) {
    std::size_t at = 0;
    while (at + 1 < code.size() && is_prefix(std::to_integer<std::uint8_t>(code[at]), is64)) {
        ++at;
    }
    return at;
}

// Bytes of ModRM, SIB and displacement; 32- and 64-bit addressing.
std::size_t modrm_length(std::uint8_t modrm, std::uint8_t sib) {
    const unsigned mod = modrm >> 6;
    const unsigned rm = modrm & 7;
    if (mod == 3) {
        return 1;
    }
    const bool has_sib = rm == 4;
    std::size_t length = has_sib ? 2 : 1;
    if (mod == 1) {
        length += 1;
    } else if (mod == 2 || rm == 5 || (has_sib && (sib & 7) == 5)) {
        length += 4;
    }
    return length;
}

}  // namespace

Variables find_variables(const Vmlinux& kernel) {
    const auto first = [&](std::string_view name) {
        const auto found = kernel.symbols(name);
        return found.empty() ? Gva{} : found.front().address;
    };
    return {first("kexec_image"),
            first("__kexec_lock"),
            first("kexec_mutex"),
            first("kexec_in_progress"),
            first("system_transition_mutex"),
            first("relocate_kernel")};
}

std::uint64_t Tracer::value_of(Gva address, std::size_t length) const {
    std::uint64_t value = 0;
    const auto bytes = cpu_.read(address, length);
    std::memcpy(&value, bytes.data(), std::min(length, sizeof(value)));
    return value;
}

void Tracer::add(Step step, std::string symbol, int result, std::optional<std::uint32_t> argument) {
    run_.trace.steps.push_back({step, result, argument, std::move(symbol)});
}

void Tracer::begin(const jump::Scenario& scenario, std::optional<ImageBit> bit) {
    run_ = {};
    image_reads_.clear();
    scenario_ = scenario;
    if (bit) {
        cpu_.write(Gva{image().raw + bit->offset}, std::uint64_t{1} << bit->bit, 1);
    }
    cpu_.on_access([this](const Access& access) { accessed(access); });
}

TracedRun Tracer::run_kernel_kexec(const jump::Scenario& scenario, std::optional<ImageBit> bit) {
    machine_ = false;
    cpu_.call(code_.entry(), {});
    begin(scenario, bit);
    const std::size_t word = cpu_.arch() == jumpback::Arch::x86_64 ? 8 : 4;
    cpu_.write(variables_.kexec_image, scenario.failing == Step::find_image ? 0 : image().raw,
               word);
    lock_busy_ = scenario.failing == Step::take_lock;
    if (lock_busy_ && variables_.lock.raw != 0) {
        cpu_.write(variables_.lock, 1, 4);
    }
    return loop();
}

TracedRun Tracer::run_machine_kexec(jump::Branch branch, std::optional<ImageBit> bit) {
    machine_ = true;
    const std::array<std::uint64_t, 1> arguments{image().raw};
    cpu_.call(code_.entry(), arguments);
    begin({branch, {}}, branch == jump::Branch::jump ? bit : std::nullopt);
    return loop();
}

// kexec_trylock() and kexec_unlock() are inline atomics on one word, kexec_in_progress is a plain
// store: they show by what they do to memory.
void Tracer::accessed(const Access& access) {
    const auto touches = [&](Gva variable) {
        return variable.raw != 0 && access.address <= variable &&
               access.address.raw + access.size > variable.raw;
    };
    if (!access.write) {
        if (access.address >= image() && access.address.raw < image().raw + kPageSize) {
            for (unsigned i = 0; i < access.size; ++i) {
                image_reads_.push_back(access.address.raw - image().raw + i);
            }
        }
        if (machine_ && access.address == variables_.relocate_kernel) {
            add(Step::copy_control_code);
        }
        return;
    }
    if (machine_) {
        return;
    }
    if (touches(variables_.lock)) {
        const bool was_taken = value_of(variables_.lock, 4) != 0;
        if (access.value == 0) {
            add(Step::drop_lock);
        } else {  // a cmpxchg that fails writes the old value
            add(Step::take_lock, {}, was_taken ? jump::kBusy : 0);
        }
    } else if (touches(variables_.in_progress)) {
        add(Step::mark_in_progress);
    }
}

Code Tracer::classify(Gva at) const {
    Code code = code_.at(at);
    if (code.kind == CodeKind::step) {
        return code;
    }
    const std::uint64_t argument = cpu_.argument(0);
    const auto is = [&](Gva variable) { return variable.raw != 0 && argument == variable.raw; };
    const auto found = [&](Step step) { return Code{CodeKind::step, step, code.symbol}; };
    if (is(variables_.mutex)) {
        if (code.symbol == "mutex_trylock") {
            return found(Step::take_lock);
        }
        if (code.symbol == "mutex_unlock") {
            return found(Step::drop_lock);
        }
    }
    if (is(variables_.transition_mutex)) {
        if (code.symbol.starts_with("mutex_lock")) {
            return found(Step::take_transition_mutex);
        }
        if (code.symbol == "mutex_unlock") {
            return found(Step::drop_transition_mutex);
        }
    }
    if (machine_ && code.symbol.empty()) {
        return found(Step::relocate_kernel);  // its copy in the control page: no kernel address
    }
    return code;
}

// The function is about to run code that is not its own. False: the trace ends here.
bool Tracer::left_function(Gva at) {
    const Code code = classify(at);
    if (code.kind == CodeKind::transparent) {
        cpu_.return_untouched();
        return true;
    }
    Call call{code.symbol, cpu_.return_address(), cpu_.argument(0), 0, {}};
    if (code.kind == CodeKind::helper) {
        if (code.symbol.ends_with("memcpy") && machine_ &&
            Gva{cpu_.argument(1)} == variables_.relocate_kernel) {
            add(Step::copy_control_code, code.symbol);
        }
        call.result = code.symbol == "page_address"
                          ? static_cast<std::int64_t>(image().raw + kPageOffset)
                          : 0;
    } else {
        const jump::StepInfo& row = jump::info(code.step);
        const bool fails = scenario_.failing == code.step;
        const int result =
            fails ? (code.step == Step::take_lock ? jump::kBusy : scenario_.error) : 0;
        // mutex_trylock() alone says success with 1.
        call.result = code.step == Step::take_lock ? (fails ? 0 : 1) : result;
        std::optional<std::uint32_t> argument;
        if (row.argument) {
            argument = static_cast<std::uint32_t>(cpu_.argument(0));
        }
        call.step = row.id;
        add(code.step, code.symbol.empty() && code.step == Step::other ? hex(at.raw) : code.symbol,
            result, argument);
    }
    run_.calls.push_back(call);
    cpu_.return_from_callee(static_cast<std::uint64_t>(call.result));
    // Nothing after a plain kexec's last call runs in this kernel any more.
    const bool gone = scenario_.branch == jump::Branch::plain &&
                      code.step == (machine_ ? Step::relocate_kernel : Step::machine_kexec);
    return !gone;
}

// Instructions that are a step, or that this CPU has no tables for: written down and passed over.
bool Tracer::special_instruction(Gva at) {
    const std::vector<std::byte> code = cpu_.read(at, 16);
    const bool is64 = cpu_.arch() == jumpback::Arch::x86_64;
    const std::size_t start = prefixes(code, is64);
    const auto byte = [&](std::size_t index) {
        return index < code.size() ? std::to_integer<std::uint8_t>(code[index]) : std::uint8_t{0};
    };
    const std::uint8_t opcode = byte(start);
    const std::uint8_t second = byte(start + 1);
    const auto pass = [&](std::size_t length) {
        cpu_.jump(Gva{at.raw + start + length});
        return true;
    };
    constexpr std::uint8_t kCli = 0xfa, kSti = 0xfb, kMovSegment = 0x8e, kFarJump = 0xea,
                           kTwoBytes = 0x0f, kMovDebug = 0x23, kGroup7 = 0x01;
    if (opcode == kCli || opcode == kSti) {
        add(opcode == kCli ? Step::disable_irqs : Step::enable_irqs);
        cpu_.set_interrupts(opcode == kSti);
        return pass(1);
    }
    if (!machine_) {
        return false;
    }
    if (opcode == kMovSegment) {
        constexpr unsigned kSs = 2;  // the one segment that every load_segments() loads last or so
        if ((second >> 3 & 7U) == kSs) {
            add(Step::load_segments);
        }
        return pass(1 + modrm_length(second, byte(start + 2)));
    }
    if (opcode == kFarJump && !is64) {
        std::uint32_t target = 0;
        if (start + 1 + sizeof target > code.size()) {
            return false;
        }
        std::memcpy(&target, code.data() + start + 1, sizeof(target));
        cpu_.jump(Gva{target});
        return true;
    }
    if (opcode == kTwoBytes && second == kMovDebug) {
        if ((byte(start + 2) >> 3 & 7U) == 7) {  // DR7: all breakpoints off
            add(Step::disable_breakpoints);
        }
        return pass(3);
    }
    if (opcode == kTwoBytes && second == kGroup7) {
        const std::uint8_t modrm = byte(start + 2);
        const unsigned group = modrm >> 3 & 7U;
        if (modrm >> 6 != 3 && (group == 2 || group == 3)) {
            add(group == 2 ? Step::invalidate_gdt : Step::invalidate_idt);
            return pass(2 + modrm_length(modrm, byte(start + 3)));
        }
    }
    return false;
}

bool Tracer::repeats_endlessly(Gva at) const {
    constexpr std::uint64_t kMostRounds = 16 * kPageSize;
    const bool is64 = cpu_.arch() == jumpback::Arch::x86_64;
    bool repeated = false;
    for (const std::byte byte : cpu_.read(at, 16)) {
        const auto value = std::to_integer<std::uint8_t>(byte);
        const bool repeat = value == 0xf2 || value == 0xf3;
        repeated = repeated || repeat;
        if (!repeat && !is_prefix(value, is64)) {
            // ins, outs, movs, cmps, stos, lods, scas
            const bool on_strings = (value >= 0x6c && value <= 0x6f) ||
                                    (value >= 0xa4 && value <= 0xa7) ||
                                    (value >= 0xaa && value <= 0xaf);
            return repeated && on_strings && cpu_.repeat_count() > kMostRounds;
        }
    }
    return false;
}

TracedRun Tracer::loop() {
    TracedRun run = step_until_it_ends();
    cpu_.on_access({});
    return run;
}

TracedRun Tracer::step_until_it_ends() {
    for (unsigned count = 0; count < kMostInstructions; ++count) {
        if (cpu_.has_returned()) {
            run_.trace.returned = machine_ ? 0 : cpu_.return_value();
            return std::move(run_);
        }
        const Gva at = cpu_.instruction();
        const CodeKind kind = code_.at(at).kind;
        if (kind != CodeKind::inside && kind != CodeKind::thunk) {
            if (!left_function(at)) {
                return std::move(run_);
            }
            continue;
        }
        if (kind == CodeKind::inside && special_instruction(at)) {
            continue;
        }
        if (kind == CodeKind::inside && repeats_endlessly(at)) {
            run_.stopped = "a repeated instruction without an end at " + code_.place(at);
            return std::move(run_);
        }
        const bool interrupts = cpu_.interrupts_on();
        const StepResult result = cpu_.step();
        if (result == StepResult::exception) {
            run_.stopped = "an exception at " + code_.place(at);
            return std::move(run_);
        }
        if (cpu_.interrupts_on() != interrupts) {  // popf
            add(interrupts ? Step::disable_irqs : Step::enable_irqs);
        }
    }
    run_.stopped = "it runs in circles at " + code_.place(cpu_.instruction());
    return std::move(run_);
}

}  // namespace jumpback::sequence
