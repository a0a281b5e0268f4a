// SPDX-License-Identifier: GPL-2.0-or-later
//
// Why stores of the guest are fast.
//
// In Unicorn 2.0 every page of RAM is "not dirty" for good (cpu_physical_memory_is_clean in
// qemu/include/exec/ram_addr.h is the constant true), so each store leaves the translated code, to
// look for translated code on the page that it would overwrite: about 60 to 90 ns, where the copy
// loop itself takes 4. QEMU has the function for pages that need no such look, tlb_set_dirty;
// Unicorn just never calls it. This file puts itself between the page walk and
// tlb_set_page_with_attrs (both symbols are dynamic, so the definition here comes first) and calls
// it for pages that Unicorn was told not to execute: no translated code can stand there. The
// guest's instructions run as before, each load and each store.
//
// Where the symbols cannot be had (another build of Unicorn), all runs the slow way.
#pragma once

#include <cstdint>
#include <span>

namespace jumpback::unicorn {

// While an object lives, stores of an engine that runs on this thread to pages outside
// `code_pages` (addresses of whole pages, sorted) go straight to RAM.
class FastStores {
  public:
    explicit FastStores(std::span<const std::uint64_t> code_pages);
    FastStores(const FastStores&) = delete;
    FastStores& operator=(const FastStores&) = delete;
    FastStores(FastStores&&) = delete;
    FastStores& operator=(FastStores&&) = delete;
    ~FastStores();

    // Whether this build of Unicorn goes along.
    static bool possible();
};

}  // namespace jumpback::unicorn
