// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>

#include "vm/relocate/case_generator.h"
#include "vm/relocate/checker.h"

namespace jumpback::relocate_check {

Result<Bench*> Benches::get(unsigned variant, bool large) {
    std::unique_ptr<Bench>& slot = made_.at(2 * variant + (large ? 1 : 0));
    if (slot != nullptr) {
        return slot.get();
    }
    Result<unicorn::RelocateMachine> machine =
        unicorn::RelocateMachine::create(target_->code, variant, large ? kLargeArena : kSmallArena);
    if (!machine) {
        return machine.error();
    }
    const unicorn::Board& board = machine->board();
    std::vector<std::byte> expected(machine.value().ram().buffer().size());
    Result<memory::WritableRam> ram = memory::WritableRam::create(expected, board.ram);
    if (!ram) {
        return ram.error();
    }
    relocate::Places places = target_->places_in_control_page();
    places.control_page = board.control_page;
    places.swap_page = board.swap_page;
    // The machine makes its page tables with accessed and dirty bits set, so they must not change
    // at all: places.table_pages stays empty.
    places.caller_stack_page = board.stack_page;
    std::vector<Gpa> arena;
    for (const memory::RamRegion& region : board.arena) {
        for (std::uint64_t at = 0; at < region.length.raw; at += kPageSize) {
            arena.emplace_back(region.gpa.raw + at);
        }
    }
    std::sort(arena.begin(), arena.end());
    // Moving a vector keeps its buffer, which `ram` looks at.
    slot =
        std::make_unique<Bench>(Bench{std::move(machine).value(), std::move(expected),
                                      std::move(ram).value(), std::move(arena), std::move(places)});
    return slot.get();
}

}  // namespace jumpback::relocate_check
