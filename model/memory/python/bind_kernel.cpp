// SPDX-License-Identifier: GPL-2.0-or-later
//
// The captured kernel: translation, owners, and the snapshot's accounting.
#include <pybind11/stl.h>

#include <mutex>

#include "model/memory/guest_kernel.h"
#include "model/memory/python/buffers.h"
#include "model/memory/snapshot_accounting.h"
#include "model/memory/text.h"

namespace py = pybind11;

namespace jumpback::memory::python {
namespace {

Arch arch_of(const std::string& name) {
    if (name == "x86_64") {
        return Arch::kX86_64;
    }
    if (name == "i386") {
        return Arch::kI386;
    }
    throw ModelError({"architecture " + name, "is not known here: x86_64 or i386"});
}

// Reading goes through a cache, so one thread at a time; the lock lets callers not care.
struct PyKernel {
    PyKernel(std::shared_ptr<PyRam> memory, const py::dict& symbols, const std::string& arch,
             std::uint64_t cr3, std::uint64_t cr0, std::uint64_t cr4, std::uint64_t efer)
        : ram(std::move(memory)) {
        Symbols table;
        for (const auto& [name, address] : symbols) {
            table.emplace(py::cast<std::string>(name), py::cast<std::uint64_t>(address));
        }
        const Arch which = arch_of(arch);
        auto result = [&] {
            const py::gil_scoped_release release;
            return GuestKernel::open(ram->ram, std::move(table), which, paging_mode(cr0, cr4, efer),
                                     cr3);
        }();
        kernel = take(std::move(result));
    }

    // Runs `work` without the GIL and alone on this kernel.
    template <typename Work>
    auto alone(Work work) const {
        const py::gil_scoped_release release;
        const std::lock_guard<std::mutex> guard(lock);
        return work(*kernel);
    }

    std::shared_ptr<PyRam> ram;
    std::unique_ptr<GuestKernel> kernel;
    mutable std::mutex lock;
};

SnapshotAccounting account(const PyKernel& self, const py::iterable& exceptions,
                           std::size_t limit) {
    const std::vector<ExceptionRange> ranges = exceptions_of(exceptions);
    return take(self.alone([&](const GuestKernel& kernel) {
        return account_snapshot(kernel, {ranges, limit});
    }));
}

py::list oddity_list(const SnapshotAccounting& self) {
    py::list out;
    for (const Oddity& oddity : self.oddities.listed()) {
        const py::object pfn = oddity.pfn ? py::object(py::int_(oddity.pfn->raw)) : py::none();
        out.append(py::make_tuple(pfn, oddity.text));
    }
    return out;
}

void bind_accounting(py::module_& module) {
    const auto numbers = [](std::vector<std::uint64_t> SnapshotAccounting::*member) {
        return [member](const SnapshotAccounting& self) { return number_array(self.*member); };
    };
    py::class_<SnapshotAccounting>(module, "SnapshotAccounting")
        .def_property_readonly("states",
                               [](const SnapshotAccounting& self) {
                                   return to_bytes(std::as_bytes(std::span(self.states)));
                               })
        .def_property_readonly("counts",
                               [](const SnapshotAccounting& self) {
                                   py::dict out;
                                   for (std::size_t state = 0; state < kFrameStates; ++state) {
                                       out[py::int_(state)] = self.counts[state];
                                   }
                                   return out;
                               })
        .def_property_readonly("expected", numbers(&SnapshotAccounting::expected))
        .def_property_readonly("recorded", numbers(&SnapshotAccounting::recorded))
        .def_property_readonly("copied", numbers(&SnapshotAccounting::copied))
        .def_property_readonly("copies", numbers(&SnapshotAccounting::copies))
        .def_property_readonly("zero", numbers(&SnapshotAccounting::zero))
        .def_readonly("nr_copy_pages", &SnapshotAccounting::nr_copy_pages)
        .def_readonly("spare_copy_pages", &SnapshotAccounting::spare_copy_pages)
        .def_readonly("copy_contents", &SnapshotAccounting::copy_contents)
        .def_property_readonly("oddities", &oddity_list)
        .def_property_readonly(
            "oddities_total", [](const SnapshotAccounting& self) { return self.oddities.total(); });
}

}  // namespace

void bind_kernel(py::module_& module) {
    bind_accounting(module);
    py::class_<PyKernel>(module, "GuestKernel")
        .def(py::init<std::shared_ptr<PyRam>, const py::dict&, const std::string&, std::uint64_t,
                      std::uint64_t, std::uint64_t, std::uint64_t>(),
             py::arg("ram"), py::arg("symbols"), py::arg("arch"), py::kw_only(), py::arg("cr3"),
             py::arg("cr0"), py::arg("cr4"), py::arg("efer"))
        .def_property_readonly(
            "release",
            [](const PyKernel& self) { return std::string(self.kernel->info().release()); })
        .def_property_readonly(
            "paging",
            [](const PyKernel& self) {
                return std::string(name_of(self.kernel->memory().tables().mode()));
            })
        .def_property_readonly("vmcoreinfo",
                               [](const PyKernel& self) {
                                   py::dict out;
                                   for (const auto& [key, value] : self.kernel->info().values()) {
                                       out[py::str(key)] = value;
                                   }
                                   return out;
                               })
        .def_property_readonly("end_pfn",
                               [](const PyKernel& self) { return self.kernel->end_pfn().raw; })
        .def_property_readonly("zones",
                               [](const PyKernel& self) {
                                   py::list out;
                                   for (const Zone& zone : self.kernel->zones()) {
                                       out.append(py::make_tuple(zone.name, zone.start.raw,
                                                                 zone.end().raw, zone.present));
                                   }
                                   return out;
                               })
        .def(
            "translate",
            [](const PyKernel& self, std::uint64_t gva) {
                const Translation found = take(self.alone([&](const GuestKernel& kernel) {
                    return kernel.memory().tables().translate(Gva{gva});
                }));
                return py::make_tuple(found.gpa.raw, found.page_size.raw);
            },
            py::arg("gva"))
        .def(
            "read_virtual",
            [](const PyKernel& self, std::uint64_t gva, std::size_t length) {
                if (length > self.ram->buffer.bytes().size()) {
                    throw ModelError({"GVA " + hex(gva),
                                      "read of " + hex(length) + " bytes is longer than RAM"});
                }
                std::vector<std::byte> out(length);
                take(self.alone([&](const GuestKernel& kernel) {
                    return kernel.memory().read(Gva{gva}, out);
                }));
                return to_bytes(out);
            },
            py::arg("gva"), py::arg("length"))
        .def(
            "describe",
            [](const PyKernel& self, std::uint64_t pfn) {
                return self.alone(
                    [&](const GuestKernel& kernel) { return kernel.owners().describe(Pfn{pfn}); });
            },
            py::arg("pfn"))
        .def("owner_runs",
             [](const PyKernel& self) {
                 const std::vector<OwnerRun> runs = self.alone([](const GuestKernel& kernel) {
                     return owner_runs(kernel.owners(), kernel.end_pfn());
                 });
                 py::list out;
                 for (const OwnerRun& run : runs) {
                     out.append(py::make_tuple(run.start.raw, run.count, run.owner));
                 }
                 return out;
             })
        .def("account_snapshot", &account, py::kw_only(), py::arg("exceptions") = py::tuple(),
             py::arg("limit") = 64);
}

}  // namespace jumpback::memory::python
