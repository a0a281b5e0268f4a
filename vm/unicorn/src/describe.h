// SPDX-License-Identifier: GPL-2.0-or-later
//
// Says in words how a run ended, with the instruction that did it.
#pragma once

#include <string>

#include "model/memory/writable_ram.h"
#include "vm/unicorn/relocate_code.h"
#include "vm/unicorn/src/disassembler.h"
#include "vm/unicorn/src/engine.h"
#include "vm/unicorn/src/layout.h"

namespace jumpback::unicorn {

class Describer {
  public:
    Describer(const RelocateCode& code, const Layout& layout, const memory::WritableRam& ram,
              const Disassembler& disassembler)
        : code_(code), layout_(layout), ram_(ram), disassembler_(disassembler) {}

    // The link address of an instruction of the blob, wherever it runs; 0: not of the blob.
    [[nodiscard]] std::uint64_t link_of(std::uint64_t rip) const;
    // "0x1801fb (identity_mapped+0x88)".
    [[nodiscard]] std::string place(std::uint64_t rip) const;
    // The instruction at `rip` as it stands in RAM now.
    [[nodiscard]] std::optional<Instruction> instruction(std::uint64_t rip) const;
    // What a run that did not reach its target ended with. `exact_rip`: outcome.cpu.rip is the
    // instruction's own (traced runs); else it may be the start of its block.
    [[nodiscard]] std::string what(const Outcome& outcome, bool exact_rip) const;

  private:
    // The rest of the page from `rip` on; empty where there is no RAM.
    [[nodiscard]] std::span<const std::byte> bytes_at(std::uint64_t rip) const;
    [[nodiscard]] std::string at(std::uint64_t rip) const;
    [[nodiscard]] std::string access(const Outcome& outcome, bool exact_rip) const;
    [[nodiscard]] std::string exception(const Outcome& outcome) const;

    const RelocateCode& code_;
    const Layout& layout_;
    const memory::WritableRam& ram_;
    const Disassembler& disassembler_;
};

}  // namespace jumpback::unicorn
