// SPDX-License-Identifier: GPL-2.0-or-later
//
// Is /dev/kvm of any use here? Decided by running guest code, because some hosts offer a device
// that opens, answers and makes virtual CPUs, and then emulates them instruction by instruction.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "model/address.h"

namespace jumpback {

enum class KvmOutcome : std::uint8_t {
    usable,
    too_slow,       // runs guest code, but slower than TCG would: an emulated /dev/kvm
    absent,         // no /dev/kvm
    no_permission,  // /dev/kvm is there, but not for this user
    broken,         // opens, but then fails, hangs or runs the guest wrongly
};
std::string_view to_string(KvmOutcome outcome);

struct KvmProbe {
    KvmOutcome outcome = KvmOutcome::absent;
    int api_version = 0;  // KVM_GET_API_VERSION; 12 since Linux 2.6.22; 0 if not asked
    double instructions_per_second = 0;   // of a counting loop in real mode; 0 if it never ran
    double exit_microseconds = 0;         // mean round trip of one port-I/O exit; 0 if not measured
    std::chrono::nanoseconds elapsed{0};  // wall time of the probe
    std::string line;                     // what will be used and why, for people

    [[nodiscard]] bool usable() const { return outcome == KvmOutcome::usable; }
};

// Guest instructions a second below which /dev/kvm counts as emulated. Measured with the probe's
// own loop: an emulating /dev/kvm 2 million; the slowest genuine one worth using (kvm_amd nested on
// QEMU's TCG, which still boots a kernel in seconds) well over 100 million; hardware over a
// billion. The line is drawn in the middle of that gap on a logarithmic scale: at 20 million a boot
// of about a billion instructions would already take 50 s, ten times what TCG needs.
inline constexpr double kKvmMinimumSpeed = 20e6;

// The system calls that the probe makes, so that tests can put another kernel underneath.
class KvmSystem {
  public:
    KvmSystem() = default;
    KvmSystem(const KvmSystem&) = delete;
    KvmSystem& operator=(const KvmSystem&) = delete;
    KvmSystem(KvmSystem&&) = delete;
    KvmSystem& operator=(KvmSystem&&) = delete;
    virtual ~KvmSystem() = default;

    // All as the system calls: negative on failure, with errno set.
    virtual int open_device(const char* path) = 0;
    virtual int control(int fd, unsigned long request, std::uintptr_t argument) = 0;
    virtual void* map(int fd, std::size_t length) = 0;  // nullptr on failure
    virtual void unmap(void* address, std::size_t length) = 0;
    virtual void close_fd(int fd) = 0;
    virtual std::chrono::nanoseconds now() = 0;  // monotonic
};

// Probes `device` in a child process, so that neither a hanging KVM_RUN nor a signal touches the
// caller; takes less than `limit` in every case.
KvmProbe kvm_probe(const char* device = "/dev/kvm",
                   std::chrono::milliseconds limit = std::chrono::milliseconds(450));

// The same in the calling process over `system`; `budget` bounds the measuring loops but not a
// system call that never returns.
KvmProbe kvm_probe_over(KvmSystem& system, const char* device, std::chrono::milliseconds budget);

// Runs kvm_probe_over() in a child process within `limit`; a child that does not answer is killed
// and the outcome is `broken`.
KvmProbe kvm_probe_isolated(KvmSystem& system, const char* device, std::chrono::milliseconds limit);

}  // namespace jumpback
