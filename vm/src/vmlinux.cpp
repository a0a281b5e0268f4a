// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/vmlinux.h"

#include <elf.h>

#include <algorithm>
#include <utility>

#include "vm/elf_reader.h"
#include "vm/text.h"

namespace jumpback {
namespace {

constexpr std::string_view kPercpuSection = ".data..percpu";  // include/linux/percpu-defs.h

// Symbols that name a place or a number; file and section names and undefined ones do not.
bool is_wanted(const ElfSymbol& symbol) {
    const unsigned type = symbol.info & 0xfU;
    return symbol.section != SHN_UNDEF && symbol.name != 0 &&
           (type == STT_NOTYPE || type == STT_OBJECT || type == STT_FUNC || type == STT_GNU_IFUNC);
}

SymbolBinding binding_of(const ElfSymbol& symbol) {
    switch (symbol.info >> 4U) {
        case STB_GLOBAL:
            return SymbolBinding::global;
        case STB_WEAK:
            return SymbolBinding::weak;
        default:
            return SymbolBinding::local;
    }
}

SymbolKind kind_of(const ElfSymbol& symbol) {
    switch (symbol.info & 0xfU) {
        case STT_FUNC:
        case STT_GNU_IFUNC:
            return SymbolKind::function;
        case STT_OBJECT:
            return SymbolKind::object;
        default:
            return SymbolKind::other;
    }
}

// `percpu_shift` is added to zero-based per-CPU offsets to get the template's kernel address.
std::vector<RawSymbol> decode(const ElfSymbols& table, const std::vector<ElfSection>& sections,
                              std::uint64_t percpu_shift) {
    std::vector<RawSymbol> symbols;
    symbols.reserve(table.symbols.size());
    for (const ElfSymbol& raw : table.symbols) {
        if (!is_wanted(raw) || raw.name >= table.strings.size()) {
            continue;
        }
        // Names without an end would make the time quadratic: the kernel's have at most 512 bytes
        // (KSYM_NAME_LEN, include/linux/kallsyms.h).
        constexpr std::size_t kLongestName = 4096;
        const char* name = reinterpret_cast<const char*>(table.strings.data()) + raw.name;
        const std::size_t room = std::min(kLongestName, table.strings.size() - raw.name);
        const auto length = static_cast<std::size_t>(std::find(name, name + room, '\0') - name);
        if (length == 0 || length == room) {
            continue;
        }
        RawSymbol entry;
        entry.symbol.name = std::string_view(name, length);
        entry.symbol.address = Gva{raw.value};
        entry.symbol.size = Bytes{raw.size};
        entry.symbol.kind = kind_of(raw);
        entry.symbol.binding = binding_of(raw);
        entry.symbol.absolute = raw.section == SHN_ABS;
        entry.place = raw.value;
        if (raw.section < sections.size() && raw.section < SHN_LORESERVE) {
            const ElfSection& section = sections[raw.section];
            entry.symbol.percpu = section.name == kPercpuSection;
            const std::uint64_t shift =
                entry.symbol.percpu && section.address == 0 ? percpu_shift : 0;
            entry.place += shift;
            if ((section.flags & SHF_ALLOC) != 0 && raw.value >= section.address) {
                entry.section_end = section.address + section.size + shift;
            }
        }
        symbols.push_back(entry);
    }
    return symbols;
}

}  // namespace

std::string_view to_string(Arch arch) { return arch == Arch::x86_64 ? "x86_64" : "i386"; }

Result<Vmlinux> Vmlinux::open(const std::string& path) {
    auto source = ByteSource::open(path);
    return source ? parse(std::move(source).value()) : Result<Vmlinux>(source.error());
}

Result<Vmlinux> Vmlinux::from_memory(std::span<const std::byte> elf, std::string label) {
    return parse(ByteSource::over(elf, std::move(label)));
}

Result<Vmlinux> Vmlinux::parse(ByteSource source) {
    Vmlinux kernel(std::move(source));
    const auto reader = ElfReader::open(kernel.source_);
    if (!reader) {
        return reader.error();
    }
    kernel.arch_ = reader->is_64bit() ? Arch::x86_64 : Arch::i386;
    kernel.entry_ = Gpa{reader->entry()};

    const auto segments = reader->segments();
    if (!segments) {
        return segments.error();
    }
    bool have_delta = false;
    std::uint64_t percpu_phys = 0;
    for (const ElfSegment& raw : *segments) {
        if (raw.type != PT_LOAD) {
            continue;
        }
        kernel.segments_.push_back({Gva{raw.virt}, Gpa{raw.phys}, raw.offset, Bytes{raw.file_size},
                                    Bytes{raw.memory_size}});
        if (raw.virt == 0) {
            percpu_phys = raw.phys;
        } else if (!std::exchange(have_delta, true)) {
            kernel.image_delta_ = raw.virt - raw.phys;
        }
    }
    if (kernel.segments_.empty()) {
        return Error{kernel.path(),
                     "has no loadable segment: not a linked kernel; expected a vmlinux (not a .o "
                     "or .ko file, nor a separate debug file)"};
    }
    const auto sections = reader->sections();
    if (!sections) {
        return sections.error();
    }
    auto symbols = reader->symbols(*sections);
    if (!symbols) {
        return symbols.error();
    }
    auto raw = decode(*symbols, *sections, percpu_phys + kernel.image_delta_);
    if (raw.empty()) {
        return Error{kernel.path(),
                     "has an empty symbol table: it is stripped; use the vmlinux "
                     "that the kernel build leaves at the top of its tree"};
    }
    kernel.table_ = SymbolTable(std::move(symbols.value().strings), std::move(raw));
    return kernel;
}

Result<Symbol> Vmlinux::symbol(std::string_view name) const {
    const std::vector<Symbol> found = symbols(name);
    if (found.empty()) {
        return Error{path(), "has no symbol '" + std::string(name) +
                                 "': the kernel's version or config differs from what is expected, "
                                 "or the compiler inlined it"};
    }
    if (found.size() > 1) {
        std::string list;
        constexpr std::size_t kListed = 4;  // a name such as __func__.0 stands at hundreds
        for (std::size_t i = 0; i < std::min(kListed, found.size()); ++i) {
            list += (list.empty() ? "" : ", ") + hex(found[i].address.raw);
        }
        list += found.size() > kListed ? ", ..." : "";
        return Error{path(), "symbol '" + std::string(name) + "' stands at " +
                                 std::to_string(found.size()) + " addresses (" + list +
                                 "); ask for all of them and choose"};
    }
    return found.front();
}

std::optional<SymbolAt> Vmlinux::find(Gpa address) const {
    const auto virt = to_virt(address);
    return virt ? table_.at(*virt) : std::nullopt;
}

Gva Vmlinux::kernel_virt(const Segment& segment) const {
    return segment.virt.raw != 0 ? segment.virt : Gva{segment.phys.raw + image_delta_};
}

std::optional<Gpa> Vmlinux::to_phys(Gva address) const {
    for (const Segment& segment : segments_) {
        const std::uint64_t start = kernel_virt(segment).raw;
        if (address.raw >= start && address.raw - start < segment.memory_size.raw) {
            return Gpa{segment.phys.raw + (address.raw - start)};
        }
    }
    return std::nullopt;
}

std::optional<Gva> Vmlinux::to_virt(Gpa address) const {
    for (const Segment& segment : segments_) {
        const std::uint64_t start = segment.phys.raw;
        if (address.raw >= start && address.raw - start < segment.memory_size.raw) {
            return Gva{kernel_virt(segment).raw + (address.raw - start)};
        }
    }
    return std::nullopt;
}

}  // namespace jumpback
