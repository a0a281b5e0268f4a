// SPDX-License-Identifier: GPL-2.0-or-later
//
// RAM, page lists, allowances and the comparisons.
#include <algorithm>

#include "model/relocate/python/bindings.h"

namespace py = pybind11;

namespace jumpback::relocate::python {
namespace {

using memory::PageDifference;

py::bytes to_bytes(const std::vector<std::byte>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A page list, decoded.
struct Moves {
    std::vector<kimage::Move> moves;

    explicit Moves(const Pairs& pairs) {
        moves.reserve(pairs.size());
        for (const auto& [destination, source] : pairs) {
            moves.push_back({Gpa{destination}, Gpa{source}});
        }
    }
};

// Page frames, each once, ascending.
struct Frames {
    std::vector<std::uint64_t> pfns;

    void settle() {
        std::sort(pfns.begin(), pfns.end());
        pfns.erase(std::unique(pfns.begin(), pfns.end()), pfns.end());
    }
    [[nodiscard]] bool contains(std::uint64_t pfn) const {
        return std::binary_search(pfns.begin(), pfns.end(), pfn);
    }
};

Frames frames_of(const Moves& self, bool destinations, bool sources) {
    Frames out;
    for (const kimage::Move& move : self.moves) {
        if (destinations) {
            out.pfns.push_back(pfn_of(move.destination).raw);
        }
        if (sources) {
            out.pfns.push_back(pfn_of(move.source).raw);
        }
    }
    out.settle();
    return out;
}

// The same allowances where the pages stand once they have changed places. What never moves
// (control page, swap page, list) is in no move.
std::vector<Allowance> follow(const Moves& self, std::vector<Allowance> allowed) {
    for (Allowance& allowance : allowed) {
        const std::uint64_t offset = allowance.from.raw % kPageSize;
        const Gpa page{allowance.from.raw - offset};
        for (const kimage::Move& move : self.moves) {
            if (move.destination == page || move.source == page) {
                const Gpa other = move.destination == page ? move.source : move.destination;
                allowance.from = Gpa{other.raw + offset};
                break;
            }
        }
    }
    return allowed;
}

Rule rule_named(const std::string& name) {
    for (unsigned rule = 0; rule < kRules; ++rule) {
        if (name_of(static_cast<Rule>(rule)) == name) {
            return static_cast<Rule>(rule);
        }
    }
    throw ModelError({"rule \"" + name + "\"", "is not one of the model's"});
}

// All of RAM but `self`.
Frames others(const Frames& self, const PyRam& ram) {
    Frames out;
    for (const memory::RamRegion& region : ram.ram().regions()) {
        const std::uint64_t first = pfn_of(region.gpa).raw;
        const std::uint64_t end = first + (region.length.raw >> kPageShift);
        auto next = std::lower_bound(self.pfns.begin(), self.pfns.end(), first);
        for (std::uint64_t pfn = first; pfn < end; ++pfn) {
            if (next != self.pfns.end() && *next == pfn) {
                ++next;
            } else {
                out.pfns.push_back(pfn);
            }
        }
    }
    return out;
}

void bind_frames(py::module_& module) {
    py::class_<Frames>(module, "Frames")
        .def(py::init([](const std::vector<std::uint64_t>& pfns) {
                 Frames out{pfns};
                 out.settle();
                 return out;
             }),
             py::arg("pfns") = std::vector<std::uint64_t>{})
        .def("__len__", [](const Frames& self) { return self.pfns.size(); })
        .def("__contains__", &Frames::contains, py::arg("pfn"))
        .def(
            "__iter__",
            [](const Frames& self) {
                return py::make_iterator(self.pfns.begin(), self.pfns.end());
            },
            py::keep_alive<0, 1>())
        .def("__or__",
             [](const Frames& self, const Frames& other) {
                 Frames out{self.pfns};
                 out.pfns.insert(out.pfns.end(), other.pfns.begin(), other.pfns.end());
                 out.settle();
                 return out;
             })
        .def("others", &others, py::arg("ram"));
    py::class_<Moves>(module, "Moves")
        .def(py::init<const Pairs&>(), py::arg("moves") = Pairs{})
        .def("__len__", [](const Moves& self) { return self.moves.size(); })
        .def_property_readonly("destinations",
                               [](const Moves& self) { return frames_of(self, true, false); })
        .def_property_readonly("sources",
                               [](const Moves& self) { return frames_of(self, false, true); })
        .def("follow", &follow, py::arg("allowed"))
        .def("source_of",
             [](const Moves& self, std::uint64_t pfn) -> std::optional<std::uint64_t> {
                 for (const kimage::Move& move : self.moves) {
                     if (pfn_of(move.destination).raw == pfn) {
                         return pfn_of(move.source).raw;
                     }
                 }
                 return std::nullopt;
             })
        .def("destination_of",
             [](const Moves& self, std::uint64_t pfn) -> std::optional<std::uint64_t> {
                 for (const kimage::Move& move : self.moves) {
                     if (pfn_of(move.source).raw == pfn) {
                         return pfn_of(move.destination).raw;
                     }
                 }
                 return std::nullopt;
             });
}

void bind_results(py::module_& module) {
    py::class_<Allowance>(module, "Allowance")
        .def(py::init([](const std::string& rule, std::uint64_t gpa, std::uint64_t length) {
                 return Allowance{rule_named(rule), Gpa{gpa}, Bytes{length}};
             }),
             py::arg("rule"), py::arg("gpa"), py::arg("length"))
        .def_property_readonly("rule",
                               [](const Allowance& self) { return text(name_of(self.rule)); })
        .def_property_readonly("gpa", [](const Allowance& self) { return self.from.raw; })
        .def_property_readonly("length", [](const Allowance& self) { return self.length.raw; })
        .def_readonly("mask", &Allowance::mask);
    // Local: jumpback_memory has it, too.
    py::class_<PageDifference>(module, "PageDifference", py::module_local())
        .def_property_readonly("pfn", [](const PageDifference& self) { return self.pfn.raw; })
        .def_property_readonly(
            "gpa", [](const PageDifference& self) { return gpa_of(self.pfn).raw + self.offset; })
        .def_readonly("differing", &PageDifference::differing)
        .def_property_readonly("expected",
                               [](const PageDifference& self) { return to_bytes(self.expected); })
        .def_property_readonly("found",
                               [](const PageDifference& self) { return to_bytes(self.found); });
    py::class_<FrameComparison>(module, "FrameComparison")
        .def_readonly("compared", &FrameComparison::compared)
        .def_readonly("different", &FrameComparison::different)
        .def_readonly("differences", &FrameComparison::differences)
        .def_property_readonly("rule_pages", [](const FrameComparison& self) {
            py::dict out;
            for (unsigned rule = 0; rule < kRules; ++rule) {
                out[text(name_of(static_cast<Rule>(rule)))] = self.rule_pages[rule];
            }
            return out;
        });
    module.def("rules", [] {
        py::list out;
        for (unsigned rule = 0; rule < kRules; ++rule) {
            out.append(py::make_tuple(text(name_of(static_cast<Rule>(rule))),
                                      text(reason_of(static_cast<Rule>(rule)))));
        }
        return out;
    });
}

void bind_copy(py::module_& module) {
    py::class_<FrameCopy>(module, "FrameCopy")
        .def(py::init<>())
        .def(
            "take",
            [](FrameCopy& self, const PyRam& ram, const Moves& moves) {
                std::vector<Gpa> frames;
                for (const kimage::Move& move : moves.moves) {
                    frames.push_back(move.destination);
                }
                const py::gil_scoped_release release;
                const Status taken = self.take(ram.state(), frames);
                if (!taken) {
                    throw ModelError(taken.error());
                }
            },
            py::arg("ram"), py::arg("moves"))
        .def_property_readonly("bytes", &FrameCopy::bytes)
        .def("__len__", &FrameCopy::size);
}

}  // namespace

PyRam::PyRam(const py::object& buffer, const Triples& regions, const std::optional<Pairs>& extents)
    : sparse_(extents.has_value()) {
    if (PyObject_GetBuffer(buffer.ptr(), &view_, PyBUF_CONTIG_RO) != 0) {
        throw py::error_already_set();
    }
    std::vector<memory::RamRegion> places;
    for (const auto& [gpa, offset, length] : regions) {
        places.push_back({Gpa{gpa}, Bytes{offset}, Bytes{length}});
    }
    const std::span<const std::byte> bytes{static_cast<const std::byte*>(view_.buf),
                                           static_cast<std::size_t>(view_.len)};
    Result<memory::GuestRam> ram = memory::GuestRam::create(bytes, std::move(places));
    if (!ram) {
        PyBuffer_Release(&view_);
        throw ModelError(ram.error());
    }
    ram_ = std::make_unique<memory::GuestRam>(std::move(ram).value());
    if (extents) {
        for (const auto& [offset, length] : *extents) {
            extents_.push_back({Bytes{offset}, Bytes{length}});
        }
    }
}

void bind_memory(py::module_& module) {
    py::class_<PyRam>(module, "Ram")
        .def(py::init<const py::object&, const Triples&, const std::optional<Pairs>&>(),
             py::arg("buffer"), py::arg("regions") = Triples{}, py::arg("extents") = py::none())
        .def_property_readonly("frames", [](const PyRam& self) { return self.ram().frames(); })
        .def_property_readonly("end_pfn",
                               [](const PyRam& self) { return self.ram().end_pfn().raw; })
        .def(
            "__contains__",
            [](const PyRam& self, std::uint64_t pfn) { return self.ram().has_frame(Pfn{pfn}); },
            py::arg("pfn"))
        .def(
            "read",
            [](const PyRam& self, std::uint64_t gpa, std::size_t length) {
                std::vector<std::byte> out(std::min<std::size_t>(length, std::size_t{1} << 30));
                const Status done = self.ram().read(Gpa{gpa}, out);
                if (!done) {
                    throw ModelError(done.error());
                }
                return to_bytes(out);
            },
            py::arg("gpa"), py::arg("length"));
    bind_frames(module);
    bind_results(module);
    bind_copy(module);
    module.def(
        "compare_swapped",
        [](const PyRam& before, const PyRam& after, const Moves& moves, const Frames& left_out,
           const std::vector<Allowance>& allowed, std::size_t limit) {
            auto result = [&] {
                const py::gil_scoped_release release;
                return compare_swapped(before.state(), after.state(),
                                       {moves.moves, left_out.pfns, allowed, limit});
            }();
            return take(std::move(result));
        },
        py::arg("before"), py::arg("after"), py::arg("moves"), py::kw_only(),
        py::arg("left_out") = Frames{}, py::arg("allowed") = std::vector<Allowance>{},
        py::arg("limit") = 64);
    module.def(
        "compare_copy",
        [](const FrameCopy& copy, const PyRam& after, const Moves& moves,
           const std::vector<Allowance>& allowed, std::size_t limit) {
            std::vector<Gpa> frames;
            for (const kimage::Move& move : moves.moves) {
                frames.push_back(move.source);
            }
            auto result = [&] {
                const py::gil_scoped_release release;
                return compare_copy(copy, after.state(), frames, allowed, limit);
            }();
            return take(std::move(result));
        },
        py::arg("copy"), py::arg("after"), py::arg("moves"), py::kw_only(),
        py::arg("allowed") = std::vector<Allowance>{}, py::arg("limit") = 64);
}

}  // namespace jumpback::relocate::python
