// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/sequence/code_map.h"

#include <algorithm>
#include <array>

#include "vm/text.h"

namespace jumpback::sequence {
namespace {

using jump::Step;

// Functions that do what most kernels have inline: local_irq_disable() and its counterpart with
// CONFIG_PARAVIRT_XXL.
constexpr std::array<std::pair<std::string_view, Step>, 4> kOutOfLine{{
    {"pv_native_irq_disable", Step::disable_irqs},
    {"native_irq_disable", Step::disable_irqs},
    {"pv_native_irq_enable", Step::enable_irqs},
    {"native_irq_enable", Step::enable_irqs},
}};

constexpr std::array<std::string_view, 3> kThunks{"__x86_indirect_", "__x86_return_thunk",
                                                  "srso_return_thunk"};
constexpr std::array<std::string_view, 5> kTransparent{"__fentry__", "mcount", "__sanitizer_cov_",
                                                       "__asan_", "__kcsan_"};
// By prefix. All of them may be called anywhere in a kernel without changing what a jump does.
constexpr std::array<std::string_view, 22> kHelpers{
    "_printk",         "printk",          "__warn_printk",
    "page_address",    "__phys_addr",     "__virt_addr",
    "memcpy",          "__memcpy",        "memset",
    "cc_platform_has", "sme_active",      "trace_hardirqs",
    "lockdep_",        "lock_acquire",    "lock_release",
    "preempt_count_",  "__cond_resched",  "dynamic_might_resched",
    "__might_sleep",   "__might_resched", "debug_smp_processor_id",
    "__rcu_read_"};

template <typename Names>
bool begins_with_any(std::string_view text, const Names& names) {
    return std::any_of(names.begin(), names.end(),
                       [&](std::string_view name) { return text.starts_with(name); });
}

}  // namespace

Result<CodeMap> CodeMap::create(const Vmlinux& kernel, std::string_view function) {
    const auto entry = kernel.symbol(function);
    if (!entry) {
        return entry.error();
    }
    CodeMap map(kernel);
    map.entry_ = entry->address;
    const std::string pieces = std::string(function) + ".";
    for (const Symbol& symbol : kernel.table().sorted()) {
        if (symbol.kind != SymbolKind::function ||
            (symbol.name != function && !symbol.name.starts_with(pieces))) {
            continue;
        }
        if (symbol.size.raw == 0) {
            return Error{kernel.path(), "symbol " + std::string(symbol.name) +
                                            " has no size: where the function ends is unknown"};
        }
        map.extents_.push_back({symbol.address, Gva{symbol.address.raw + symbol.size.raw}});
    }
    if (map.extents_.empty()) {
        return Error{kernel.path(), std::string(function) + " is no function"};
    }
    for (const jump::StepInfo& row : jump::all_steps()) {
        for (const jump::SymbolName& name : row.symbols) {
            for (const Symbol& symbol : kernel.symbols(name.name)) {
                map.steps_.emplace(symbol.address.raw, row.step);
            }
        }
    }
    for (const auto& [name, step] : kOutOfLine) {
        for (const Symbol& symbol : kernel.symbols(name)) {
            map.steps_.emplace(symbol.address.raw, step);
        }
    }
    return map;
}

bool CodeMap::is_inside(Gva address) const {
    return std::any_of(extents_.begin(), extents_.end(), [&](const Extent& extent) {
        return address >= extent.start && address < extent.end;
    });
}

Code CodeMap::at(Gva address) const {
    if (is_inside(address)) {
        return {CodeKind::inside, Step::other, {}};
    }
    const auto found = kernel_->find(address);
    const std::string symbol = found ? std::string(found->symbol.name) : std::string{};
    if (const auto step = steps_.find(address.raw); step != steps_.end()) {
        // The name the model knows, where the function has several.
        const auto named = jump::step_of_symbol(symbol);
        std::string name = symbol;
        if (named != step->second) {
            for (const jump::SymbolName& known : jump::info(step->second).symbols) {
                for (const Symbol& candidate : kernel_->symbols(known.name)) {
                    name = candidate.address == address ? std::string(known.name) : name;
                }
            }
        }
        return {CodeKind::step, step->second, name};
    }
    if (begins_with_any(symbol, kThunks)) {
        return {CodeKind::thunk, Step::other, symbol};
    }
    if (begins_with_any(symbol, kTransparent)) {
        return {CodeKind::transparent, Step::other, symbol};
    }
    if (begins_with_any(symbol, kHelpers)) {
        return {CodeKind::helper, Step::other, symbol};
    }
    return {CodeKind::unknown, Step::other, symbol};
}

std::string CodeMap::place(Gva address) const {
    const auto found = kernel_->find(address);
    return found ? std::string(found->symbol.name) + "+" + hex(found->offset.raw)
                 : hex(address.raw);
}

jump::StepSet left_out_steps(const Vmlinux& kernel) {
    jump::StepSet out;
    for (const jump::StepInfo& row : jump::all_steps()) {
        const bool there = std::any_of(
            row.symbols.begin(), row.symbols.end(),
            [&](const jump::SymbolName& name) { return !kernel.symbols(name.name).empty(); });
        if (!row.config.empty() && !there) {
            out.add(row.step);
        }
    }
    return out;
}

}  // namespace jumpback::sequence
