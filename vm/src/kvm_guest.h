// SPDX-License-Identifier: GPL-2.0-or-later
//
// The probe's guest: one page of real-mode code on one vCPU.
#pragma once

#include <linux/kvm.h>

#include <chrono>
#include <cstdint>

#include "model/result.h"
#include "vm/kvm_probe.h"

namespace jumpback {

class KvmGuest {
  public:
    explicit KvmGuest(KvmSystem& system) : system_(system) {}
    KvmGuest(const KvmGuest&) = delete;
    KvmGuest& operator=(const KvmGuest&) = delete;
    KvmGuest(KvmGuest&&) = delete;
    KvmGuest& operator=(KvmGuest&&) = delete;
    ~KvmGuest();

    // Creates VM, memory, vCPU; `kvm` is the opened device and stays the caller's.
    Status create(int kvm);
    // Counts `iterations` down to zero and stops. Returns the wall time; each iteration is two
    // instructions. Error if the guest ended otherwise or with a wrong count.
    Result<std::chrono::nanoseconds> count_down(std::uint32_t iterations);
    // Makes `exits` port-I/O exits; returns the wall time.
    Result<std::chrono::nanoseconds> exit_loop(std::uint32_t exits);

  private:
    Status start_at(std::uint64_t rip, std::uint32_t count);
    // Enters the guest until it leaves with `expected`.
    Status run_until(std::uint32_t expected, const char* doing);
    // Fails unless ECX is zero.
    Status check_counted(const char* doing);

    KvmSystem& system_;
    int vm_ = -1;
    int vcpu_ = -1;
    std::uint8_t* memory_ = nullptr;
    kvm_run* run_ = nullptr;
    std::size_t run_size_ = 0;
};

}  // namespace jumpback
