// SPDX-License-Identifier: GPL-2.0-or-later
//
// A machine with pages in its arena whose contents can be told apart, and a page list over them.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <utility>
#include <vector>

#include "vm/unicorn/relocate_machine.h"

namespace jumpback::unicorn::test {

// Words of the page list (include/linux/kexec.h).
inline constexpr std::uint64_t kDestination = 1;
inline constexpr std::uint64_t kIndirection = 2;
inline constexpr std::uint64_t kDone = 4;
inline constexpr std::uint64_t kSource = 8;

class MachineCase {
  public:
    MachineCase(RelocateMachine machine, Arch arch)
        : machine_(std::move(machine)), word_bytes_(arch == Arch::x86_64 ? 8 : 4) {
        for (const memory::RamRegion& region : machine_.board().arena) {
            for (std::uint64_t at = 0; at < region.length.raw; at += kPageSize) {
                frames_.push_back(Gpa{region.gpa.raw + at});
            }
        }
    }

    RelocateMachine& machine() { return machine_; }
    [[nodiscard]] const Board& board() const { return machine_.board(); }
    [[nodiscard]] const std::vector<Gpa>& frames() const { return frames_; }
    [[nodiscard]] std::size_t word_bytes() const { return word_bytes_; }

    std::byte* page(Gpa gpa) { return machine_.ram().page_or_null(pfn_of(gpa)); }
    std::vector<std::byte> contents(Gpa gpa) { return {page(gpa), page(gpa) + kPageSize}; }

    // Fills every frame of the arena with words that name the frame, the word and `salt`.
    void fill(std::uint64_t salt) {
        for (const Gpa frame : frames_) {
            for (std::uint64_t at = 0; at < kPageSize; at += 8) {
                const std::uint64_t value = (frame.raw + at) * 0x9e3779b97f4a7c15 ^ salt;
                std::memcpy(page(frame) + at, &value, sizeof(value));
            }
        }
    }

    // Writes the list into `table` (one page) and returns its head.
    std::uint64_t write_list(Gpa table, const std::vector<std::uint64_t>& words) {
        std::memset(page(table), 0, kPageSize);
        for (std::size_t i = 0; i < words.size(); ++i) {
            std::memcpy(page(table) + i * word_bytes_, &words[i], word_bytes_);
        }
        return table.raw | kIndirection;
    }

    // The first frame holds the list, the others pair up: destination, source.
    std::uint64_t write_pairs(std::size_t pairs) {
        std::vector<std::uint64_t> words;
        for (std::size_t i = 0; i < pairs; ++i) {
            words.push_back(destination(i).raw | kDestination);
            words.push_back(source(i).raw | kSource);
        }
        words.push_back(kDone);
        return write_list(frames_.front(), words);
    }
    // Pairs that reach from one end of RAM to the other.
    [[nodiscard]] Gpa destination(std::size_t pair) const { return frames_[1 + pair]; }
    [[nodiscard]] Gpa source(std::size_t pair) const { return frames_[frames_.size() - 1 - pair]; }

    [[nodiscard]] std::vector<std::byte> all_ram() {
        const auto buffer = machine_.ram().buffer();
        return {buffer.begin(), buffer.end()};
    }
    // Frames of the arena that differ from an earlier all_ram().
    std::vector<Gpa> changed(const std::vector<std::byte>& before) {
        std::vector<Gpa> out;
        for (const Gpa frame : frames_) {
            const std::ptrdiff_t at = page(frame) - machine_.ram().buffer().data();
            if (std::memcmp(page(frame), before.data() + at, kPageSize) != 0) {
                out.push_back(frame);
            }
        }
        return out;
    }

  private:
    RelocateMachine machine_;
    std::size_t word_bytes_;  // of a page list
    std::vector<Gpa> frames_;
};

inline Result<MachineCase> make_case(const RelocateCode& code, unsigned variant,
                                     std::uint64_t arena_pages) {
    auto machine = RelocateMachine::create(code, variant, arena_pages);
    if (!machine) {
        return machine.error();
    }
    MachineCase out(std::move(machine).value(), code.arch);
    out.fill(0);
    return out;
}

}  // namespace jumpback::unicorn::test
