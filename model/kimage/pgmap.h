// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which page of an image waits in which frame: what /proc/kexec_pgmap shows, and the "backup pages
// map" that a loader makes of it for kernel B. While B runs after a jump, what A had in frame
// `destination` stands in frame `source`.
//
// The text of /proc/kexec_pgmap (lower-case hexadecimal without leading zeros for addresses,
// decimal for counts, one blank between fields, every line ended by a newline):
//
//   kexec_pgmap 1 STATE RUNS PAGES        STATE: none, pending or loaded
//   DESTINATION SOURCE PAGES              RUNS lines, by ascending destination
//   end
//
// The binary map, little-endian, for a segment that the loader hands to B:
//
//   0   8 bytes  "KJBACKUP"
//   8   u32      1, the version
//   12  u32      24, bytes of a run
//   16  u64      runs
//   24  u64      pages
//   32  runs x { u64 destination, u64 source, u64 pages }
//
// In both a run is as long as it can be: destination and source advance together. Both are exact:
// what is read here writes the same bytes again. docs/kexec-model.md is the reference.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/address.h"
#include "model/kimage/entry.h"
#include "model/result.h"

namespace jumpback::kimage {

struct PgmapRun {
    Gpa destination;
    Gpa source;
    std::uint64_t pages = 0;
    constexpr bool operator==(const PgmapRun&) const = default;
};

enum class PgmapState : std::uint8_t {
    kNone,     // no image
    kPending,  // between KS_start and KS_final
    kLoaded,
};

struct Pgmap {
    PgmapState state = PgmapState::kNone;
    std::vector<PgmapRun> runs;

    [[nodiscard]] std::uint64_t pages() const;
    bool operator==(const Pgmap&) const = default;
};

// Runs of moves in any order; no destination and no source may come twice.
Pgmap pgmap_of(PgmapState state, std::span<const Move> moves);

std::string pgmap_text(const Pgmap& map);
// Errors name the line. Besides the form, a map must hold together: whole pages, ascending, no
// frame destination or source twice, and a source its own destination or nobody's.
Result<Pgmap> parse_pgmap(std::string_view text);

std::vector<std::byte> pgmap_binary(const Pgmap& map);
// The state is kLoaded: the binary form has none. Bytes after the map (the rest of a page) are not
// looked at.
Result<Pgmap> parse_pgmap_binary(std::span<const std::byte> bytes);

}  // namespace jumpback::kimage
