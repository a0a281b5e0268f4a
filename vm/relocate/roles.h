// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a frame is in a case, by name: a move's destination or source, a list page, the control
// page's parts, and so on. And whose bytes stand somewhere.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/kimage/entry.h"
#include "vm/relocate/case.h"
#include "vm/relocate/target.h"
#include "vm/unicorn/relocate_machine.h"

namespace jumpback::relocate_check {

struct Role {
    std::string item;     // of all frames of this kind: "destination"
    std::string place;    // of this one: "destination of move 3"
    bool listed = false;  // the page list moves it
};

class Roles {
  public:
    // `arena`: the frames that contents.h numbers. All are borrowed.
    Roles(const Target& target, const unicorn::Board& board, const Case& run,
          std::span<const kimage::Move> moves, std::span<const Gpa> arena)
        : target_(target), board_(board), run_(run), moves_(moves), arena_(arena) {}

    // Of the page that holds `at`; the control page is told by its parts.
    [[nodiscard]] Role of(Gpa at) const;
    // Where an aligned word of a case's contents was put first: "what stood at source of move 3",
    // or empty if it is none.
    [[nodiscard]] std::string origin_of(std::uint64_t word) const;
    // Whether such a word comes from a page that the list names as a source.
    [[nodiscard]] bool from_source(std::uint64_t word) const;

  private:
    [[nodiscard]] Role in_control_page(std::uint64_t offset) const;
    [[nodiscard]] Role of_board(Gpa page) const;

    const Target& target_;
    const unicorn::Board& board_;
    const Case& run_;
    std::span<const kimage::Move> moves_;
    std::span<const Gpa> arena_;
};

}  // namespace jumpback::relocate_check
