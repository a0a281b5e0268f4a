// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reading a page list out of guest RAM.
#include "model/kimage/page_list.h"
#include "model/kimage/python/convert.h"

namespace py = pybind11;

namespace jumpback::kimage::python {
namespace {

using Kept = std::vector<std::pair<std::uint64_t, std::string>>;

Word word_of(const std::string& arch) {
    return take(arch_named(arch)) == Arch::kX86_64 ? Word::k64 : Word::k32;
}

py::dict to_dict(const Decoding& decoding) {
    const PageList& list = decoding.list;
    py::list moves;
    for (const Move& move : list.moves) {
        moves.append(py::make_tuple(move.destination.raw, move.source.raw));
    }
    py::dict out;
    out["moves"] = moves;
    out["move_count"] = list.move_count;
    out["list_pages"] = numbers(list.list_pages);
    out["words"] = list.words;
    out["lone"] = list.lone;
    if (const auto& bad = decoding.malformation) {
        out["kind"] = text(name_of(bad->kind));
        out["message"] = text(bad->message);
        out["list_page"] = or_none(bad->list_page);
        out["index"] = bad->index;
        out["raw"] = bad->raw;
    }
    return out;
}

py::dict decode_list(const py::object& buffer, const Triples& regions, std::uint64_t head,
                     const std::string& arch, const Kept& kept, bool strict_words,
                     bool kernel_layout, std::optional<std::uint64_t> source_limit,
                     bool keep_moves) {
    const InputBuffer input(buffer);
    const memory::GuestRam ram = ram_of(input, regions);
    const Word word = word_of(arch);
    DecodeRules rules;
    rules.strict_words = strict_words;
    rules.kernel_layout = kernel_layout;
    rules.source_limit = source_limit;
    rules.keep_moves = keep_moves;
    for (const auto& [gpa, name] : kept) {
        rules.kept.push_back({Gpa{gpa}, name});
    }
    const Decoding decoding = [&] {
        const py::gil_scoped_release release_gil;
        return decode_or_explain(ram, head, word, rules);
    }();
    return to_dict(decoding);
}

}  // namespace

void bind_list(py::module_& module) {
    module.def("decode", &decode_list, py::arg("buffer"), py::arg("regions"), py::arg("head"),
               py::arg("arch"), py::arg("kept") = Kept{}, py::kw_only(),
               py::arg("strict_words") = true, py::arg("kernel_layout") = true,
               py::arg("source_limit") = py::none(), py::arg("keep_moves") = true);
}

}  // namespace jumpback::kimage::python
