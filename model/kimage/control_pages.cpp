// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/kimage/control_pages.h"

#include "model/kimage/builder.h"

namespace jumpback::kimage {

std::optional<Gpa> ControlPages::find(unsigned order, std::vector<Pfn>& rejected) {
    const std::uint64_t count = std::uint64_t{1} << order;
    while (const std::optional<Pfn> first = frames_.next({order, false})) {
        ++taken_;
        if (first->raw + count < limit_pfn_ && !in_range_(gpa_of(*first).raw, count * kPageSize)) {
            return gpa_of(*first);
        }
        rejected.push_back(*first);
    }
    return std::nullopt;
}

void ControlPages::release(const std::vector<Pfn>& rejected, unsigned order) {
    for (auto pfn = rejected.rbegin(); pfn != rejected.rend(); ++pfn) {
        frames_.release(*pfn, order);
    }
}

std::optional<Gpa> ControlPages::take(unsigned order) {
    std::vector<Pfn> rejected;
    const std::optional<Gpa> found = find(order, rejected);
    release(rejected, order);
    return found;
}

bool ControlPages::take_many(std::uint64_t count, std::vector<Gpa>& pages) {
    std::vector<Pfn> rejected;
    std::uint64_t left = count;
    for (; left > 0; --left) {
        const std::optional<Gpa> found = find(0, rejected);
        if (!found) {
            break;
        }
        pages.push_back(*found);
    }
    release(rejected, 0);
    return left == 0;
}

bool ControlPages::take_all(const BuildPlan& plan, Kimage& image, std::string& text) {
    image.control_order = plan.rules->control_order;
    image.control_code_page = take(image.control_order);
    if (!image.control_code_page) {
        text = "no frames for the control code page outside all destinations";
        return false;
    }
    if (plan.swap_page) {
        image.swap_page = take(0);
        if (!image.swap_page) {
            text = "no frame for the swap page outside all destinations";
            return false;
        }
    }
    const bool has_tables = plan.rules->tables_are_control && plan.page_tables != nullptr;
    const std::uint64_t tables = has_tables ? plan.page_tables(plan.segments) : 0;
    for (std::uint64_t at = 0; at < tables; ++at) {
        const std::optional<Gpa> page = take(0);
        if (!page) {
            text = "no frame for page table " + std::to_string(at) + " outside all destinations";
            return false;
        }
        image.page_tables.push_back(*page);
    }
    return true;
}

}  // namespace jumpback::kimage
