// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a call of kexec_load comes to: checks, and the list built from given frames.
#include "model/kimage/control_pages.h"
#include "model/kimage/destinations.h"
#include "model/kimage/frame_source.h"
#include "model/kimage/python/convert.h"
#include "model/kimage/whole_call.h"

namespace py = pybind11;

namespace jumpback::kimage::python {
namespace {

using Trace = std::vector<std::pair<std::uint64_t, unsigned>>;

struct State {
    LoadConditions conditions;
    std::optional<std::size_t> unreadable_buffer;
};

State state_of(const py::dict& values) {
    State out;
    LoadConditions& conditions = out.conditions;
    std::pair<std::uint64_t, std::uint64_t> crash{0, 0};
    Settings settings(values, "conditions");
    settings.take("may_load", conditions.may_load);
    settings.take("load_limit", conditions.load_limit);
    settings.take("security_error", conditions.security_error);
    settings.take("locked_down", conditions.locked_down);
    settings.take("segments_readable", conditions.segments_readable);
    settings.take("locked", conditions.locked);
    settings.take("totalram_pages", conditions.totalram_pages);
    settings.take("crash", crash);
    settings.take("unreadable_buffer", out.unreadable_buffer);
    settings.done();
    conditions.crash = {Gpa{crash.first}, Gpa{crash.second}};
    return out;
}

py::dict check(const std::string& release, const std::string& arch, const py::dict& setup,
               const py::dict& conditions, std::uint64_t entry, std::uint64_t flags,
               const Triples& segments, bool compat) {
    const Rules found = rules_of(release, arch, setup);
    const State state = state_of(conditions);
    const std::vector<Segment> list = segments_of(segments);
    const LoadVerdict verdict =
        check_whole_call(found.rules, setup_of(setup), state.conditions,
                         {entry, flags, list, compat}, state.unreadable_buffer);
    py::dict out;
    out["result"] = verdict.result;
    out["errno"] = text(verdict.result < 0 ? errno_name(static_cast<int>(-verdict.result)) : "");
    out["check"] = text(name_of(verdict.check));
    out["function"] = text(function_of(verdict.check, found.rules, compat));
    out["text"] = text(verdict.text);
    out["segment"] = or_none(verdict.segment);
    out["other"] = or_none(verdict.other);
    out["unloads"] = verdict.unloads;
    out["uses_load_limit"] = verdict.uses_load_limit;
    out["note"] = text(found.note);
    return out;
}

Lookup lookup_of(const std::string& name) {
    if (name != "linear" && name != "hashed") {
        throw ModelError({"lookup \"" + name + "\"", "is not known: linear or hashed"});
    }
    return name == "linear" ? Lookup::kLinear : Lookup::kHashed;
}

py::dict to_dict(const BuildResult& built, const TracedFrames& frames) {
    const Kimage& image = built.image;
    py::dict out;
    out["error"] = built.error;
    out["text"] = text(built.text);
    out["used"] = frames.used();
    out["misfit"] = or_none(frames.misfit());
    out["frames"] = built.cost.frames;
    out["moved"] = built.cost.moved;
    out["steps"] = built.cost.steps;
    out["head"] = image.head();
    py::list list_pages;
    for (std::size_t at = 0; at < image.list_pages.size(); ++at) {
        list_pages.append(py::make_tuple(image.list_pages[at].raw, image.list_page_words(at)));
    }
    out["list_pages"] = list_pages;
    py::list moves;
    for (const Move& move : image.moves()) {
        moves.append(py::make_tuple(move.destination.raw, move.source.raw));
    }
    out["moves"] = moves;
    out["control_code"] = or_none(image.control_code_page);
    out["control_order"] = image.control_order;
    out["swap"] = or_none(image.swap_page);
    out["page_tables"] = numbers(image.page_tables);
    out["dest_pages"] = numbers(image.dest_pages);
    out["unusable_pages"] = numbers(image.unusable_pages);
    return out;
}

py::dict build_list(const std::string& release, const std::string& arch, const py::dict& setup,
                    const Triples& segments, const Trace& trace, std::uint64_t lowmem_end,
                    std::uint64_t tables, const std::string& lookup, bool swap_page) {
    const Rules found = rules_of(release, arch, setup);
    BuildPlan plan;
    plan.rules = &found.rules;
    plan.setup = setup_of(setup);
    const std::vector<Segment> list = buildable_segments(found.rules, plan.setup, segments);
    plan.segments = list;
    plan.lookup = lookup_of(lookup);
    plan.page_tables = [tables](std::span<const Segment>) { return tables; };
    plan.swap_page = swap_page;
    TracedFrames frames(allocations_of(trace), Pfn{lowmem_end});
    const BuildResult built = [&] {
        const py::gil_scoped_release release_gil;
        return build(plan, frames);
    }();
    return to_dict(built, frames);
}

// Which of these frames is taken as a control page, and which are given back before it.
py::tuple choose_control(const std::string& release, const std::string& arch, const py::dict& setup,
                         const Triples& segments, const std::vector<std::uint64_t>& pfns,
                         unsigned order) {
    const Rules found = rules_of(release, arch, setup);
    const KernelSetup kernel = setup_of(setup);
    const std::vector<Segment> list = buildable_segments(found.rules, kernel, segments);
    Trace trace;
    for (const std::uint64_t pfn : pfns) {
        trace.emplace_back(pfn, order);
    }
    TracedFrames frames(allocations_of(trace));
    const std::vector<std::uint64_t> no_entries;
    const HashedDestinations destinations(found.rules, list, no_entries);
    ControlPages pages(found.rules, kernel, frames, [&](std::uint64_t start, std::uint64_t count) {
        return destinations.in_range(start, count);
    });
    const std::optional<Gpa> taken = pages.take(order);
    const std::size_t refused = frames.used() - (taken ? 1 : 0);
    return py::make_tuple(taken ? py::cast(pfn_of(*taken).raw) : py::object(py::none()),
                          std::vector<std::uint64_t>(
                              pfns.begin(), pfns.begin() + static_cast<std::ptrdiff_t>(refused)));
}

}  // namespace

void bind_load(py::module_& module) {
    module.def("check_load", &check, py::arg("release"), py::arg("arch"), py::arg("setup"),
               py::arg("conditions"), py::arg("entry"), py::arg("flags"), py::arg("segments"),
               py::arg("compat") = false);
    module.def("build", &build_list, py::arg("release"), py::arg("arch"), py::arg("setup"),
               py::arg("segments"), py::arg("trace"),
               py::arg("lowmem_end") = std::uint64_t{1} << (64 - kPageShift), py::arg("tables") = 0,
               py::arg("lookup") = "hashed", py::arg("swap_page") = true);
    module.def("choose_control", &choose_control, py::arg("release"), py::arg("arch"),
               py::arg("setup"), py::arg("segments"), py::arg("pfns"), py::arg("order") = 0);
    module.def("versions", [] {
        py::list out;
        for (const LoadRules& row : load_rules()) {
            out.append(py::make_tuple(text_of(row.version), text(name_of(row.arch))));
        }
        return out;
    });
}

}  // namespace jumpback::kimage::python
