// SPDX-License-Identifier: GPL-2.0-or-later
//
// Symbols, found by name or by address. Built once from a decoded symbol table; every lookup by
// address is one binary search in a list of disjoint ranges.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/address.h"

namespace jumpback {

enum class SymbolKind : std::uint8_t { function, object, other };
enum class SymbolBinding : std::uint8_t { global, weak, local };

struct Symbol {
    std::string_view name;  // lives as long as the table
    Gva address;            // as `nm` prints it: for a zero-based per-CPU symbol its offset
    Bytes size;             // 0 when the file does not say
    SymbolKind kind = SymbolKind::other;
    SymbolBinding binding = SymbolBinding::local;
    bool absolute = false;  // SHN_ABS: a number, not a place
    bool percpu = false;    // in .data..percpu: the address is the template's, not a CPU's own
};

struct SymbolAt {
    Symbol symbol;
    Bytes offset;  // from the symbol's start
};

// A symbol with what only the builder needs to know.
struct RawSymbol {
    Symbol symbol;
    std::uint64_t place = 0;        // where it stands in kernel space
    std::uint64_t section_end = 0;  // first address behind its section; 0: not a place
};

class SymbolTable {
  public:
    SymbolTable() = default;
    // Takes the strings that the names point into, so that they live as long as the table.
    SymbolTable(std::vector<std::byte> strings, std::vector<RawSymbol> raw);

    // Sorted by address, then by how well the name serves (see better_name in symbol_table.cpp).
    [[nodiscard]] const std::vector<Symbol>& sorted() const { return symbols_; }
    // All symbols of that name at different addresses, by address.
    [[nodiscard]] std::vector<Symbol> named(std::string_view name) const;
    // Sizes are honoured; a symbol of size 0 reaches to the next symbol or to its section's end.
    [[nodiscard]] std::optional<SymbolAt> at(Gva address) const;

  private:
    struct Range {
        std::uint64_t start = 0;
        std::uint64_t end = 0;           // exclusive
        std::uint64_t symbol_start = 0;  // kernel-space start of the symbol, for the offset
        std::uint32_t symbol = 0;        // index into symbols_
    };
    void build_ranges(const std::vector<RawSymbol>& raw);

    std::vector<std::byte> strings_;
    std::vector<Symbol> symbols_;
    std::vector<Range> ranges_;                                  // disjoint, sorted by start
    std::unordered_map<std::string_view, std::uint32_t> first_;  // name -> first index
    std::vector<std::uint32_t> next_;                            // next index of the same name
};

}  // namespace jumpback
