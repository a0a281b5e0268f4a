// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/unicorn/relocate_code.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <string_view>

#include "vm/unicorn/src/disassembler.h"

namespace jumpback::unicorn {

namespace {

// Words that machine_kexec_prepare fills or the code keeps; without them it cannot be called.
constexpr std::array<const char*, 4> kNeededData = {"kexec_va_control_page", "kexec_pa_table_page",
                                                    "kexec_pa_swap_page", "pa_backup_pages_map"};
constexpr std::uint64_t kDebugIdtBytes = 256;  // 16 gates (prepare_debug_idt, 6.16 on)

constexpr std::uint64_t kPageBytes = kPageSize;

std::string hex(std::uint64_t value) {
    std::array<char, 24> text{};
    std::snprintf(text.data(), text.size(), "0x%llx", static_cast<unsigned long long>(value));
    return text.data();
}

// Symbols whose address lies in [begin, end), by name.
std::vector<Symbol> symbols_in(const Vmlinux& vmlinux, std::uint64_t begin, std::uint64_t end) {
    std::vector<Symbol> found;
    for (const Symbol& symbol : vmlinux.table().sorted()) {
        if (!symbol.absolute && !symbol.percpu && symbol.address.raw >= begin &&
            symbol.address.raw < end && !symbol.name.empty()) {
            found.push_back(symbol);
        }
    }
    return found;
}

// SYM_DATA makes objects; code has no type (SYM_CODE_START) or is a function.
bool is_data(const Symbol& symbol) {
    return symbol.kind == SymbolKind::object ||
           std::find(kNeededData.begin(), kNeededData.end(), symbol.name) != kNeededData.end();
}

// The Kconfig line of an option in the embedded .config; nothing if the kernel embeds none.
std::optional<bool> config_has(const Vmlinux& vmlinux, std::string_view option) {
    const auto config = vmlinux.config();
    if (!config || !config->has_value()) {
        return std::nullopt;
    }
    const std::vector<std::byte>& bytes = **config;
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return text.find("\n" + std::string(option) + "=y\n") != std::string_view::npos;
}

Result<std::uint64_t> end_of_swap_pages(const Vmlinux& vmlinux, std::uint64_t begin) {
    for (const Symbol& symbol : vmlinux.symbols("swap_pages")) {
        if (symbol.address.raw > begin && symbol.address.raw < begin + kControlCodeMax &&
            symbol.size.raw != 0 &&
            symbol.size.raw <= begin + kControlCodeMax - symbol.address.raw) {
            return symbol.address.raw + symbol.size.raw - begin;
        }
    }
    return Error{vmlinux.path(), "has no swap_pages within " + std::to_string(kControlCodeMax) +
                                     " bytes from relocate_kernel on"};
}

// 5.10 to 6.13 and i386: machine_kexec copies from relocate_kernel on.
Status read_copied(const Vmlinux& vmlinux, RelocateCode& code) {
    code.begin = code.entry;
    auto blob = vmlinux.read(code.begin, Bytes{kControlCodeMax});
    if (!blob) {
        return blob.error();
    }
    code.blob = std::move(blob).value();
    const auto end = end_of_swap_pages(vmlinux, code.begin.raw);
    if (!end) {
        return end.error();
    }
    code.code_size = *end;
    for (const Symbol& symbol :
         symbols_in(vmlinux, code.begin.raw, code.begin.raw + code.code_size)) {
        code.labels.emplace(symbol.name, symbol.address.raw - code.begin.raw);
    }
    if (code.convention == Convention::kX86_64PageList &&
        code.begin.raw % kPageBytes + kControlCodeMax > kPageBytes) {
        // One page is mapped at this address in the kexec tables (init_transition_pgtable).
        return Error{vmlinux.path(), "relocate_kernel at " + hex(code.begin.raw) +
                                         " crosses a page: this is not how the kernel links it"};
    }
    return success();
}

// 6.14 on: the sections between __relocate_kernel_start and __relocate_kernel_end.
Status read_sections(const Vmlinux& vmlinux, const Symbol& start, RelocateCode& code) {
    const auto end = vmlinux.symbol("__relocate_kernel_end");
    if (!end) {
        return end.error();
    }
    code.begin = start.address;
    const std::uint64_t size = end->address.raw - start.address.raw;
    if (end->address <= start.address || size > kControlCodeMax) {
        return Error{vmlinux.path(), "__relocate_kernel_start " + hex(start.address.raw) +
                                         " to __relocate_kernel_end " + hex(end->address.raw) +
                                         ": expected at most " + std::to_string(kControlCodeMax) +
                                         " bytes"};
    }
    if (code.entry < code.begin || code.entry >= end->address) {
        return Error{vmlinux.path(),
                     "relocate_kernel lies outside __relocate_kernel_start and "
                     "__relocate_kernel_end"};
    }
    auto blob = vmlinux.read(code.begin, Bytes{size});
    if (!blob) {
        return blob.error();
    }
    code.blob = std::move(blob).value();
    code.code_size = size;
    for (const Symbol& symbol : symbols_in(vmlinux, code.begin.raw, end->address.raw)) {
        const std::uint64_t offset = symbol.address.raw - code.begin.raw;
        if (is_data(symbol)) {
            code.data.emplace(symbol.name, offset);
            code.code_size = std::min(code.code_size, offset);
        } else if (symbol.name != "__relocate_kernel_start") {
            code.labels.emplace(symbol.name, offset);
        }
    }
    for (const char* name : kNeededData) {
        if (!code.data.contains(name)) {
            return Error{vmlinux.path(),
                         std::string("has no '") + name +
                             "' between __relocate_kernel_start and __relocate_kernel_end"};
        }
    }
    for (const auto& [name, offset] : code.data) {
        const bool needed =
            std::find(kNeededData.begin(), kNeededData.end(), name) != kNeededData.end();
        const std::uint64_t bytes = name == "kexec_debug_idt" ? kDebugIdtBytes : needed ? 8 : 0;
        if (offset + bytes > size) {
            return Error{vmlinux.path(), name + " does not end before __relocate_kernel_end"};
        }
    }
    return success();
}

std::optional<Gva> find_gdt_descriptor(const RelocateCode& code) {
    const auto from = code.labels.find("virtual_mapped");
    const auto disassembler = Disassembler::create(code.arch);
    if (from == code.labels.end() || !disassembler) {
        return std::nullopt;
    }
    std::uint64_t end = std::max(code.code_size, from->second);
    for (const auto& [name, offset] : code.labels) {
        if (offset > from->second) {
            end = std::min(end, offset);
        }
    }
    return disassembler->loaded_gdt(std::span(code.blob).subspan(from->second, end - from->second),
                                    code.begin.raw + from->second);
}

// "6.16.3" -> 616; 0 if it is no release.
unsigned version_number(std::string_view release) {
    unsigned major = 0;
    unsigned minor = 0;
    const char* end = release.data() + release.size();
    const auto first = std::from_chars(release.data(), end, major);
    if (first.ec != std::errc() || first.ptr == end || *first.ptr != '.') {
        return 0;
    }
    const auto second = std::from_chars(first.ptr + 1, end, minor);
    return second.ec == std::errc() && minor < 100 ? major * 100 + minor : 0;
}

void add_notes(RelocateCode& code) {
    if (code.kexec_jump == false) {
        code.notes.emplace_back(
            "CONFIG_KEXEC_JUMP is off: this kernel never returns from kexec; the way back is run "
            "anyway");
    }
    const unsigned version = version_number(code.release);
    if (code.convention == Convention::kX86_64Flags && version >= 614 && version < 618) {
        code.notes.emplace_back(
            "releases 6.14 to 6.17 take preserve_context and memory encryption as two arguments; "
            "encryption is passed in the flags word only");
    }
    if (code.convention == Convention::kI386 && code.pae) {
        code.notes.emplace_back(
            "CONFIG_X86_PAE: the return path turns paging on with CR4.PAE clear and a PAE "
            "directory, so it faults unless the callee set CR4.PAE");
    }
}

}  // namespace

Result<RelocateCode> RelocateCode::find(const Vmlinux& vmlinux) {
    const std::vector<Symbol> entries = vmlinux.symbols("relocate_kernel");
    if (entries.empty()) {
        return Error{vmlinux.path(),
                     "has no symbol 'relocate_kernel': the kernel was built without CONFIG_KEXEC"};
    }
    if (entries.size() > 1) {
        return Error{vmlinux.path(), "has " + std::to_string(entries.size()) +
                                         " symbols 'relocate_kernel', expected one"};
    }
    const auto caller = vmlinux.symbol("machine_kexec");
    if (!caller) {
        return caller.error();
    }
    const auto release = vmlinux.release();
    if (!release) {
        return release.error();
    }
    RelocateCode code;
    code.arch = vmlinux.arch();
    code.release = *release;
    code.entry = entries.front().address;
    code.caller = caller->address;
    const auto start = vmlinux.symbol("__relocate_kernel_start");
    Status status = success();
    if (start && code.arch == Arch::x86_64) {
        code.convention = Convention::kX86_64Flags;
        status = read_sections(vmlinux, *start, code);
    } else {
        code.convention = code.arch == Arch::i386 ? Convention::kI386 : Convention::kX86_64PageList;
        status = read_copied(vmlinux, code);
    }
    if (!status) {
        return status.error();
    }
    for (const char* label : {"identity_mapped", "virtual_mapped", "swap_pages"}) {
        if (!code.labels.contains(label)) {
            return Error{vmlinux.path(),
                         std::string("has no symbol '") + label + "' in relocate_kernel's code"};
        }
    }
    code.gdt_descriptor = find_gdt_descriptor(code);
    code.kexec_jump = config_has(vmlinux, "CONFIG_KEXEC_JUMP");
    // initial_pg_pmd exists in head_32.S with PAE only.
    code.pae =
        code.arch == Arch::i386 && (config_has(vmlinux, "CONFIG_X86_PAE")
                                        .value_or(!vmlinux.symbols("initial_pg_pmd").empty()));
    add_notes(code);
    return code;
}

std::string RelocateCode::place(std::uint64_t offset) const {
    const std::string* best = nullptr;
    std::uint64_t base = 0;
    for (const auto* names : {&labels, &data}) {
        for (const auto& [name, at] : *names) {
            if (at <= offset && (best == nullptr || at > base)) {
                best = &name;
                base = at;
            }
        }
    }
    if (best == nullptr) {
        return "blob+" + hex(offset);
    }
    return offset == base ? *best : *best + "+" + hex(offset - base);
}

}  // namespace jumpback::unicorn
