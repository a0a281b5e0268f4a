// SPDX-License-Identifier: GPL-2.0-or-later
//
// libFuzzer target: the input is a list of changes to a sound snapshot's memory, aimed at the pages
// that hold structures, or the text of vmcoreinfo itself. Everything is read then: page tables,
// vmcoreinfo, frame table, zones, bitmaps, accounting, owners. No crash, no endless loop, no
// sanitizer report.
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "model/memory/snapshot_accounting.h"
#include "model/memory/tests/guest_builder.h"

namespace {

using namespace jumpback;          // NOLINT: one file, no header
using namespace jumpback::memory;  // NOLINT

struct Sound {
    Sound()
        : wide({test::Machine::kX86_64, test::TypeEncoding::kTopByte}, true),
          narrow({test::Machine::kI386, test::TypeEncoding::kLowBits, false, true}) {}
    test::SnapshotGuest wide, narrow;
};

Sound& sound() {
    static Sound instance;
    return instance;
}

// Reads everything there is to read; results do not matter.
void read_all(const test::GuestBuilder& guest) {
    const GuestRam view = guest.view();
    const auto kernel = guest.open(view);
    if (!kernel) {
        return;
    }
    const auto accounting = account_snapshot(**kernel, {});
    const FrameOwners owners = (*kernel)->owners();
    for (std::uint64_t pfn = 0; pfn < 64; ++pfn) {
        (void)owners.describe(Pfn{pfn * 33});
    }
    (void)accounting;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 1) {
        return 0;
    }
    const std::uint8_t kind = data[0];
    if (kind >= 0xf0) {  // vmcoreinfo alone
        (void)Vmcoreinfo::parse({reinterpret_cast<const char*>(data + 1), size - 1});
        return 0;
    }
    test::GuestBuilder& guest = (kind & 1) != 0 ? sound().narrow.guest : sound().wide.guest;
    // Records of 11 bytes: place (3, within the structures), what to write (8, or a pointer to a
    // place).
    struct Undo {
        std::uint64_t at;
        std::uint64_t value;
    };
    std::vector<Undo> undo;
    for (std::size_t at = 1; at + 11 <= size; at += 11) {
        std::uint64_t place = 0;
        std::memcpy(&place, data + at, 3);
        place = test::GuestBuilder::kFirstFreeStructure + place % 0x4'0000 / 4 * 4;
        std::uint64_t value = 0;
        std::memcpy(&value, data + at + 3, 8);
        if ((value >> 56) == 0) {  // most random pointers lead nowhere: aim some into memory
            value = guest.virt(value % (guest.ram.size() - 8) / 4 * 4);
        }
        undo.push_back({place, guest.get_word(place)});
        guest.put_word(place, value);
    }
    read_all(guest);
    while (!undo.empty()) {
        guest.put_word(undo.back().at, undo.back().value);
        undo.pop_back();
    }
    return 0;
}
