// SPDX-License-Identifier: GPL-2.0-or-later
//
// Work that may crash or hang, item by item, in child processes: one that dies takes one item with
// it. The item is tried a second time in a fresh child, so that what is blamed on it is its doing.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/result.h"

namespace jumpback::relocate_check {

struct ChildAnswer {
    std::uint8_t code = 0;
    std::string text;
    enum Ending : std::uint8_t { kAnswered, kCrashed, kHung } ending = kAnswered;
};

// Calls `work` for items 0 ... count - 1 and collects what it returns. `seconds`: how long one item
// may take. Error: no process can be made.
Result<std::vector<ChildAnswer>> run_in_children(
    std::size_t count, unsigned seconds, const std::function<ChildAnswer(std::size_t)>& work);

}  // namespace jumpback::relocate_check
