// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/unicorn/src/entry_stub.h"

#include <cstring>
#include <span>
#include <vector>

namespace jumpback::unicorn {

namespace {

// Behind the code in the same page: the operands of lgdt and of the far jump.
constexpr std::uint64_t kDescriptor = 0x80;
constexpr std::uint64_t kFarPointer = 0x90;

class Code {
  public:
    void add(std::initializer_list<unsigned> bytes) {
        for (const unsigned byte : bytes) {
            bytes_.push_back(static_cast<std::byte>(byte));
        }
    }
    void add32(std::uint64_t value) {
        for (unsigned shift = 0; shift < 32; shift += 8) {
            bytes_.push_back(static_cast<std::byte>(value >> shift));
        }
    }
    // A 32-bit displacement from behind itself.
    void add_relative(std::uint64_t target) { add32(target - (bytes_.size() + 4)); }
    [[nodiscard]] std::uint64_t size() const { return bytes_.size(); }
    [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

  private:
    std::vector<std::byte> bytes_;
};

template <typename T>
void put(std::byte* page, std::uint64_t offset, T value) {
    std::memcpy(page + offset, &value, sizeof(value));
}

void load_segments(Code& code, unsigned selector) {
    code.add({0xba});  // mov edx, selector
    code.add32(selector);
    code.add({0x8e, 0xda, 0x8e, 0xc2, 0x8e, 0xd2, 0x8e, 0xe2, 0x8e, 0xea});  // ds es ss fs gs
    code.add({0xf4});                                                        // hlt
}

}  // namespace

void write_entry_stub(std::byte* page, Gpa gpa, Arch arch, relocate::DescriptorTable gdt) {
    const bool wide = arch == Arch::x86_64;
    Code code;
    if (!wide) {
        // From paging on or off: off first, as CR4.PAE may only change then.
        code.add({0x89, 0xca, 0x81, 0xe2});  // mov edx, ecx; and edx, ~PG
        code.add32(0x7fffffff);
        code.add({0x0f, 0x22, 0xc2});  // mov cr0, edx
    }
    code.add({0x0f, 0x22, 0xe0});  // mov cr4, rax
    code.add({0x0f, 0x22, 0xdb});  // mov cr3, rbx
    code.add({0x0f, 0x22, 0xc1});  // mov cr0, rcx
    code.add({0x0f, 0x01, 0x15});  // lgdt [descriptor]
    wide ? code.add_relative(kDescriptor) : code.add32(gpa.raw + kDescriptor);
    if (wide) {
        code.add({0x48});
    }
    code.add({0xff, 0x2d});  // jmp far [pointer]
    wide ? code.add_relative(kFarPointer) : code.add32(gpa.raw + kFarPointer);
    const std::uint64_t target = gpa.raw + code.size();
    load_segments(code, wide ? 0x18 : 0x68);

    std::memcpy(page, code.bytes().data(), code.size());
    put(page, kDescriptor, gdt.limit);
    if (wide) {
        put(page, kDescriptor + 2, gdt.base);
        put(page, kFarPointer, target);
        put<std::uint16_t>(page, kFarPointer + 8, 0x10);
    } else {
        put(page, kDescriptor + 2, static_cast<std::uint32_t>(gdt.base));
        put(page, kFarPointer, static_cast<std::uint32_t>(target));
        put<std::uint16_t>(page, kFarPointer + 4, 0x60);
    }
}

}  // namespace jumpback::unicorn
