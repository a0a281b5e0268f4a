// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/kimage/pgmap.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include "model/memory/text.h"

namespace jumpback::kimage {
namespace {

using memory::hex;

constexpr std::string_view kName = "kexec_pgmap 1 ";
constexpr std::string_view kEnd = "end\n";
constexpr std::array<std::string_view, 3> kStates = {"none", "pending", "loaded"};

constexpr std::array<char, 8> kMagic = {'K', 'J', 'B', 'A', 'C', 'K', 'U', 'P'};
constexpr std::uint32_t kBinaryVersion = 1;
constexpr std::uint32_t kRunBytes = 24;
constexpr std::size_t kHeaderBytes = 32;

void append_hex(std::string& text, std::uint64_t value) { text += hex(value).substr(2); }

std::uint64_t bytes_of(const PgmapRun& run) { return run.pages * kPageSize; }

// One line without its newline; none: the text ends first.
std::optional<std::string_view> take_line(std::string_view& text) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) {
        return std::nullopt;
    }
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    return line;
}

// The number up to `stop` (or the end, for 0), written as to_text() writes it.
std::optional<std::uint64_t> take_number(std::string_view& line, int base, char stop) {
    std::uint64_t value = 0;
    const char* end = line.data() + line.size();
    const auto [at, failure] = std::from_chars(line.data(), end, value, base);
    if (failure != std::errc{}) {
        return std::nullopt;
    }
    const std::string_view digits = line.substr(0, static_cast<std::size_t>(at - line.data()));
    const bool canonical =
        (digits.front() != '0' || digits.size() == 1) &&
        std::all_of(digits.begin(), digits.end(), [](char c) { return c < 'A' || c > 'F'; });
    const bool stops = stop == 0 ? at == end : at != end && *at == stop;
    if (!canonical || !stops) {
        return std::nullopt;
    }
    line.remove_prefix(digits.size() + (stop == 0 ? 0 : 1));
    return value;
}

// What is wrong with a run by itself or after the one before it; empty: nothing.
std::string oddity_of(const PgmapRun& run, const PgmapRun* before) {
    if ((run.destination.raw | run.source.raw) % kPageSize != 0) {
        return "is not page-aligned";
    }
    const std::uint64_t most = ~std::uint64_t{0} >> kPageShift;
    const std::uint64_t highest = std::max(run.destination.raw, run.source.raw) >> kPageShift;
    if (run.pages == 0 || run.pages > most - highest) {
        return "has no pages, or ends after the address space";
    }
    if (before != nullptr) {
        const std::uint64_t end = before->destination.raw + bytes_of(*before);
        if (run.destination.raw < end) {
            return "does not come after the run before it";
        }
        if (run.destination.raw == end &&
            run.source.raw == before->source.raw + bytes_of(*before)) {
            return "only goes on with the run before it";
        }
    }
    return {};
}

// What is wrong with all of them together. Each is sound by itself and they are sorted.
std::string oddity_of(std::span<const PgmapRun> runs) {
    std::vector<PgmapRun> by_source(runs.begin(), runs.end());
    std::sort(by_source.begin(), by_source.end(),
              [](const PgmapRun& a, const PgmapRun& b) { return a.source < b.source; });
    std::size_t at = 0;  // in `runs`, the first whose destination does not end before the source
    for (std::size_t number = 0; number < by_source.size(); ++number) {
        const PgmapRun& run = by_source[number];
        const std::uint64_t end = run.source.raw + bytes_of(run);
        if (number + 1 < by_source.size() && by_source[number + 1].source.raw < end) {
            return "source " + hex(by_source[number + 1].source.raw) + " comes twice";
        }
        while (at < runs.size() &&
               runs[at].destination.raw + bytes_of(runs[at]) <= run.source.raw) {
            ++at;
        }
        const bool in_place = run.source == run.destination;
        if (!in_place && at < runs.size() && runs[at].destination.raw < end) {
            return "source " + hex(run.source.raw) + " is another page's destination";
        }
    }
    return {};
}

}  // namespace

std::uint64_t Pgmap::pages() const {
    std::uint64_t total = 0;
    for (const PgmapRun& run : runs) {
        total += run.pages;
    }
    return total;
}

Pgmap pgmap_of(PgmapState state, std::span<const Move> moves) {
    const auto by_destination = [](const Move& a, const Move& b) {
        return a.destination < b.destination;
    };
    std::vector<Move> sorted;
    if (!std::is_sorted(moves.begin(), moves.end(), by_destination)) {
        sorted.assign(moves.begin(), moves.end());
        std::sort(sorted.begin(), sorted.end(), by_destination);
        moves = sorted;
    }
    Pgmap map{state, {}};
    for (const Move& move : moves) {
        if (!map.runs.empty()) {
            PgmapRun& last = map.runs.back();
            if (move.destination.raw == last.destination.raw + bytes_of(last) &&
                move.source.raw == last.source.raw + bytes_of(last)) {
                ++last.pages;
                continue;
            }
        }
        map.runs.push_back({move.destination, move.source, 1});
    }
    return map;
}

std::string pgmap_text(const Pgmap& map) {
    std::string text(kName);
    text += kStates[static_cast<std::size_t>(map.state)];
    text += ' ' + std::to_string(map.runs.size()) + ' ' + std::to_string(map.pages()) + '\n';
    for (const PgmapRun& run : map.runs) {
        append_hex(text, run.destination.raw);
        text += ' ';
        append_hex(text, run.source.raw);
        text += ' ' + std::to_string(run.pages) + '\n';
    }
    text += kEnd;
    return text;
}

Result<Pgmap> parse_pgmap(std::string_view text) {
    const Error header{"kexec_pgmap line 1", "is not \"kexec_pgmap 1 STATE RUNS PAGES\""};
    std::optional<std::string_view> line = take_line(text);
    if (!line || !line->starts_with(kName)) {
        return header;
    }
    line->remove_prefix(kName.size());
    const std::string_view word = line->substr(0, line->find(' '));
    const auto* const state = std::find(kStates.begin(), kStates.end(), word);
    if (state == kStates.end() || word.size() == line->size()) {
        return header;
    }
    line->remove_prefix(word.size() + 1);
    const std::optional<std::uint64_t> runs = take_number(*line, 10, ' ');
    const std::optional<std::uint64_t> pages = runs ? take_number(*line, 10, 0) : std::nullopt;
    if (!pages) {
        return header;
    }
    Pgmap map{static_cast<PgmapState>(state - kStates.begin()), {}};
    std::uint64_t total = 0;
    for (std::uint64_t number = 0; number < *runs; ++number) {
        const std::string where = "kexec_pgmap line " + std::to_string(number + 2);
        line = take_line(text);
        if (!line) {
            return Error{where, "is missing: " + std::to_string(*runs) + " runs were announced"};
        }
        const auto destination = take_number(*line, 16, ' ');
        const auto source = destination ? take_number(*line, 16, ' ') : std::nullopt;
        const auto length = source ? take_number(*line, 10, 0) : std::nullopt;
        if (!length) {
            return Error{where, "is not \"DESTINATION SOURCE PAGES\""};
        }
        const PgmapRun run{Gpa{*destination}, Gpa{*source}, *length};
        const std::string oddity = oddity_of(run, map.runs.empty() ? nullptr : &map.runs.back());
        if (!oddity.empty()) {
            return Error{where, oddity};
        }
        map.runs.push_back(run);
        total += run.pages;
    }
    if (text != kEnd) {
        return Error{"kexec_pgmap line " + std::to_string(*runs + 2), "is not \"end\", the last"};
    }
    if (total != *pages) {
        return Error{"kexec_pgmap line 1", "announces " + std::to_string(*pages) +
                                               " pages, there are " + std::to_string(total)};
    }
    if (const std::string oddity = oddity_of(map.runs); !oddity.empty()) {
        return Error{"kexec_pgmap", oddity};
    }
    if (map.state == PgmapState::kNone && !map.runs.empty()) {
        return Error{"kexec_pgmap line 1", "has runs of no image"};
    }
    return map;
}

namespace {

// Little-endian, as all machines here are.
template <typename T>
void append(std::vector<std::byte>& out, T value) {
    const std::size_t at = out.size();
    out.resize(at + sizeof value);
    std::memcpy(out.data() + at, &value, sizeof value);
}

template <typename T>
T at_offset(std::span<const std::byte> bytes, std::size_t offset) {
    T value{};
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

}  // namespace

std::vector<std::byte> pgmap_binary(const Pgmap& map) {
    std::vector<std::byte> out;
    out.reserve(kHeaderBytes + map.runs.size() * kRunBytes);
    append(out, kMagic);
    append(out, kBinaryVersion);
    append(out, kRunBytes);
    append(out, std::uint64_t{map.runs.size()});
    append(out, map.pages());
    for (const PgmapRun& run : map.runs) {
        append(out, run.destination.raw);
        append(out, run.source.raw);
        append(out, run.pages);
    }
    return out;
}

Result<Pgmap> parse_pgmap_binary(std::span<const std::byte> bytes) {
    const std::string where = "backup pages map";
    if (bytes.size() < kHeaderBytes || at_offset<std::array<char, 8>>(bytes, 0) != kMagic) {
        return Error{where, "does not start with a header \"KJBACKUP\""};
    }
    if (at_offset<std::uint32_t>(bytes, 8) != kBinaryVersion ||
        at_offset<std::uint32_t>(bytes, 12) != kRunBytes) {
        return Error{where, "is of version " + std::to_string(at_offset<std::uint32_t>(bytes, 8)) +
                                " with runs of " +
                                std::to_string(at_offset<std::uint32_t>(bytes, 12)) +
                                " bytes; known are 1 and 24"};
    }
    const auto runs = at_offset<std::uint64_t>(bytes, 16);
    if (runs > (bytes.size() - kHeaderBytes) / kRunBytes) {
        return Error{where, "has " + std::to_string(runs) + " runs in " +
                                std::to_string(bytes.size()) + " bytes"};
    }
    Pgmap map{PgmapState::kLoaded, {}};
    map.runs.reserve(runs);
    for (std::uint64_t number = 0; number < runs; ++number) {
        const std::size_t at = kHeaderBytes + number * kRunBytes;
        const PgmapRun run{Gpa{at_offset<std::uint64_t>(bytes, at)},
                           Gpa{at_offset<std::uint64_t>(bytes, at + 8)},
                           at_offset<std::uint64_t>(bytes, at + 16)};
        const std::string oddity = oddity_of(run, map.runs.empty() ? nullptr : &map.runs.back());
        if (!oddity.empty()) {
            return Error{where + ", run " + std::to_string(number), oddity};
        }
        map.runs.push_back(run);
    }
    if (map.pages() != at_offset<std::uint64_t>(bytes, 24)) {
        return Error{where, "announces another number of pages than its runs have"};
    }
    if (const std::string oddity = oddity_of(map.runs); !oddity.empty()) {
        return Error{where, oddity};
    }
    return map;
}

}  // namespace jumpback::kimage
