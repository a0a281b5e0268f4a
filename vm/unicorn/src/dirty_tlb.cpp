// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/unicorn/src/dirty_tlb.h"

#include <dlfcn.h>
#include <unicorn/unicorn.h>

#include <algorithm>

#include "model/address.h"

namespace jumpback::unicorn {

namespace {

thread_local std::span<const std::uint64_t> code_pages_of_run;
thread_local bool running = false;

// qemu/include/exec/exec-all.h: CPUState is opaque here, MemTxAttrs is a struct of 32 bits.
using SetPage = void (*)(void* cpu, std::uint64_t virt, std::uint64_t phys, std::uint32_t attrs,
                         int protection, int mmu_index, std::uint64_t size);
using SetDirty = void (*)(void* cpu, std::uint64_t virt);

struct QemuFunctions {
    SetPage set_page = nullptr;
    SetDirty set_dirty = nullptr;
};

const QemuFunctions& qemu() {
    static const QemuFunctions kFunctions = {
        reinterpret_cast<SetPage>(::dlsym(RTLD_NEXT, "tlb_set_page_with_attrs_x86_64")),
        reinterpret_cast<SetDirty>(::dlsym(RTLD_NEXT, "tlb_set_dirty_x86_64"))};
    return kFunctions;
}

// The layout of these functions is known for this series only.
bool is_known_version() {
    unsigned major = 0;
    unsigned minor = 0;
    uc_version(&major, &minor);
    return major == 2 && minor == 0;
}

}  // namespace

FastStores::FastStores(std::span<const std::uint64_t> code_pages) {
    code_pages_of_run = code_pages;
    running = possible();
}

FastStores::~FastStores() { running = false; }

bool FastStores::possible() {
    static const bool kPossible = is_known_version() && qemu().set_dirty != nullptr;
    return kPossible;
}

}  // namespace jumpback::unicorn

// Called by Unicorn's page walk (x86_cpu_tlb_fill) in place of its own function of this name.
extern "C" __attribute__((visibility("default"))) void tlb_set_page_with_attrs_x86_64(
    void* cpu, std::uint64_t virt, std::uint64_t phys, std::uint32_t attrs, int protection,
    int mmu_index, std::uint64_t size) {
    using namespace jumpback;
    unicorn::qemu().set_page(cpu, virt, phys, attrs, protection, mmu_index, size);
    if (!unicorn::running) {
        return;
    }
    const std::uint64_t page = phys & ~(kPageSize - 1);
    if (!std::binary_search(unicorn::code_pages_of_run.begin(), unicorn::code_pages_of_run.end(),
                            page)) {
        unicorn::qemu().set_dirty(cpu, virt);
    }
}
