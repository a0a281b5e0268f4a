// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/relocate/breaks.h"

#include <algorithm>
#include <cstring>

#include "model/memory/text.h"
#include "vm/relocate/disassembly.h"

namespace jumpback::relocate_check {
namespace {

using memory::hex;

constexpr std::byte kNop{0x90};

// The instructions of one function of the code.
class Code {
  public:
    static Result<Code> of(const Target& target) {
        Result<std::vector<Instruction>> instructions = disassemble(target);
        if (!instructions) {
            return instructions.error();
        }
        return Code(target, std::move(instructions).value());
    }

    // The `number`th instruction (from 0) from `function` on that `matches`; nullptr if there is
    // none before the next symbol.
    template <typename Matches>
    [[nodiscard]] const Instruction* find(std::string_view function, Matches matches,
                                          unsigned number = 0) const {
        const auto begin = target_.offset_of(function);
        if (!begin) {
            return nullptr;
        }
        std::uint64_t end = target_.code_bytes;
        for (const CodeSymbol& symbol : target_.symbols) {
            if (symbol.offset > *begin) {
                end = std::min(end, symbol.offset);
            }
        }
        for (const Instruction& instruction : instructions_) {
            if (instruction.offset >= *begin && instruction.offset < end && matches(instruction) &&
                number-- == 0) {
                return &instruction;
            }
        }
        return nullptr;
    }
    [[nodiscard]] const Instruction* after(const Instruction& instruction) const {
        for (const Instruction& next : instructions_) {
            if (next.offset == instruction.offset + instruction.size) {
                return &next;
            }
        }
        return nullptr;
    }

  private:
    Code(const Target& target, std::vector<Instruction> instructions)
        : target_(target), instructions_(std::move(instructions)) {}

    const Target& target_;
    std::vector<Instruction> instructions_;
};

Error not_here(std::string_view name, const std::string& why) {
    return {"--break " + std::string(name), why};
}

Broken without(const Target& target, const Instruction& instruction) {
    auto changed = std::make_shared<Target>(target);
    const auto first = changed->code.blob.begin() + static_cast<std::ptrdiff_t>(instruction.offset);
    std::fill_n(first, instruction.size, kNop);
    return {changed, nullptr,
            target.name_at(instruction.offset) + ": " + instruction.text() + " -> nop"};
}

Broken with_number(const Target& target, const Instruction& instruction, std::uint64_t at,
                   std::uint32_t value) {
    auto changed = std::make_shared<Target>(target);
    std::memcpy(changed->code.blob.data() + instruction.offset + at, &value, sizeof value);
    return {changed, nullptr,
            target.name_at(instruction.offset) + ": " + instruction.text() + ", the number made " +
                hex(value)};
}

Result<Broken> swap_becomes_copy(const Target& target, const Code& code, std::string_view name) {
    // Source -> swap page, destination -> source, swap page -> destination: without the second the
    // source keeps what it had.
    const auto is_copy = [](const Instruction& instruction) {
        return instruction.mnemonic.starts_with("rep movs");
    };
    const Instruction* second = code.find("swap_pages", is_copy, 1);
    if (second == nullptr || code.find("swap_pages", is_copy, 2) == nullptr) {
        return not_here(name, "swap_pages does not have the three rep movs of a swap");
    }
    return without(target, *second);
}

Result<Broken> gdt_not_restored(const Target& target, const Code& code, std::string_view name) {
    const Instruction* lgdt = code.find("virtual_mapped", [](const Instruction& instruction) {
        return instruction.mnemonic.starts_with("lgdt");
    });
    if (lgdt == nullptr) {
        return not_here(name,
                        "virtual_mapped has no lgdt to take away; this kernel does not "
                        "restore the GDT");
    }
    return without(target, *lgdt);
}

Result<Broken> stack_past_swap_page(const Target& target, const Code& code, std::string_view name) {
    const bool wide = target.generation.isa == relocate::Isa::kX86_64;
    const std::string_view to_callee = wide ? "call rdx" : "call edx";
    // `call *%rdx` with `push %rdx` before it: the slot for the re-entry word.
    const Instruction* push = code.find("identity_mapped", [&](const Instruction& instruction) {
        const Instruction* next = code.after(instruction);
        return instruction.text() == (wide ? "push rdx" : "push edx") && next != nullptr &&
               next->text() == to_callee;
    });
    if (push != nullptr) {
        return without(target, *push);
    }
    // No slot: the whole stack one word up, so that the return address lies past the page.
    const Instruction* top = code.find("identity_mapped", [&](const Instruction& instruction) {
        const Instruction* next = code.after(instruction);
        const bool adds = instruction.text() == "add esp, 0x1000" ||
                          instruction.text() == "lea rsp, [r10 + 0x1000]";
        return adds && next != nullptr && next->text() == to_callee;
    });
    if (top == nullptr) {
        return not_here(name,
                        "no instruction is found that puts the callee's stack at the top of "
                        "the swap page");
    }
    const auto past = static_cast<std::uint32_t>(kPageSize + (wide ? 8 : 4));
    return with_number(target, *top, wide ? top->displacement : top->immediate, past);
}

Result<Broken> preserve_flag_lost(const Target& target, const Code& code, std::string_view name) {
    const Instruction* flag = code.find("identity_mapped", [](const Instruction& instruction) {
        return instruction.text() == "mov r11d, 1";
    });
    if (flag == nullptr) {
        return not_here(name,
                        "the way back sets no preserve flag; kernels before 6.14 and i386 "
                        "always swap");
    }
    return without(target, *flag);
}

Result<Broken> no_zero_word(const Target& target, const Code& code, std::string_view name) {
    const Instruction* zero = code.find("identity_mapped", [&](const Instruction& instruction) {
        const Instruction* next = code.after(instruction);
        return instruction.text() == "push 0" && next != nullptr &&
               (next->text() == "push rdx" || next->text() == "push edx");
    });
    if (zero == nullptr) {
        return not_here(name, "identity_mapped does not push a zero below image->start");
    }
    return without(target, *zero);
}

Result<Broken> cache_flush_lost(const Target& target, const Code& code, std::string_view name) {
    const Instruction* flush = code.find("identity_mapped", [](const Instruction& instruction) {
        return instruction.mnemonic == "wbinvd";
    });
    if (flush == nullptr) {
        return not_here(name, "identity_mapped has no wbinvd; i386 never flushes caches");
    }
    return without(target, *flush);
}

// One word of a list page.
std::byte* word_at(const memory::WritableRam& ram, const Case& run, std::uint64_t index,
                   std::uint64_t bytes) {
    const std::uint64_t fit = kPageSize / bytes - 1;
    return ram.page_or_null(pfn_of(run.list_frames[index / fit])) + index % fit * bytes;
}

Broken list_tamper(const Target& target, ListTamper tamper, std::string what) {
    return {std::make_shared<Target>(target), std::move(tamper), std::move(what)};
}

Result<Broken> swap_page_as_source(const Target& target) {
    const std::uint64_t bytes = kimage::bytes_of(target.generation.word());
    return list_tamper(
        target,
        [bytes](const memory::WritableRam& ram, const Case& run, const unicorn::Board& board) {
            for (std::uint64_t index = 0; index < run.entries.size(); ++index) {
                if (run.entries[index].is_source()) {
                    const std::uint64_t word = board.swap_page.raw | kimage::kIndSource;
                    std::memcpy(word_at(ram, run, index, bytes), &word, bytes);
                    return;
                }
            }
        },
        "the first SOURCE of each list in RAM names the swap page");
}

Result<Broken> last_entry_dropped(const Target& target) {
    const std::uint64_t bytes = kimage::bytes_of(target.generation.word());
    return list_tamper(
        target,
        [bytes](const memory::WritableRam& ram, const Case& run, const unicorn::Board&) {
            const std::uint64_t fit = kPageSize / bytes - 1;
            for (std::uint64_t last = fit - 1; last < run.entries.size(); last += fit) {
                std::memset(word_at(ram, run, last, bytes), 0, bytes);
            }
        },
        "the last word before each link of the list in RAM is zero");
}

}  // namespace

const std::vector<Break>& breaks() {
    static const std::vector<Break> all{
        {"swap-becomes-copy",
         "destinations are not copied back to their sources",
         Stop::kCallee,
         // The other two in chained lists, where a page meets several moves.
         {"source", "destination", "page onto itself"}},
        {"swap-page-as-source",
         "a SOURCE word of the list names the swap page",
         Stop::kCallee,
         {"destination", "source", "page onto itself"}},
        {"last-indirection-entry-dropped",
         "the last entry of every full list page is not acted on",
         Stop::kCallee,
         // A dropped DESTINATION that was the first: the copy goes to frame 0, which is no RAM.
         {"destination", "source", "page onto itself", "page of no list", "list page", "fault"}},
        {"gdt-not-restored",
         "the GDT is not loaded before the return to C (B7)",
         Stop::kCaller,
         {"gdtr.base", "gdtr.limit"}},
        {"callee-stack-past-swap-page",
         "the callee's stack reaches past the swap page (B5)",
         Stop::kCallee,
         // Where no RAM is behind the swap page and the call itself writes there.
         {"rsp", "esp", "fault"}},
        {"preserve-flag-lost",
         "pages are not swapped back (B8)",
         Stop::kCaller,
         {"destination", "source", "page onto itself"}},
        {"no-zero-word",
         "no zero word above the stack pointer on a plain kexec (B6)",
         Stop::kCallee,
         {"rsp", "esp"}},
        {"cache-flush-lost",
         "caches are not flushed before pages are moved, though memory encryption asks for it",
         Stop::kCallee,
         {"wbinvd before pages are moved"}},
    };
    return all;
}

Result<Broken> apply_break(const Target& target, std::string_view name) {
    const Result<Code> code = Code::of(target);
    if (!code) {
        return code.error();
    }
    if (name == "swap-becomes-copy") {
        return swap_becomes_copy(target, *code, name);
    }
    if (name == "swap-page-as-source") {
        return swap_page_as_source(target);
    }
    if (name == "last-indirection-entry-dropped") {
        return last_entry_dropped(target);
    }
    if (name == "gdt-not-restored") {
        return gdt_not_restored(target, *code, name);
    }
    if (name == "callee-stack-past-swap-page") {
        return stack_past_swap_page(target, *code, name);
    }
    if (name == "preserve-flag-lost") {
        return preserve_flag_lost(target, *code, name);
    }
    if (name == "no-zero-word") {
        return no_zero_word(target, *code, name);
    }
    if (name == "cache-flush-lost") {
        return cache_flush_lost(target, *code, name);
    }
    std::string known;
    for (const Break& entry : breaks()) {
        known += (known.empty() ? "" : ", ") + std::string(entry.name);
    }
    return Error{"--break " + std::string(name), "there is none of this name; there are " + known};
}

}  // namespace jumpback::relocate_check
