// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/kernel_memory.h"

#include <algorithm>

#include "model/memory/text.h"

namespace jumpback::memory {

Result<Gpa> KernelMemory::physical(Gva gva) const {
    const std::uint64_t page = gva.raw >> kPageShift;
    if (page != cached_page_) {
        const Result<Translation> walked = tables_.translate(Gva{page << kPageShift});
        if (!walked) {
            return walked.error();
        }
        cached_page_ = page;
        cached_gpa_ = walked->gpa.raw;
    }
    return Gpa{cached_gpa_ + (gva.raw & (kPageSize - 1))};
}

Status KernelMemory::read(Gva gva, std::span<std::byte> out) const {
    std::size_t done = 0;
    while (done < out.size()) {
        const Gva at{gva.raw + done};
        const Result<Gpa> gpa = physical(at);
        if (!gpa) {
            return gpa.error();
        }
        const std::uint64_t left = kPageSize - (at.raw & (kPageSize - 1));
        const std::size_t take = std::min<std::uint64_t>(out.size() - done, left);
        const Status status = ram_->read(*gpa, out.subspan(done, take));
        if (!status) {
            return Error{"GVA " + hex(at.raw), status.error().message()};
        }
        done += take;
    }
    return success();
}

Result<std::uint64_t> KernelMemory::word(Gva gva) const {
    std::uint64_t value = 0;  // little endian: the low bytes come first
    const Status status =
        read(gva, std::as_writable_bytes(std::span(&value, 1)).first(word_size()));
    if (!status) {
        return status.error();
    }
    return value;
}

Result<std::uint32_t> KernelMemory::u32(Gva gva) const {
    std::uint32_t value = 0;
    const Status status = read(gva, std::as_writable_bytes(std::span(&value, 1)));
    if (!status) {
        return status.error();
    }
    return value;
}

std::optional<Gva> KernelMemory::find_symbol(std::string_view name) const {
    const auto found = symbols_->find(name);
    if (found == symbols_->end()) {
        return std::nullopt;
    }
    return Gva{found->second};
}

Result<Gva> KernelMemory::symbol(std::string_view name) const {
    const std::optional<Gva> found = find_symbol(name);
    if (!found) {
        return Error{"symbol " + std::string(name),
                     "is not in the kernel's symbol table: the vmlinux of the kernel under test "
                     "with its full symbol table is needed"};
    }
    return *found;
}

Result<std::uint64_t> KernelMemory::word_at_symbol(std::string_view name) const {
    const Result<Gva> at = symbol(name);
    if (!at) {
        return at.error();
    }
    Result<std::uint64_t> value = word(*at);
    if (!value) {
        return Error{"variable " + std::string(name), value.error().message()};
    }
    return value;
}

Result<std::uint32_t> KernelMemory::u32_at_symbol(std::string_view name) const {
    const Result<Gva> at = symbol(name);
    if (!at) {
        return at.error();
    }
    Result<std::uint32_t> value = u32(*at);
    if (!value) {
        return Error{"variable " + std::string(name), value.error().message()};
    }
    return value;
}

std::optional<std::string> KernelMemory::text(Gva gva, std::size_t limit) const {
    std::string out;
    while (out.size() < limit) {
        std::byte one{};
        if (!read(Gva{gva.raw + out.size()}, std::span(&one, 1)).ok()) {
            return std::nullopt;
        }
        if (one == std::byte{0}) {
            return out;
        }
        out.push_back(std::to_integer<char>(one));
    }
    return std::nullopt;
}

}  // namespace jumpback::memory
