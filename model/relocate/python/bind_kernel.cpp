// SPDX-License-Identifier: GPL-2.0-or-later
//
// A kernel's generation, what it may write, and its registers at the stops.
#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "model/relocate/expect.h"
#include "model/relocate/python/bindings.h"

namespace py = pybind11;

namespace jumpback::relocate::python {
namespace {

// A generation, less the defects that patches of this kernel mend.
class PyKernel {
  public:
    PyKernel(const std::string& release, const std::string& arch, const py::iterable& fixed) {
        if (arch != "x86_64" && arch != "i386") {
            throw ModelError({"architecture \"" + arch + "\"", "is neither x86_64 nor i386"});
        }
        const Isa isa = arch == "x86_64" ? Isa::kX86_64 : Isa::kI386;
        const FoundGeneration found = take(find_generation(release, isa));
        generation = *found.generation;
        generation.release = take(parse_version(release));
        note = found.note;
        for (const py::handle name : fixed) {
            fixed_.insert(py::cast<std::string>(name));
        }
        for (const Defect& defect : defects()) {
            if (!defect.in(generation) || !mended(defect)) {
                continue;
            }
            generation.gdt_reloaded |= defect.sign == Sign::kGdtNotReloaded;
            generation.reentry_slot |= defect.sign == Sign::kNoReentrySlot;
        }
    }
    // "docs/findings/gdt-not-reloaded.md" by its name, "gdt-not-reloaded".
    [[nodiscard]] bool mended(const Defect& defect) const {
        const std::string page(defect.page);
        const std::size_t from = page.rfind('/') + 1;
        const std::size_t end = page.rfind('.');
        return !page.empty() && fixed_.contains(page.substr(from, end - from));
    }

    Generation generation;
    std::string note;

  private:
    std::set<std::string> fixed_;
};

py::dict defect_dict(const Defect& defect) {
    py::dict out;
    out["id"] = text(defect.id);
    out["alias"] = text(defect.alias);
    out["summary"] = text(defect.summary);
    out["fix"] = text(defect.fix);
    out["page"] = text(defect.page);
    return out;
}

py::list to_list(const PyKernel& kernel, const std::vector<RegisterDifference>& differences) {
    py::list out;
    for (const RegisterDifference& difference : differences) {
        const Defect* known = difference.known;
        const Defect* resembles = difference.resembles;
        if (known != nullptr && kernel.mended(*known)) {
            resembles = known;  // this kernel should not have it any more
            known = nullptr;
        }
        py::dict item;
        item["item"] = text(difference.item);
        item["expected"] = difference.expected;
        item["found"] = difference.found;
        item["known"] = known != nullptr ? py::object(defect_dict(*known)) : py::none();
        item["resembles"] = resembles != nullptr ? py::object(defect_dict(*resembles)) : py::none();
        out.append(item);
    }
    return out;
}

using Table = std::pair<std::uint64_t, std::uint16_t>;  // base, limit

CpuState cpu_state(const std::vector<std::uint64_t>& gpr, std::uint64_t rip, std::uint64_t rflags,
                   std::uint64_t cr0, std::uint64_t cr3, std::uint64_t cr4, Table gdtr, Table idtr,
                   const std::vector<std::uint16_t>& selectors) {
    if (gpr.size() != kGprs || selectors.size() != 6) {
        throw ModelError({"CPU state", "16 general registers and 6 selectors were expected"});
    }
    CpuState state;
    std::copy(gpr.begin(), gpr.end(), state.gpr.begin());
    state.rip = rip;
    state.rflags = rflags;
    state.cr0 = cr0;
    state.cr3 = cr3;
    state.cr4 = cr4;
    state.gdtr = {gdtr.first, gdtr.second};
    state.idtr = {idtr.first, idtr.second};
    state.cs = selectors[0];
    state.ds = selectors[1];
    state.es = selectors[2];
    state.ss = selectors[3];
    state.fs = selectors[4];
    state.gs = selectors[5];
    return state;
}

// Where things stand for one jump, by name: what Entry and Places have in common.
struct PyPlaces {
    Places places;
    std::uint64_t table_root = 0;
    DescriptorTable debug_gdt;
    DescriptorTable debug_idt;
};

PyPlaces make_places(std::uint64_t control_page, std::uint64_t code_size, const Pairs& saved_words,
                     std::pair<std::uint64_t, std::uint64_t> debug_gdt_span,
                     std::uint64_t swap_page, std::uint64_t table_root,
                     const std::vector<std::uint64_t>& table_pages, std::uint64_t caller_stack_page,
                     std::uint64_t caller_stack_used, Table debug_gdt, Table debug_idt) {
    PyPlaces out;
    out.places.control_page = Gpa{control_page};
    out.places.code_size = Bytes{code_size};
    for (const auto& [offset, length] : saved_words) {
        out.places.saved_words.push_back({offset, length});
    }
    out.places.debug_gdt = {debug_gdt_span.first, debug_gdt_span.second};
    out.places.swap_page = Gpa{swap_page};
    for (const std::uint64_t page : table_pages) {
        out.places.table_pages.emplace_back(page);
    }
    out.places.caller_stack_page = Gpa{caller_stack_page};
    out.places.caller_stack_used = caller_stack_used;
    out.table_root = table_root;
    out.debug_gdt = {debug_gdt.first, debug_gdt.second};
    out.debug_idt = {debug_idt.first, debug_idt.second};
    return out;
}

py::list entry_differences(const PyKernel& kernel, const PyPlaces& where, std::uint64_t start,
                           bool preserve, bool has_pae, const CpuState& at_call,
                           const CpuState& found, const PyRam& ram) {
    Entry entry;
    entry.preserve = preserve;
    entry.start = start;
    entry.control_page = where.places.control_page;
    entry.code_size = where.places.code_size;
    entry.swap_page = where.places.swap_page;
    entry.table_root = where.table_root;
    entry.has_pae = has_pae;
    entry.debug_gdt = where.debug_gdt;
    entry.debug_idt = where.debug_idt;
    std::vector<RegisterDifference> out;
    check_callee_entry(kernel.generation, entry, at_call, found, ram.ram(), out);
    return to_list(kernel, out);
}

py::list return_differences(const PyKernel& kernel, const CpuState& at_call, const CpuState& callee,
                            const CpuState& found, Table saved_gdt, std::uint64_t return_address,
                            std::uint64_t reentry,
                            std::optional<std::uint64_t> reentry_without_slot) {
    Return way;
    way.callee = callee;
    way.saved_gdt = {saved_gdt.first, saved_gdt.second};
    way.return_address = return_address;
    way.reentry = reentry;
    way.reentry_without_slot = reentry_without_slot;
    std::vector<RegisterDifference> out;
    check_return(kernel.generation, way, at_call, found, out);
    return to_list(kernel, out);
}

const char* abi_name(Abi abi) {
    return abi == Abi::kPageList ? "page_list" : abi == Abi::kFlags ? "flags" : "stack";
}

void bind_generation(py::module_& module) {
    py::class_<PyKernel>(module, "Kernel")
        .def(py::init<const std::string&, const std::string&, const py::iterable&>(),
             py::arg("release"), py::arg("arch"), py::arg("fixed") = py::tuple())
        .def_readonly("note", &PyKernel::note)
        .def_property_readonly(
            "version", [](const PyKernel& self) { return to_string(self.generation.version); })
        .def_property_readonly("abi",
                               [](const PyKernel& self) { return abi_name(self.generation.abi); })
        .def_property_readonly("reentry_slot",
                               [](const PyKernel& self) { return self.generation.reentry_slot; })
        .def_property_readonly("gdt_reloaded",
                               [](const PyKernel& self) { return self.generation.gdt_reloaded; })
        .def_property_readonly("control_pages",
                               [](const PyKernel& self) { return self.generation.control_pages; })
        .def_property_readonly("debug_tables",
                               [](const PyKernel& self) { return self.generation.debug_tables; })
        .def_property_readonly("saved_words_in_data",
                               [](const PyKernel& self) {
                                   return self.generation.saved_words == SavedWords::kDataSection;
                               })
        .def_property_readonly("defects",
                               [](const PyKernel& self) {
                                   py::list out;
                                   for (const Defect& defect : defects()) {
                                       if (defect.in(self.generation) && !self.mended(defect)) {
                                           out.append(defect_dict(defect));
                                       }
                                   }
                                   return out;
                               })
        .def(
            "allowances",
            [](const PyKernel& self, const PyPlaces& where, const std::string& leg,
               bool moves_pages, bool preserve) {
                if (leg != "there" && leg != "back") {
                    throw ModelError({"leg \"" + leg + "\"", "is neither there nor back"});
                }
                return allowances(
                    self.generation, where.places,
                    {leg == "there" ? Leg::kThere : Leg::kBack, preserve, moves_pages});
            },
            py::arg("places"), py::arg("leg"), py::arg("moves_pages"), py::arg("preserve") = true)
        .def("check_callee_entry", &entry_differences, py::arg("places"), py::kw_only(),
             py::arg("start"), py::arg("preserve") = true, py::arg("has_pae") = true,
             py::arg("at_call"), py::arg("found"), py::arg("ram"))
        .def("check_return", &return_differences, py::kw_only(), py::arg("at_call"),
             py::arg("callee"), py::arg("found"), py::arg("saved_gdt"), py::arg("return_address"),
             py::arg("reentry"), py::arg("reentry_without_slot") = py::none());
}

}  // namespace

void bind_kernel(py::module_& module) {
    py::class_<CpuState>(module, "CpuState")
        .def(py::init(&cpu_state), py::kw_only(), py::arg("gpr"), py::arg("rip"), py::arg("rflags"),
             py::arg("cr0"), py::arg("cr3"), py::arg("cr4"), py::arg("gdtr"), py::arg("idtr"),
             py::arg("selectors"));
    py::class_<PyPlaces>(module, "Places")
        .def(py::init(&make_places), py::kw_only(), py::arg("control_page"), py::arg("code_size"),
             py::arg("saved_words"), py::arg("debug_gdt_span"), py::arg("swap_page"),
             py::arg("table_root"), py::arg("table_pages"), py::arg("caller_stack_page"),
             py::arg("caller_stack_used"), py::arg("debug_gdt"), py::arg("debug_idt"));
    bind_generation(module);
}

}  // namespace jumpback::relocate::python
