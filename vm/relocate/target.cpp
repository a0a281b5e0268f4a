// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/relocate/target.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "model/memory/text.h"

namespace jumpback::relocate_check {
namespace {

using relocate::Abi;
using relocate::Isa;

constexpr std::uint64_t kWordBytes = 8;

// Saved by relocate_kernel for the way back (.data..relocate_kernel).
constexpr std::string_view kSavedWords[] = {"saved_rsp", "saved_cr0", "saved_cr3", "saved_cr4",
                                            "pa_backup_pages_map"};

// "push %rdx; call *%rdx", the same bytes in 32-bit code: the entry stands above the return address
// (2cacf7f23a02). A series of patches brings that to kernels whose version lacks it.
constexpr unsigned char kEntryPushed[] = {0x52, 0xff, 0xd2};

// "lgdt" with the operand's address alone, of saved_context's descriptor. Where C has made the GDT
// invalid before the call, relocate_kernel has no other.
constexpr unsigned char kGdtLoaded[] = {0x0f, 0x01, 0x15};

bool holds(const unicorn::RelocateCode& code, std::span<const unsigned char> wanted) {
    const auto* begin = reinterpret_cast<const unsigned char*>(code.blob.data());
    const auto* end = begin + std::min<std::uint64_t>(code.code_size, code.blob.size());
    return std::search(begin, end, wanted.begin(), wanted.end()) != end;
}

Abi abi_of(unicorn::Convention convention) {
    switch (convention) {
        case unicorn::Convention::kX86_64PageList:
            return Abi::kPageList;
        case unicorn::Convention::kX86_64Flags:
            return Abi::kFlags;
        case unicorn::Convention::kI386:
            return Abi::kI386;
    }
    return Abi::kPageList;
}

// Of several names at one address the first that is no section mark.
void collect_symbols(const Vmlinux& vmlinux, Target& target) {
    const std::uint64_t begin = target.code.begin.raw;
    const std::uint64_t end = begin + target.code.blob.size();
    for (const Symbol& symbol : vmlinux.table().sorted()) {
        if (symbol.absolute || symbol.percpu || symbol.address.raw < begin ||
            symbol.address.raw >= end || symbol.name.starts_with("__relocate_kernel")) {
            continue;
        }
        const std::uint64_t offset = symbol.address.raw - begin;
        if (target.symbols.empty() || target.symbols.back().offset != offset) {
            target.symbols.push_back({std::string(symbol.name), offset});
        }
    }
}

}  // namespace

Result<Target> Target::open(const std::string& vmlinux) {
    const Result<Vmlinux> file = Vmlinux::open(vmlinux);
    if (!file) {
        return file.error();
    }
    return from(*file);
}

Result<Target> Target::from(const Vmlinux& vmlinux) {
    Result<unicorn::RelocateCode> code = unicorn::RelocateCode::find(vmlinux);
    if (!code) {
        return code.error();
    }
    Target target;
    target.code = std::move(code).value();
    const bool wide = target.code.arch == jumpback::Arch::x86_64;
    const Result<relocate::FoundGeneration> generation = relocate::find_generation(
        target.code.release, wide ? Isa::kX86_64 : Isa::kI386, abi_of(target.code.convention));
    if (!generation) {
        return Error{vmlinux.path(), generation.error().message()};
    }
    const Result<kimage::FoundRules> rules =
        kimage::find_rules(target.code.release, wide ? kimage::Arch::kX86_64 : kimage::Arch::kI386);
    if (!rules) {
        return Error{vmlinux.path(), rules.error().message()};
    }
    target.generation = *generation->generation;
    target.generation.release = *relocate::parse_version(target.code.release);
    target.note = generation->note;
    target.rules = rules->rules;
    collect_symbols(vmlinux, target);
    target.code_bytes = target.code.code_size;
    target.generation.debug_tables = target.debug_gdt().has_value();
    target.generation.reentry_slot |= holds(target.code, kEntryPushed);
    target.generation.gdt_reloaded |=
        !target.generation.invalidates_tables && holds(target.code, kGdtLoaded);
    return target;
}

std::string Target::name_at(std::uint64_t offset) const {
    const CodeSymbol* best = nullptr;
    for (const CodeSymbol& symbol : symbols) {
        if (symbol.offset <= offset) {
            best = &symbol;
        }
    }
    if (best == nullptr) {
        return "blob+" + memory::hex(offset);
    }
    return best->offset == offset ? best->name
                                  : best->name + "+" + memory::hex(offset - best->offset);
}

std::optional<std::uint64_t> Target::offset_of(std::string_view symbol) const {
    const auto data = code.data.find(std::string(symbol));
    if (data != code.data.end()) {
        return data->second;
    }
    for (const CodeSymbol& known : symbols) {
        if (known.name == symbol) {
            return known.offset;
        }
    }
    return std::nullopt;
}

std::optional<Target::DebugTable> Target::debug_gdt() const {
    const std::optional<std::uint64_t> at = offset_of("kexec_debug_gdt");
    if (!at || *at + sizeof(std::uint16_t) > code.blob.size()) {
        return std::nullopt;
    }
    DebugTable table{*at, 0};
    std::memcpy(&table.limit, code.blob.data() + *at, sizeof table.limit);  // its first word
    return table;
}

std::optional<Target::DebugTable> Target::debug_idt() const {
    const std::optional<std::uint64_t> at = offset_of("kexec_debug_idt");
    return at ? std::optional(DebugTable{*at, 0xff}) : std::nullopt;
}

relocate::Places Target::places_in_control_page() const {
    relocate::Places places;
    places.code_size = Bytes{code.blob.size()};
    if (generation.saved_words == relocate::SavedWords::kAt0x800) {
        // Seven words of x86_64 (+0x0 to +0x30), eight of i386 (+0x0 to +0x1c).
        places.saved_words = {{unicorn::kControlCodeMax, generation.isa == Isa::kX86_64
                                                             ? 7 * kWordBytes
                                                             : 8 * std::uint64_t{4}}};
        return places;
    }
    for (const std::string_view name : kSavedWords) {
        if (const std::optional<std::uint64_t> at = offset_of(name)) {
            places.saved_words.push_back({*at, kWordBytes});
        }
    }
    if (const std::optional<DebugTable> gdt = debug_gdt()) {
        places.debug_gdt = {gdt->offset, gdt->limit + std::uint64_t{1}};
    }
    return places;
}

}  // namespace jumpback::relocate_check
