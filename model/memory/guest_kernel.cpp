// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/guest_kernel.h"

#include <algorithm>

#include "model/memory/text.h"

namespace jumpback::memory {
namespace {

// Where the direct mapping starts unless CONFIG_DYNAMIC_MEMORY_LAYOUT makes it a variable
// (arch/x86/include/asm/page_64_types.h).
constexpr std::uint64_t kPageOffsetLevel4 = 0xffff'8880'0000'0000;
constexpr std::uint64_t kPageOffsetLevel5 = 0xff11'0000'0000'0000;

}  // namespace

Result<std::unique_ptr<GuestKernel>> GuestKernel::open(const GuestRam& ram, Symbols symbols,
                                                       Arch arch, PagingMode mode,
                                                       std::uint64_t cr3) {
    std::unique_ptr<GuestKernel> kernel(
        new GuestKernel(ram, std::move(symbols), arch, mode, cr3));  // private: no make_unique
    const bool wide = mode == PagingMode::kX86_64Level4 || mode == PagingMode::kX86_64Level5;
    if (mode == PagingMode::kNone || wide != (arch == Arch::kX86_64)) {
        return Error{"control registers", "paging mode \"" + std::string(name_of(mode)) +
                                              "\" does not fit the architecture: capture taken "
                                              "before the kernel set up its page tables?"};
    }
    const Status status = kernel->load();
    if (!status) {
        return status.error();
    }
    return kernel;
}

Status GuestKernel::load() {
    Result<Vmcoreinfo> info = Vmcoreinfo::find(memory_);
    if (!info) {
        return info.error();
    }
    info_ = std::move(info).value();
    Result<FrameTable> frames = FrameTable::create(memory_, info_);
    if (!frames) {
        return frames.error();
    }
    frames_ = std::make_unique<FrameTable>(std::move(frames).value());
    const Result<PageTypes> types = PageTypes::create(info_);
    if (!types) {
        return types.error();
    }
    types_ = *types;
    Result<std::vector<Zone>> zones = populated_zones(memory_, info_);
    if (!zones) {
        return zones.error();
    }
    zones_ = std::move(zones).value();
    for (const Zone& zone : zones_) {
        end_ = std::max(end_, zone.end());
    }
    return find_direct_map();
}

Status GuestKernel::find_direct_map() {
    const Result<Gva> text = memory_.symbol("_stext");
    if (!text) {
        return text.error();
    }
    const Result<Gpa> text_gpa = memory_.physical(*text);
    if (!text_gpa) {
        return text_gpa.error();
    }
    if (memory_.arch() == Arch::kI386) {
        page_offset_ = text->raw - text_gpa->raw;  // the kernel runs in its direct mapping
    } else if (memory_.find_symbol("page_offset_base")) {
        const Result<std::uint64_t> base = memory_.word_at_symbol("page_offset_base");
        if (!base) {
            return base.error();
        }
        page_offset_ = *base;
    } else {
        page_offset_ = init_tables_.mode() == PagingMode::kX86_64Level5 ? kPageOffsetLevel5
                                                                        : kPageOffsetLevel4;
    }
    const char* name = memory_.arch() == Arch::kX86_64 ? "init_top_pgt" : "swapper_pg_dir";
    const Result<Gva> top = memory_.symbol(name);
    if (!top) {
        return top.error();
    }
    const Result<Gpa> top_gpa = memory_.physical(*top);
    if (!top_gpa) {
        return top_gpa.error();
    }
    init_tables_ = PageTables(memory_.ram(), init_tables_.mode(), top_gpa->raw);

    // Everything stands on PG_reserved's bit: prove it where it must be set.
    const Result<PageStruct> page = frames_->page(pfn_of(*text_gpa));
    if (!page) {
        return page.error();
    }
    if (!types_.reserved(*page)) {
        return Error{
            "struct page of the kernel's text (frame " + hex(text_gpa->raw >> kPageShift) + ")",
            "flags " + hex(page->flags) + " have no PG_reserved (bit " +
                std::to_string(types_.reserved_bit()) +
                "): vmlinux and capture belong to different kernels, or a new layout"};
    }
    return success();
}

bool GuestKernel::present_in_direct_map(Pfn pfn) const {
    return init_tables_.translate(Gva{page_offset_ + gpa_of(pfn).raw}).ok();
}

}  // namespace jumpback::memory
