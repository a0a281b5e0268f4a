// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/symbol_table.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace jumpback {
namespace {

constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

// Symbols that the build makes about other symbols. They can be asked for by name, but an address
// must never be explained by one of them.
bool is_bookkeeping(std::string_view name) {
    constexpr std::array<std::string_view, 8> kPrefixes = {
        ".L",     "__ksymtab_",     "__kstrtab_",       "__kstrtabns_",
        "__crc_", "__kcfi_typeid_", "__export_symbol_", "__UNIQUE_ID_"};
    return std::any_of(kPrefixes.begin(), kPrefixes.end(),
                       [&](std::string_view prefix) { return name.starts_with(prefix); });
}

std::size_t leading_underscores(std::string_view name) {
    const std::size_t first = name.find_first_not_of('_');
    return first == std::string_view::npos ? name.size() : first;
}

// Several names at one address: which one should people read? The order follows
// compare_symbols() of scripts/kallsyms.c, with sizes and types looked at first because ELF has
// them: a sized, typed, global name with few underscores wins.
bool better_name(const Symbol& a, const Symbol& b) {
    const auto rank = [](const Symbol& s) {
        return std::make_tuple(s.size.raw == 0, s.kind == SymbolKind::other,
                               static_cast<int>(s.binding), leading_underscores(s.name));
    };
    const auto left = rank(a);
    const auto right = rank(b);
    return left != right ? left < right : a.name < b.name;
}

std::uint64_t saturating_end(std::uint64_t start, std::uint64_t size) {
    const std::uint64_t top = std::numeric_limits<std::uint64_t>::max();
    return size > top - start ? top : start + size;
}

}  // namespace

SymbolTable::SymbolTable(std::vector<std::byte> strings, std::vector<RawSymbol> raw)
    : strings_(std::move(strings)) {
    std::sort(raw.begin(), raw.end(), [](const RawSymbol& a, const RawSymbol& b) {
        return a.place != b.place ? a.place < b.place : better_name(a.symbol, b.symbol);
    });
    symbols_.reserve(raw.size());
    for (const RawSymbol& entry : raw) {
        symbols_.push_back(entry.symbol);
    }
    next_.assign(symbols_.size(), kNone);
    first_.reserve(symbols_.size());
    // Backwards, so that each chain starts at the lowest address.
    for (std::size_t i = symbols_.size(); i-- > 0;) {
        const auto index = static_cast<std::uint32_t>(i);
        const auto [place, inserted] = first_.try_emplace(symbols_[i].name, index);
        if (!inserted) {
            next_[i] = std::exchange(place->second, index);
        }
    }
    build_ranges(raw);
}

// Turns symbols that may nest or overlap into disjoint ranges; the innermost symbol owns a byte.
void SymbolTable::build_ranges(const std::vector<RawSymbol>& raw) {
    std::vector<Range> open;  // enclosing symbols, outermost first
    ranges_.reserve(raw.size());
    std::uint64_t cursor = 0;  // everything below is already given out
    // Gives [cursor, limit) to the open symbols, innermost first.
    const auto emit_until = [&](std::uint64_t limit) {
        while (!open.empty()) {
            const Range& top = open.back();
            const std::uint64_t start = std::max(cursor, top.symbol_start);
            const std::uint64_t end = std::min(top.end, limit);
            if (start < end) {
                ranges_.push_back({start, end, top.symbol_start, top.symbol});
                cursor = end;
            }
            if (top.end > limit) {
                return;
            }
            open.pop_back();
        }
    };
    const auto is_place = [](const RawSymbol& entry) {
        return entry.section_end > entry.place && !is_bookkeeping(entry.symbol.name);
    };
    std::uint64_t last_place = 0;
    bool any = false;
    for (std::size_t i = 0; i < raw.size(); ++i) {
        const RawSymbol& entry = raw[i];
        if (!is_place(entry) || (any && entry.place == last_place)) {
            continue;  // the first of several names at one address is the best
        }
        any = true;
        last_place = entry.place;
        emit_until(entry.place);
        cursor = entry.place;
        std::uint64_t end = entry.section_end;
        if (entry.symbol.size.raw != 0) {
            end = std::min(end, saturating_end(entry.place, entry.symbol.size.raw));
        } else {
            for (std::size_t next = i + 1; next < raw.size(); ++next) {
                if (raw[next].place > entry.place && is_place(raw[next])) {
                    end = std::min(end, raw[next].place);
                    break;
                }
            }
        }
        open.push_back({entry.place, end, entry.place, static_cast<std::uint32_t>(i)});
    }
    emit_until(std::numeric_limits<std::uint64_t>::max());
}

std::vector<Symbol> SymbolTable::named(std::string_view name) const {
    std::vector<Symbol> found;
    const auto chain = first_.find(name);
    if (chain == first_.end()) {
        return found;
    }
    for (std::uint32_t i = chain->second; i != kNone; i = next_[i]) {
        // The same name at the same address twice (an alias made by the linker) is one place.
        if (found.empty() || found.back().address != symbols_[i].address) {
            found.push_back(symbols_[i]);
        }
    }
    return found;
}

std::optional<SymbolAt> SymbolTable::at(Gva address) const {
    auto range = std::upper_bound(
        ranges_.begin(), ranges_.end(), address.raw,
        [](std::uint64_t value, const Range& candidate) { return value < candidate.start; });
    if (range == ranges_.begin()) {
        return std::nullopt;
    }
    --range;
    if (address.raw >= range->end) {
        return std::nullopt;
    }
    return SymbolAt{symbols_[range->symbol], Bytes{address.raw - range->symbol_start}};
}

}  // namespace jumpback
