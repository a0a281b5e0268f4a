// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/relocate/shrink.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "model/kimage/list_writer.h"
#include "model/relocate/cpu_bits.h"

namespace jumpback::relocate_check {
namespace {

using kimage::Entry;

constexpr std::uint64_t kMostTries = 3000;
// Of a case that does not come to an end: each try takes the machine's whole limit.
constexpr std::uint64_t kMostStuckTries = 100;

class Shrinker {
  public:
    Shrinker(Checker& checker, const Finding& wanted, const Checker::Options& options, Case run)
        : checker_(checker), wanted_(wanted), options_(options), best_{std::move(run), {}, {}, 0} {
        for (const kimage::Move& move : moves_of(best_.run.entries)) {
            destinations_.insert(move.destination);
        }
    }

    Result<Shrunk> go() {
        if (!shows(best_.run)) {
            if (error_) {
                return *error_;
            }
            return Error{"case " + std::to_string(best_.run.index),
                         "does not show this difference when it is run again"};
        }
        bool smaller = true;
        while (smaller && best_.tried < most_tries_ && !error_) {
            smaller = callee();
            smaller = words() || smaller;
            smaller = call() || smaller;
        }
        if (error_) {
            return *error_;
        }
        return std::move(best_);
    }

  private:
    // A word taken away must not make pages move that no case may use, or two to one place, or over
    // what is still a source.
    [[nodiscard]] bool sound(const Case& candidate) const {
        if (kimage::list_pages_for(candidate.entries.size(), checker_.target().generation.word()) >
            candidate.list_frames.size()) {
            return false;
        }
        const std::vector<kimage::Move> moves = moves_of(candidate.entries);
        std::set<Gpa> frames;  // destinations, then sources
        for (const kimage::Move& move : moves) {
            const bool twice = !frames.insert(move.destination).second;
            if (!destinations_.contains(move.destination) ||
                (twice && candidate.origin != ListOrigin::kChained)) {
                return false;
            }
        }
        for (const kimage::Move& move : moves) {
            const bool elsewhere = move.source != move.destination;
            if (elsewhere && !frames.insert(move.source).second &&
                candidate.origin != ListOrigin::kChained) {
                return false;
            }
        }
        return true;
    }

    // Keeps `candidate` if it shows the difference, too.
    bool shows(Case candidate) {
        if (!sound(candidate)) {
            return false;
        }
        candidate.list_frames.resize(
            kimage::list_pages_for(candidate.entries.size(), checker_.target().generation.word()));
        ++best_.tried;
        Result<CaseResult> result = checker_.run(candidate, options_);
        if (!result) {
            error_ = result.error();
            return false;
        }
        for (const Finding& finding : result->findings) {
            if (finding.known == nullptr && finding.same_kind(wanted_)) {
                best_.finding = finding;
                best_.result = *result;
                best_.run = std::move(candidate);
                return true;
            }
        }
        return false;
    }

    template <typename Change>
    bool attempt(Change change) {
        if (best_.tried >= most_tries_ || error_) {
            return false;
        }
        Case candidate = best_.run;
        change(candidate);
        return shows(std::move(candidate));
    }

    // Takes away stretches of a list, from half of it down to `unit` elements at a time.
    template <typename Items>
    bool thin_out(Items items, std::size_t unit) {
        bool any = false;
        for (std::size_t piece = std::max(items(best_.run).size() / 2 / unit * unit, unit);;
             piece = std::max(piece / 2 / unit * unit, unit)) {
            for (std::size_t at = 0; at < items(best_.run).size();) {
                const bool gone = attempt([&](Case& candidate) {
                    auto& from = items(candidate);
                    const auto first = from.begin() + static_cast<std::ptrdiff_t>(at);
                    const std::size_t end = std::min(at + piece, from.size());
                    from.erase(first, from.begin() + static_cast<std::ptrdiff_t>(end));
                });
                any = any || gone;
                at += gone ? 0 : piece;
            }
            if (piece == unit) {
                return any;
            }
        }
    }

    bool words() {
        const auto entries = [](Case& run) -> std::vector<Entry>& { return run.entries; };
        bool any = false;
        // Each move with a DESTINATION of its own can go without moving the others.
        const auto separate = [](Case& candidate) {
            for (const kimage::Move& move : moves_of(std::exchange(candidate.entries, {}))) {
                candidate.entries.push_back({move.destination.raw | kimage::kIndDestination});
                candidate.entries.push_back({move.source.raw | kimage::kIndSource});
            }
        };
        if (!separated_ && attempt(separate)) {
            separated_ = true;
            any = true;
        }
        if (separated_) {
            return thin_out(entries, 2) || any;
        }
        return thin_out(entries, 1);
    }

    bool callee() {
        bool any = false;
        if (!best_.run.callee.changes.empty()) {
            const auto changes = [](Case& run) -> std::vector<PageChange>& {
                return run.callee.changes;
            };
            any = attempt([&](Case& candidate) { changes(candidate).clear(); }) ||
                  thin_out(changes, 1);
        }
        if (best_.run.callee.kind != CalleeKind::kPushes) {
            any = attempt([](Case& candidate) { candidate.callee.kind = CalleeKind::kPushes; }) ||
                  any;
        }
        for (std::uint64_t& value : best_.run.callee.cpu.gpr) {
            const auto number = static_cast<std::size_t>(&value - best_.run.callee.cpu.gpr.data());
            if (value != 0) {
                any =
                    attempt([&](Case& candidate) { candidate.callee.cpu.gpr[number] = 0; }) || any;
            }
        }
        if (best_.run.callee.cpu.rflags != relocate::kFlagReserved) {
            any = attempt([](Case& candidate) {
                      candidate.callee.cpu.rflags = relocate::kFlagReserved;
                  }) ||
                  any;
        }
        return any;
    }

    bool call() {
        bool any = false;
        if (best_.run.host_memory_encryption) {
            any = attempt([](Case& candidate) { candidate.host_memory_encryption = false; });
        }
        if (!best_.run.cpu_has_pae) {
            any = attempt([](Case& candidate) { candidate.cpu_has_pae = true; }) || any;
        }
        return any;
    }

    Checker& checker_;
    const Finding& wanted_;
    const std::uint64_t most_tries_ = wanted_.item == "stuck" ? kMostStuckTries : kMostTries;
    const Checker::Options& options_;
    Shrunk best_;
    std::set<Gpa> destinations_;  // of the case as it came
    bool separated_ = false;      // every move has a DESTINATION word of its own
    std::optional<Error> error_;
};

}  // namespace

Result<Shrunk> shrink(Checker& checker, const Case& run, const Finding& finding,
                      const Checker::Options& options) {
    Case same = run;
    if (same.origin == ListOrigin::kKimage) {
        same.origin = ListOrigin::kRaw;  // what is left of it is no longer kimage's
    }
    return Shrinker(checker, finding, options, std::move(same)).go();
}

}  // namespace jumpback::relocate_check
