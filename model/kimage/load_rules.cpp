// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/kimage/load_rules.h"

#include <array>
#include <charconv>

#include "model/kimage/kexec_flags.h"

namespace jumpback::kimage {
namespace {

constexpr std::uint64_t kOldFlags = kKexecOnCrash;
constexpr std::uint64_t kNewFlags =
    kKexecOnCrash | kKexecUpdateElfcorehdr | kKexecCrashHotplugSupport;

constexpr LoadRules x86_64(Version version) {
    LoadRules rules;
    rules.arch = Arch::kX86_64;
    rules.version = version;
    rules.native_arch_bits = kKexecArchX86_64;
    return rules;
}

constexpr LoadRules i386(LoadRules rules) {
    rules.arch = Arch::kI386;
    rules.native_arch_bits = kKexecArch386;
    rules.control_order = 0;
    rules.tables_are_control = false;  // machine_kexec_alloc_page_tables(): get_zeroed_page()
    rules.separate_pgd = false;
    return rules;
}

constexpr LoadRules rules_5_10() {
    LoadRules rules = x86_64({5, 10});
    rules.flags = kOldFlags;
    rules.copies_before_lock = false;
    rules.compat_returns_bytes_left = false;
    rules.control_order = 1;  // the PGD, then the code
    return rules;
}

constexpr LoadRules rules_6_1() {
    LoadRules rules = x86_64({6, 1});
    rules.flags = kOldFlags;
    rules.control_order = 1;
    return rules;
}

constexpr LoadRules rules_from_6_12(Version version) {
    LoadRules rules = x86_64(version);
    rules.flags = kNewFlags;
    rules.load_limits = true;
    rules.crash_dump_optional = true;
    rules.inclusive_ranges = true;
    rules.separate_pgd = true;
    return rules;
}

// 7.2 and 7.3 equal 6.12 here: kexec_load() never gives a segment CMA pages, and accept_memory()
// cannot fail.
constexpr std::array kRules = {
    rules_5_10(),
    rules_6_1(),
    rules_from_6_12({6, 12}),
    rules_from_6_12({7, 2}),
    rules_from_6_12({7, 3}),
    i386(rules_5_10()),
    i386(rules_6_1()),
    i386(rules_from_6_12({6, 12})),
    i386(rules_from_6_12({7, 2})),
    i386(rules_from_6_12({7, 3})),
};

// MAXMEM - 1 of arch/x86/include/asm/pgtable_64_types.h
constexpr std::uint64_t max_memory(const KernelSetup& setup) {
    return (std::uint64_t{1} << (setup.five_level ? 52 : 46)) - 1;
}

Result<Version> version_of(std::string_view release) {
    Version version;
    const char* end = release.data() + release.size();
    const auto major = std::from_chars(release.data(), end, version.major);
    if (major.ec == std::errc{} && major.ptr != end && *major.ptr == '.') {
        const auto minor = std::from_chars(major.ptr + 1, end, version.minor);
        if (minor.ec == std::errc{}) {
            return version;
        }
    }
    return Error{"kernel release \"" + std::string(release.substr(0, 64)) + "\"",
                 "does not start with two numbers and a dot between them"};
}

}  // namespace

std::string_view name_of(Arch arch) { return arch == Arch::kX86_64 ? "x86_64" : "i386"; }

Result<Arch> arch_named(std::string_view name) {
    for (const Arch arch : {Arch::kX86_64, Arch::kI386}) {
        if (name == name_of(arch)) {
            return arch;
        }
    }
    return Error{"architecture " + std::string(name.substr(0, 64)),
                 "is not known here: x86_64 or i386"};
}

std::string text_of(Version version) {
    return std::to_string(version.major) + "." + std::to_string(version.minor);
}

std::uint64_t LoadRules::source_limit(const KernelSetup& setup) const {
    return arch == Arch::kX86_64 ? max_memory(setup) : word_max();
}
std::uint64_t LoadRules::destination_limit(const KernelSetup& setup) const {
    return source_limit(setup);
}
std::uint64_t LoadRules::control_limit(const KernelSetup& setup) const {
    return arch == Arch::kX86_64 ? max_memory(setup) : setup.page_offset;
}

std::span<const LoadRules> load_rules() { return kRules; }

Result<FoundRules> find_rules(std::string_view release, Arch arch) {
    const Result<Version> version = version_of(release);
    if (!version) {
        return version.error();
    }
    const LoadRules* found = nullptr;
    for (const LoadRules& row : kRules) {
        if (row.arch == arch && (found == nullptr || row.version <= *version)) {
            found = &row;
        }
    }
    std::string note;
    if (found->version != *version) {
        note = "no rules of " + text_of(*version) + ": those of " + text_of(found->version) +
               " stand in";
    }
    return FoundRules{found, note};
}

}  // namespace jumpback::kimage
