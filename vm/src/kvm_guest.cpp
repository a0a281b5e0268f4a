// SPDX-License-Identifier: GPL-2.0-or-later
#include "kvm_guest.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include "vm/byte_source.h"

namespace jumpback {
namespace {

constexpr std::size_t kMemorySize = 0x1000;  // bytes, one page
constexpr std::uint64_t kCountEntry = 0x0;   // offsets into the page
constexpr std::uint64_t kExitEntry = 0x10;
constexpr std::uint64_t kGuestBase = 0x1000;  // guest physical address of the page
// Port 0x80, the POST code port: written to by firmware, decoded by nothing.
constexpr std::array<std::uint8_t, 5> kCountCode = {
    0x66, 0x49,  // 0x00: dec ecx
    0x75, 0xfc,  // 0x02: jnz 0x00
    0xf4,        // 0x04: hlt
};
constexpr std::array<std::uint8_t, 7> kExitCode = {
    0xe6, 0x80,  // 0x10: out 0x80, al
    0x66, 0x49,  // 0x12: dec ecx
    0x75, 0xfa,  // 0x14: jnz 0x10
    0xf4,        // 0x16: hlt
};

std::uintptr_t address_of(void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

Error failed(const char* call) { return Error{call, "failed: " + errno_text(errno)}; }

}  // namespace

KvmGuest::~KvmGuest() {
    if (run_ != nullptr) {
        system_.unmap(run_, run_size_);
    }
    if (vcpu_ >= 0) {
        system_.close_fd(vcpu_);
    }
    if (vm_ >= 0) {
        system_.close_fd(vm_);
    }
    if (memory_ != nullptr) {
        system_.unmap(memory_, kMemorySize);
    }
}

Status KvmGuest::create(int kvm) {
    vm_ = system_.control(kvm, KVM_CREATE_VM, 0);
    if (vm_ < 0) {
        return failed("KVM_CREATE_VM");
    }
    memory_ = static_cast<std::uint8_t*>(system_.map(-1, kMemorySize));
    if (memory_ == nullptr) {
        return failed("mmap of guest memory");
    }
    std::copy(kCountCode.begin(), kCountCode.end(), memory_ + kCountEntry);
    std::copy(kExitCode.begin(), kExitCode.end(), memory_ + kExitEntry);
    kvm_userspace_memory_region region{};
    region.guest_phys_addr = kGuestBase;
    region.memory_size = kMemorySize;
    region.userspace_addr = address_of(memory_);
    if (system_.control(vm_, KVM_SET_USER_MEMORY_REGION, address_of(&region)) < 0) {
        return failed("KVM_SET_USER_MEMORY_REGION");
    }
    vcpu_ = system_.control(vm_, KVM_CREATE_VCPU, 0);
    if (vcpu_ < 0) {
        return failed("KVM_CREATE_VCPU");
    }
    const int size = system_.control(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < static_cast<int>(sizeof(kvm_run))) {
        return Error{"KVM_GET_VCPU_MMAP_SIZE", "gave " + std::to_string(size) +
                                                   " bytes; expected at least " +
                                                   std::to_string(sizeof(kvm_run))};
    }
    run_size_ = static_cast<std::size_t>(size);
    run_ = static_cast<kvm_run*>(system_.map(vcpu_, run_size_));
    if (run_ == nullptr) {
        return failed("mmap of the vCPU");
    }
    kvm_sregs sregs{};
    if (system_.control(vcpu_, KVM_GET_SREGS, address_of(&sregs)) < 0) {
        return failed("KVM_GET_SREGS");
    }
    sregs.cs.base = 0;  // out of reset it points at the firmware
    sregs.cs.selector = 0;
    if (system_.control(vcpu_, KVM_SET_SREGS, address_of(&sregs)) < 0) {
        return failed("KVM_SET_SREGS");
    }
    return success();
}

Status KvmGuest::start_at(std::uint64_t rip, std::uint32_t count) {
    kvm_regs regs{};
    regs.rip = rip;
    regs.rcx = count;
    regs.rflags = 0x2;  // bit 1 is always set
    if (system_.control(vcpu_, KVM_SET_REGS, address_of(&regs)) < 0) {
        return failed("KVM_SET_REGS");
    }
    return success();
}

Status KvmGuest::run_until(std::uint32_t expected, const char* doing) {
    if (system_.control(vcpu_, KVM_RUN, 0) < 0) {
        if (errno == EINTR) {
            return Error{doing, "did not end in time"};
        }
        return failed("KVM_RUN");
    }
    if (run_->exit_reason != expected) {
        return Error{doing, "left the guest with exit reason " + std::to_string(run_->exit_reason) +
                                "; expected " + std::to_string(expected)};
    }
    return success();
}

Status KvmGuest::check_counted(const char* doing) {
    kvm_regs regs{};
    if (system_.control(vcpu_, KVM_GET_REGS, address_of(&regs)) < 0) {
        return failed("KVM_GET_REGS");
    }
    if ((regs.rcx & 0xffffffffU) != 0) {
        return Error{doing, "ended with ECX = " + std::to_string(regs.rcx) + "; expected 0"};
    }
    return success();
}

Result<std::chrono::nanoseconds> KvmGuest::count_down(std::uint32_t iterations) {
    constexpr const char* kDoing = "the counting loop";
    if (const Status status = start_at(kGuestBase + kCountEntry, iterations); !status) {
        return status.error();
    }
    const auto start = system_.now();
    if (const Status status = run_until(KVM_EXIT_HLT, kDoing); !status) {
        return status.error();
    }
    const auto elapsed = system_.now() - start;
    if (const Status status = check_counted(kDoing); !status) {
        return status.error();
    }
    return elapsed;
}

Result<std::chrono::nanoseconds> KvmGuest::exit_loop(std::uint32_t exits) {
    constexpr const char* kDoing = "the port-I/O loop";
    if (const Status status = start_at(kGuestBase + kExitEntry, exits); !status) {
        return status.error();
    }
    const auto start = system_.now();
    for (std::uint32_t i = 0; i < exits; ++i) {
        if (const Status status = run_until(KVM_EXIT_IO, kDoing); !status) {
            return status.error();
        }
    }
    const auto elapsed = system_.now() - start;
    if (const Status status = run_until(KVM_EXIT_HLT, kDoing); !status) {
        return status.error();
    }
    if (const Status status = check_counted(kDoing); !status) {
        return status.error();
    }
    return elapsed;
}

}  // namespace jumpback
