// SPDX-License-Identifier: GPL-2.0-or-later
//
// Kernels, sessions of cases, single cases laid open.
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "model/relocate/relocate.h"
#include "vm/relocate/breaks.h"
#include "vm/relocate/explain.h"
#include "vm/relocate/python/bindings.h"
#include "vm/relocate/session.h"
#include "vm/relocate/shrink.h"

namespace py = pybind11;

namespace jumpback::relocate_check::python {
namespace {

py::str hex_bytes(const std::vector<std::byte>& bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string out;
    for (const std::byte byte : bytes) {
        const unsigned value = std::to_integer<unsigned>(byte);
        out += kDigits[value >> 4];
        out += kDigits[value & 0xf];
    }
    return text(out);
}

py::dict to_dict(const relocate::Defect& defect) {
    py::dict out;
    out["id"] = text(defect.id);
    out["alias"] = text(defect.alias);
    out["summary"] = text(defect.summary);
    out["fix"] = text(defect.fix);
    out["page"] = text(defect.page);
    return out;
}

py::object defect_or_none(const relocate::Defect* defect) {
    return defect == nullptr ? py::object(py::none()) : py::object(to_dict(*defect));
}

std::string_view name_of_kind(FindingKind kind) {
    switch (kind) {
        case FindingKind::kMemory:
            return "memory";
        case FindingKind::kRegister:
            return "register";
        case FindingKind::kLost:
            return "lost";
    }
    return "?";
}

py::list to_list(const std::vector<Finding>& findings) {
    py::list out;
    for (const Finding& finding : findings) {
        out.append(python::to_dict(finding));
    }
    return out;
}

py::dict to_dict(const Tally& tally, const relocate::Generation& generation) {
    py::dict out;
    out["cases"] = tally.cases;
    out["clean"] = tally.clean;
    out["known"] = tally.known;
    out["failed"] = tally.failed;
    out["pages"] = tally.pages;
    out["came_back"] = tally.came_back;
    out["most_pages"] = tally.most_pages;
    out["most_list_pages"] = tally.most_list_pages;
    out["lists"] = tally.origins;
    out["callees"] = tally.callees;
    py::list defects;
    for (unsigned number = 0; number < relocate::kSigns; ++number) {
        const auto sign = static_cast<relocate::Sign>(number);
        const relocate::Defect* defect = relocate::known_defect(generation, sign);
        if (defect == nullptr || tally.could_show[number] == 0) {
            continue;
        }
        py::dict entry = to_dict(*defect);
        entry["could_show"] = tally.could_show[number];
        entry["shown"] = tally.shown[number];
        defects.append(entry);
    }
    out["defects"] = defects;
    py::list rules;
    for (unsigned number = 0; number < relocate::kRules; ++number) {
        if (tally.offered[number] == 0) {
            continue;
        }
        const auto rule = static_cast<relocate::Rule>(number);
        py::dict entry;
        entry["name"] = text(relocate::name_of(rule));
        entry["reason"] = text(relocate::reason_of(rule));
        entry["offered"] = tally.offered[number];
        entry["used"] = tally.used[number];
        rules.append(entry);
    }
    out["rules"] = rules;
    py::list failures;
    for (const FailedCase& failed : tally.failures) {
        py::dict entry;
        entry["case"] = failed.index;
        entry["findings"] = to_list(failed.findings);
        failures.append(entry);
    }
    out["failures"] = failures;
    out["examples"] = to_list(tally.known_examples);
    return out;
}

py::dict to_dict(const Explanation& explanation) {
    py::dict out;
    py::list list;
    for (const ListLine& line : explanation.list) {
        py::dict entry;
        entry["place"] = text(line.place);
        entry["word"] = line.raw;
        entry["meaning"] = text(line.meaning);
        list.append(entry);
    }
    out["list"] = list;
    out["blame"] = text(explanation.blame);
    py::list trace;
    for (const TraceLine& line : explanation.trace) {
        py::dict entry;
        entry["step"] = line.step;
        entry["times"] = line.times;
        entry["link"] = line.link;
        entry["place"] = text(line.symbol);
        entry["text"] = text(line.text);
        entry["wrote"] = text(line.wrote);
        entry["blamed"] = line.blamed;
        trace.append(entry);
    }
    out["trace"] = trace;
    return out;
}

class PyTarget {
  public:
    explicit PyTarget(std::shared_ptr<const Target> target, std::string changed = "",
                      ListTamper tamper = nullptr)
        : target_(std::move(target)), changed_(std::move(changed)), tamper_(std::move(tamper)) {}

    static PyTarget open(const std::filesystem::path& path) {
        return PyTarget(std::make_shared<const Target>(unwrap(Target::open(path.string()))));
    }
    [[nodiscard]] PyTarget broken(const std::string& name) const {
        Broken broken = unwrap(apply_break(*target_, name));
        return PyTarget(broken.target, broken.what, broken.tamper);
    }
    [[nodiscard]] const std::shared_ptr<const Target>& target() const { return target_; }
    [[nodiscard]] const std::string& changed() const { return changed_; }
    [[nodiscard]] const ListTamper& tamper() const { return tamper_; }

    [[nodiscard]] std::vector<std::string> notes() const {
        std::vector<std::string> notes = target_->code.notes;
        if (!target_->note.empty()) {
            notes.push_back(target_->note);
        }
        return notes;
    }
    [[nodiscard]] py::list defects() const {
        py::list out;
        for (const relocate::Defect& defect : relocate::defects()) {
            if (defect.in(target_->generation)) {
                out.append(to_dict(defect));
            }
        }
        return out;
    }

  private:
    std::shared_ptr<const Target> target_;
    std::string changed_;
    ListTamper tamper_;
};

class PySession {
  public:
    PySession(const PyTarget& target, std::uint64_t seed, std::uint64_t pages, bool both_ways)
        : session_(unwrap(rehearsed(target, {seed, pages, both_ways}))) {
        session_.tamper_with(target.tamper());
    }

    py::dict run(std::uint64_t first, std::uint64_t count) {
        Tally tally;
        {
            const py::gil_scoped_release release;
            check(session_.run(first, count, tally));
        }
        return to_dict(tally, generation());
    }

    // One case as it came, and, if it fails, the smallest one that shows the same.
    py::dict show(std::uint64_t index) {
        Checker& checker = session_.checker();
        Checker::Options options;
        options.both_ways = session_.options().both_ways;
        options.tamper = session_.tamper();
        options.record_some = true;
        const Case made = session_.make(index);
        const CaseResult result = unwrap(checker.run(made, options));
        py::dict out;
        out["case"] = describe(made, generation().isa);
        out["findings"] = to_list(result.findings);
        out["failed"] = result.failed();
        if (!result.failed()) {
            out["shrunk"] = py::none();
            Explanation explanation;
            explanation.list = list_lines(
                made, generation().word(),
                relocate::action_of(generation(), made.preserve) == relocate::Action::kSwap);
            out["explanation"] = to_dict(explanation);
            return out;
        }
        const auto news = std::find_if(result.findings.begin(), result.findings.end(),
                                       [](const Finding& f) { return f.known == nullptr; });
        const Shrunk shrunk = unwrap(shrink(checker, made, *news, options));
        py::dict small;
        small["tried"] = shrunk.tried;
        small["pages"] = shrunk.run.pages();
        small["case"] = describe(shrunk.run, generation().isa);
        small["findings"] = to_list(shrunk.result.findings);
        out["shrunk"] = small;
        out["explanation"] = to_dict(unwrap(explain(checker, shrunk.run, shrunk.result, options)));
        return out;
    }

  private:
    static Result<Session> rehearsed(const PyTarget& target, const GeneratorOptions& options) {
        const py::gil_scoped_release release;
        const Status done = rehearse(target.target(), options, target.tamper());
        if (!done) {
            return done.error();
        }
        return Session::create(target.target(), options);
    }
    const relocate::Generation& generation() { return session_.checker().target().generation; }
    Session session_;
};

py::list list_of_breaks() {
    py::list out;
    for (const Break& entry : breaks()) {
        py::dict item;
        item["name"] = text(entry.name);
        item["summary"] = text(entry.summary);
        item["stop"] = text(name_of(entry.stop));
        py::list items;
        for (const std::string_view name : entry.items) {
            items.append(text(name));
        }
        item["items"] = items;
        out.append(item);
    }
    return out;
}

}  // namespace

py::dict to_dict(const Finding& finding) {
    py::dict out;
    out["stop"] = text(name_of(finding.stop));
    out["kind"] = text(name_of_kind(finding.kind));
    out["item"] = text(finding.item);
    out["place"] = text(finding.place);
    if (finding.kind == FindingKind::kMemory) {
        out["gpa"] = finding.gpa;
        out["differing"] = finding.differing;
        out["expected"] = hex_bytes(finding.expected);
        out["found"] = hex_bytes(finding.found);
    } else if (finding.kind == FindingKind::kRegister) {
        out["expected"] = finding.expected_value;
        out["found"] = finding.found_value;
    }
    out["note"] = text(finding.note);
    out["known"] = defect_or_none(finding.known);
    out["resembles"] = defect_or_none(finding.resembles);
    out["text"] = text(finding.text());
    return out;
}

void bind_check(py::module_& module) {
    py::class_<PyTarget>(module, "Target")
        .def_static("open", &PyTarget::open, py::arg("vmlinux"))
        .def("broken", &PyTarget::broken, py::arg("name"))
        .def_property_readonly("changed", &PyTarget::changed)
        .def_property_readonly("release",
                               [](const PyTarget& self) { return self.target()->code.release; })
        .def_property_readonly("arch",
                               [](const PyTarget& self) {
                                   return text(relocate::to_string(self.target()->generation.isa));
                               })
        .def_property_readonly("generation",
                               [](const PyTarget& self) {
                                   return relocate::to_string(self.target()->generation.version);
                               })
        .def_property_readonly("code_bytes",
                               [](const PyTarget& self) { return self.target()->code_bytes; })
        .def_property_readonly("notes", &PyTarget::notes)
        .def_property_readonly("defects", &PyTarget::defects);
    py::class_<PySession>(module, "Session")
        .def(py::init<const PyTarget&, std::uint64_t, std::uint64_t, bool>(), py::arg("target"),
             py::arg("seed"), py::arg("pages"), py::arg("both_ways") = true)
        .def("run", &PySession::run, py::arg("first"), py::arg("count"))
        .def("show", &PySession::show, py::arg("case"));
    module.def("breaks", &list_of_breaks);
    module.attr("MOST_PAGES") = kLargePages;
    module.attr("KEPT_FAILURES") = kKeptFailures;
}

}  // namespace jumpback::relocate_check::python
