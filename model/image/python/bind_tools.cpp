// SPDX-License-Identifier: GPL-2.0-or-later
//
// verify, diff, the patcher and the writer.
#include <pybind11/stl.h>

#include <algorithm>

#include "model/image/diff.h"
#include "model/image/patcher.h"
#include "model/image/python/buffers.h"
#include "model/image/swsusp_writer.h"
#include "model/image/verify.h"

namespace py = pybind11;

namespace jumpback::swsusp::python {
namespace {

py::list pfn_list(const std::vector<Pfn>& pfns) {
    py::list out;
    for (const Pfn pfn : pfns) {
        out.append(pfn.raw);
    }
    return out;
}

PatchOptions patch_options(std::uint64_t header_page, bool ignore_signature, bool check_crc,
                           bool fix_crc) {
    PatchOptions options;
    options.parse.header_page = header_page;
    options.parse.ignore_signature = ignore_signature;
    options.parse.check_crc = check_crc;
    options.fix_crc = fix_crc;
    return options;
}

// Runs `work` on the writable buffer without the GIL.
template <typename Work>
PatchReport patched(const py::object& buffer, Work work) {
    InputBuffer input(buffer, true);
    auto result = [&] {
        const py::gil_scoped_release release;
        return work(input.span());
    }();
    return take(std::move(result));
}

void bind_diff(py::module_& module) {
    py::class_<PageDifference>(module, "PageDifference")
        .def_property_readonly("pfn", [](const PageDifference& page) { return page.pfn.raw; })
        .def_readonly("first_offset", &PageDifference::first_offset)
        .def_readonly("count", &PageDifference::count)
        .def_readonly("a", &PageDifference::a)
        .def_readonly("b", &PageDifference::b);
    py::class_<ImageDiff>(module, "ImageDiff")
        .def_property_readonly("only_a", [](const ImageDiff& d) { return pfn_list(d.only_a); })
        .def_property_readonly("only_b", [](const ImageDiff& d) { return pfn_list(d.only_b); })
        .def_readonly("differing", &ImageDiff::differing)
        .def_readonly("equal", &ImageDiff::equal)
        .def_property_readonly("same", &ImageDiff::same);
    module.def(
        "diff",
        [](const HibernationImage& a, const HibernationImage& b) { return diff_images(a, b); },
        py::arg("a"), py::arg("b"), py::call_guard<py::gil_scoped_release>());
}

void bind_verify(py::module_& module) {
    py::class_<Error>(module, "Problem", py::module_local())
        .def_readonly("where", &Error::where)
        .def_readonly("what", &Error::what)
        .def("__str__", &Error::message);
    module.def(
        "verify",
        [](py::object buffer, std::uint64_t header_page, bool ignore_signature,
           std::optional<std::uint64_t> image_start, bool check_reserved,
           std::optional<std::uint64_t> pfn_limit, std::size_t most) {
            const InputBuffer input(buffer);
            const ParseOptions options = options_of(header_page, ignore_signature, image_start,
                                                    true, check_reserved, pfn_limit);
            const py::gil_scoped_release release;
            return verify_image(input.view(), options, most);
        },
        py::arg("buffer"), py::kw_only(), py::arg("header_page") = 0,
        py::arg("ignore_signature") = false, py::arg("image_start") = py::none(),
        py::arg("check_reserved") = true, py::arg("pfn_limit") = py::none(), py::arg("most") = 64);
}

void bind_patcher(py::module_& module) {
    py::class_<PatchedUnit>(module, "PatchedUnit")
        .def_readonly("unit", &PatchedUnit::unit)
        .def_readonly("compressed_before", &PatchedUnit::compressed_before)
        .def_readonly("compressed_after", &PatchedUnit::compressed_after);
    py::class_<PatchReport>(module, "PatchReport")
        .def_readonly("pages", &PatchReport::pages)
        .def_readonly("units", &PatchReport::units)
        .def_readonly("crc32_before", &PatchReport::crc32_before)
        .def_readonly("crc32_after", &PatchReport::crc32_after);

    module.def(
        "replace_page",
        [](const py::object& buffer, std::uint64_t pfn, const py::object& page,
           std::uint64_t header_page, bool ignore_signature, bool check_crc, bool fix_crc) {
            const InputBuffer content(page);
            const auto options = patch_options(header_page, ignore_signature, check_crc, fix_crc);
            return patched(buffer, [&](ByteSpan disk) {
                return replace_page(disk, Pfn{pfn}, content.view(), options);
            });
        },
        py::arg("buffer"), py::arg("pfn"), py::arg("page"), py::kw_only(),
        py::arg("header_page") = 0, py::arg("ignore_signature") = false,
        py::arg("check_crc") = true, py::arg("fix_crc") = true);
    module.def(
        "flip_byte",
        [](const py::object& buffer, std::uint64_t pfn, std::size_t offset, std::uint8_t mask,
           std::uint64_t header_page, bool ignore_signature, bool check_crc, bool fix_crc) {
            const auto options = patch_options(header_page, ignore_signature, check_crc, fix_crc);
            return patched(buffer, [&](ByteSpan disk) {
                return flip_byte(disk, Pfn{pfn}, offset, mask, options);
            });
        },
        py::arg("buffer"), py::arg("pfn"), py::arg("offset"), py::arg("mask") = 0xff, py::kw_only(),
        py::arg("header_page") = 0, py::arg("ignore_signature") = false,
        py::arg("check_crc") = true, py::arg("fix_crc") = true);
    module.def(
        "swap_pages",
        [](const py::object& buffer, std::uint64_t a, std::uint64_t b, std::uint64_t header_page,
           bool ignore_signature, bool check_crc, bool fix_crc) {
            const auto options = patch_options(header_page, ignore_signature, check_crc, fix_crc);
            return patched(
                buffer, [&](ByteSpan disk) { return swap_pages(disk, Pfn{a}, Pfn{b}, options); });
        },
        py::arg("buffer"), py::arg("pfn_a"), py::arg("pfn_b"), py::kw_only(),
        py::arg("header_page") = 0, py::arg("ignore_signature") = false,
        py::arg("check_crc") = true, py::arg("fix_crc") = true);
}

Arch arch_of(const std::string& name) {
    for (const Arch arch : {Arch::x86_64, Arch::i386}) {
        if (name == name_of(arch)) {
            return arch;
        }
    }
    throw py::value_error("arch \"" + name + "\", expected x86_64 or i386");
}

Compression compression_of(const std::string& name) {
    for (const Compression compression : {Compression::none, Compression::lzo, Compression::lz4}) {
        if (name == name_of(compression)) {
            return compression;
        }
    }
    throw py::value_error("compression \"" + name + "\", expected lzo, lz4 or none");
}

void bind_writer(py::module_& module) {
    module.def(
        "write_image",
        [](const py::object& buffer, const std::vector<std::uint64_t>& pfns, const py::object& data,
           const std::vector<std::uint64_t>& zero_pfns, const std::string& arch,
           const std::string& compression, std::uint64_t num_physpages, std::uint64_t header_page,
           std::uint64_t first_page, std::optional<std::uint64_t> scatter_seed, bool platform_mode,
           std::optional<std::uint32_t> hardware_signature) {
            const InputBuffer content(data);
            InputBuffer output(buffer, true);
            ImageSpec spec;
            spec.arch = arch_of(arch);
            spec.num_physpages = num_physpages;
            spec.data.assign(content.view().begin(), content.view().end());
            std::vector<std::pair<std::uint64_t, std::uint8_t>> all;
            for (const std::uint64_t pfn : pfns) {
                all.emplace_back(pfn, std::uint8_t{0});
            }
            for (const std::uint64_t pfn : zero_pfns) {
                all.emplace_back(pfn, std::uint8_t{1});
            }
            std::inplace_merge(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(pfns.size()),
                               all.end());
            for (const auto& [pfn, zero] : all) {
                spec.pfns.emplace_back(pfn);
                spec.zero.push_back(zero);
            }
            Placement placement;
            placement.compression = compression_of(compression);
            placement.header_page = header_page;
            placement.first_page = first_page;
            placement.scatter_seed = scatter_seed;
            placement.platform_mode = platform_mode;
            placement.hardware_signature = hardware_signature;
            take(write_image(output.span(), spec, placement));
        },
        py::arg("buffer"), py::arg("pfns"), py::arg("data"), py::kw_only(),
        py::arg("zero_pfns") = std::vector<std::uint64_t>{}, py::arg("arch") = "x86_64",
        py::arg("compression") = "lzo", py::arg("num_physpages") = 65536,
        py::arg("header_page") = 0, py::arg("first_page") = 1, py::arg("scatter_seed") = py::none(),
        py::arg("platform_mode") = false, py::arg("hardware_signature") = py::none());
}

}  // namespace

void bind_tools(py::module_& module) {
    bind_diff(module);
    bind_verify(module);
    bind_patcher(module);
    bind_writer(module);
}

}  // namespace jumpback::swsusp::python
