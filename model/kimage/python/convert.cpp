// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/kimage/python/convert.h"

namespace py = pybind11;

namespace jumpback::kimage::python {
namespace {

// MAX_ORDER and a little: no page allocator gives 2^12 frames at once.
constexpr unsigned kOrderLimit = 12;

void require(const LoadVerdict& verdict) {
    if (!verdict.ok()) {
        throw ModelError({"segments", verdict.text + " (check " +
                                          std::string(name_of(verdict.check)) +
                                          "): no kernel comes to build a list of them"});
    }
}

}  // namespace

void Settings::done() const {
    if (taken_ != values_.size()) {
        throw ModelError(
            {name_, "has a key that is not known here, among " +
                        py::cast<std::string>(py::repr(py::list(values_.attr("keys")())))});
    }
}

py::list numbers(std::span<const Gpa> pages) {
    py::list out;
    for (const Gpa page : pages) {
        out.append(page.raw);
    }
    return out;
}

Rules rules_of(const std::string& release, const std::string& arch, const py::dict& setup) {
    const FoundRules found = take(find_rules(release, take(arch_named(arch))));
    Rules out{*found.rules, found.note};
    std::vector<std::string> fixed;
    Settings(setup, "setup").take("fixed", fixed);
    for (const std::string& finding : fixed) {
        out.rules.skips_empty_segments |= finding == "jump-back-helper-segment";
        out.rules.refuses_crash_jump |= finding == "crash-image-preserve";
    }
    return out;
}

KernelSetup setup_of(const py::dict& setup) {
    KernelSetup out;
    Settings settings(setup, "setup");
    settings.take("kexec_jump", out.kexec_jump);
    settings.take("crash_dump", out.crash_dump);
    settings.take("five_level", out.five_level);
    settings.take("page_offset", out.page_offset);
    std::vector<std::string> fixed;  // rules_of() reads it
    settings.take("fixed", fixed);
    settings.done();
    return out;
}

std::vector<Segment> segments_of(const Triples& triples) {
    std::vector<Segment> out;
    out.reserve(triples.size());
    for (const auto& [bufsz, mem, memsz] : triples) {
        out.push_back({bufsz, Gpa{mem}, memsz});
    }
    return out;
}

std::vector<Segment> buildable_segments(const LoadRules& rules, const KernelSetup& setup,
                                        const Triples& triples) {
    std::vector<Segment> out = segments_of(triples);
    const std::uint64_t most = rules.word_max();
    for (std::size_t index = 0; index < out.size(); ++index) {
        const Segment& segment = out[index];
        if (std::max({segment.bufsz, segment.mem.raw, segment.memsz}) > most) {
            throw ModelError({"segment[" + std::to_string(index) + "]",
                              "has a number that is wider than this architecture's words"});
        }
    }
    require(check_addresses(rules, setup, out));
    require(check_overlaps(rules, out));
    require(check_buffers(out));
    return out;
}

memory::GuestRam ram_of(const InputBuffer& buffer, const Triples& regions) {
    std::vector<memory::RamRegion> out;
    out.reserve(regions.size());
    for (const auto& [gpa, offset, length] : regions) {
        out.push_back({Gpa{gpa}, Bytes{offset}, Bytes{length}});
    }
    return take(memory::GuestRam::create(buffer.bytes(), std::move(out)));
}

std::vector<Allocation> allocations_of(
    const std::vector<std::pair<std::uint64_t, unsigned>>& list) {
    std::vector<Allocation> out;
    out.reserve(list.size());
    for (const auto& [first, order] : list) {
        if (order >= kOrderLimit || first >> (64 - kPageShift) != 0) {
            throw ModelError({"allocation " + std::to_string(out.size()),
                              "is of order " + std::to_string(order) + " at pfn " +
                                  std::to_string(first) + ": no page allocator gives that"});
        }
        out.push_back({Pfn{first}, order});
    }
    return out;
}

}  // namespace jumpback::kimage::python
