// SPDX-License-Identifier: GPL-2.0-or-later
//
// One case: a page list, the call, and what the callee does. Everything that a run depends on, so a
// case can be run again, made smaller and shown.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "model/address.h"
#include "model/kimage/entry.h"
#include "model/relocate/cpu_state.h"

namespace jumpback::relocate_check {

// Whose list it is.
enum class ListOrigin : std::uint8_t {
    kEmpty,    // nothing was added: head is DONE
    kKimage,   // built by the model of kimage_add_entry() with a random allocator
    kRaw,      // any list that keeps the kernel's promises
    kChained,  // sources that are destinations of others: no kernel makes these
};
std::string_view name_of(ListOrigin origin);

// How the callee says where it wants to be entered next.
enum class CalleeKind : std::uint8_t {
    kPushes,  // pops its return address, pushes its next entry, jumps: right on every kernel
    kSlot,    // writes its next entry above its return address, returns
    kPlain,   // returns
};
std::string_view name_of(CalleeKind kind);

// The callee writes `length` bytes at `at`; none crosses a page.
struct PageChange {
    Gpa at;
    Bytes length;
    std::uint64_t number = 0;  // of the contents (contents.h)
};

struct Callee {
    CalleeKind kind = CalleeKind::kPushes;
    std::uint64_t next_entry = 0;  // kPushes, kSlot
    relocate::CpuState cpu;        // GPRs, flags, GDTR, IDTR that it leaves
    std::vector<PageChange> changes;
};

struct Case {
    std::uint64_t seed = 0;
    std::uint64_t index = 0;
    unsigned board = 0;  // layout of the machine
    bool large = false;  // on the machine with much RAM
    ListOrigin origin = ListOrigin::kRaw;
    bool preserve = true;
    bool host_memory_encryption = false;
    bool cpu_has_pae = true;             // i386
    std::vector<kimage::Entry> entries;  // words of the list without links and DONE
    std::vector<Gpa> list_frames;        // where they stand
    std::uint64_t start = 0;             // image->start
    std::uint64_t salt = 0;              // of memory's contents
    Callee callee;

    [[nodiscard]] std::uint64_t pages() const {
        std::uint64_t count = 0;
        for (const kimage::Entry& entry : entries) {
            count += entry.is_source() ? 1 : 0;
        }
        return count;
    }
};

}  // namespace jumpback::relocate_check
