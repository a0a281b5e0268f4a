// SPDX-License-Identifier: GPL-2.0-or-later
//
// parse() and what it returns.
#include <pybind11/stl.h>

#include "model/image/python/buffers.h"

namespace py = pybind11;

namespace jumpback::swsusp::python {
namespace {

using ImagePtr = std::shared_ptr<HibernationImage>;

static_assert(sizeof(Pfn) == sizeof(std::uint64_t), "pfns go to Python as uint64");

py::object pfn_view(const ImagePtr& image, std::span<const Pfn> pfns) {
    return view_of(image, pfns.data(), pfns.size(), sizeof(Pfn), "Q");
}
py::object byte_view(const ImagePtr& image, ByteView bytes) {
    return view_of(image, bytes.data(), bytes.size(), 1, "B");
}

py::dict header_dict(const ImageHeader& header) {
    const SwapHeader& swap = header.swap;
    const ImageInfo& info = header.info;
    py::dict out;
    out["arch"] = std::string(name_of(info.arch));
    out["layout"] = header.layout;
    out["compression"] = std::string(name_of(header.compression));
    out["header_page"] = swap.page;
    out["signature"] = swap.signature;
    out["original_signature"] = swap.original_signature;
    out["consumed"] = swap.consumed;
    out["image_start"] = swap.image_start;
    out["flags"] = swap.flags;
    out["platform_mode"] = swap.has(kFlagPlatform);
    out["hardware_signature"] = swap.hardware_signature;
    out["has_crc32"] = swap.has(kFlagCrc32);
    out["crc32"] = swap.crc32;
    out["crc32_computed"] = header.crc32_computed;
    out["crc_matches"] = header.crc_matches();
    out["info_disk_offset"] = header.info_disk_offset;
    out["jump_address"] = info.jump_address;
    out["jump_address_phys"] = info.jump_address_phys;
    out["cr3"] = info.cr3;
    out["magic"] = info.magic;
    out["e820_checksum"] = info.e820_checksum;
    out["e820_digest"] =
        info.md5_digest
            ? py::object(py::bytes(reinterpret_cast<const char*>(info.e820_digest.data()),
                                   info.e820_digest.size()))
            : py::object(py::none());
    out["version_code"] = info.version_code;
    out["num_physpages"] = info.num_physpages;
    out["cpus"] = info.cpus;
    out["image_pages"] = info.image_pages;
    out["meta_pages"] = info.meta_pages();
    out["pages"] = info.pages;
    out["size"] = info.size;
    out["zero_pages"] = header.zero_pages;
    out["map_pages"] = header.map_pages;
    out["disk_pages"] = header.disk_pages;
    return out;
}

void bind_location(py::module_& module) {
    py::class_<PageLocation>(module, "PageLocation")
        .def_property_readonly("pfn", [](const PageLocation& at) { return at.pfn.raw; })
        .def_readonly("zero", &PageLocation::zero)
        .def_readonly("stream_page", &PageLocation::stream_page)
        .def_readonly("compressed", &PageLocation::compressed)
        .def_readonly("unit", &PageLocation::unit)
        .def_readonly("unit_page", &PageLocation::unit_page)
        .def_readonly("first_entry", &PageLocation::first_entry)
        .def_readonly("entries", &PageLocation::entries)
        .def_property_readonly("extents",
                               [](const PageLocation& at) {
                                   py::list out;
                                   for (const DiskExtent& extent : at.extents) {
                                       out.append(py::make_tuple(extent.offset, extent.length));
                                   }
                                   return out;
                               })
        .def("__repr__", [](const PageLocation& at) {
            return cat("PageLocation(pfn=", hex(at.pfn.raw), ", stream_page=", at.stream_page,
                       at.compressed ? cat(", unit=", at.unit, ", unit_page=", at.unit_page) : "",
                       ", disk offset ", hex(at.extents.front().offset), ")");
        });
}

}  // namespace

void bind_image(py::module_& module) {
    bind_location(module);
    py::class_<HibernationImage, ImagePtr>(module, "Image")
        .def_property_readonly("header",
                               [](const ImagePtr& image) { return header_dict(image->header()); })
        .def_property_readonly("pfns",
                               [](const ImagePtr& image) { return pfn_view(image, image->pfns()); })
        .def_property_readonly(
            "stored_pfns",
            [](const ImagePtr& image) { return pfn_view(image, image->stored_pfns()); })
        .def_property_readonly(
            "zero_pfns", [](const ImagePtr& image) { return pfn_view(image, image->zero_pfns()); })
        .def_property_readonly("zero_flags",
                               [](const ImagePtr& image) {
                                   const auto flags = image->zero_flags();
                                   return view_of(image, flags.data(), flags.size(), 1, "B");
                               })
        .def_property_readonly(
            "data", [](const ImagePtr& image) { return byte_view(image, image->data()); })
        .def_property_readonly(
            "stream", [](const ImagePtr& image) { return byte_view(image, image->stream()); })
        .def("__contains__", [](const HibernationImage& image,
                                std::uint64_t pfn) { return image.contains(Pfn{pfn}); })
        .def(
            "page",
            [](const ImagePtr& image, std::uint64_t pfn) -> py::object {
                const ByteView page = image->page(Pfn{pfn});
                return page.empty() ? py::object(py::none()) : byte_view(image, page);
            },
            py::arg("pfn"))
        .def(
            "location",
            [](const HibernationImage& image, std::uint64_t pfn) {
                return image.location(Pfn{pfn});
            },
            py::arg("pfn"));

    module.def(
        "parse",
        [](py::object buffer, std::uint64_t header_page, bool ignore_signature,
           std::optional<std::uint64_t> image_start, bool check_crc, bool check_reserved,
           std::optional<std::uint64_t> pfn_limit) {
            const InputBuffer input(buffer);
            const ParseOptions options = options_of(header_page, ignore_signature, image_start,
                                                    check_crc, check_reserved, pfn_limit);
            auto result = [&] {
                const py::gil_scoped_release release;
                return read_image(input.view(), options);
            }();
            return std::make_shared<HibernationImage>(take(std::move(result)));
        },
        py::arg("buffer"), py::kw_only(), py::arg("header_page") = 0,
        py::arg("ignore_signature") = false, py::arg("image_start") = py::none(),
        py::arg("check_crc") = true, py::arg("check_reserved") = true,
        py::arg("pfn_limit") = py::none());
}

}  // namespace jumpback::swsusp::python
