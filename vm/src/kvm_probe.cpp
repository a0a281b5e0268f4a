// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/kvm_probe.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "kvm_guest.h"
#include "vm/byte_source.h"

namespace jumpback {
namespace {

using std::chrono::nanoseconds;

constexpr int kApiVersion = 12;                    // the only one since Linux 2.6.22
constexpr std::uint32_t kFirstIterations = 5'000;  // 5 ms on an emulating /dev/kvm
constexpr std::uint32_t kMostIterations = 100'000'000;
constexpr nanoseconds kLongEnough = std::chrono::milliseconds(20);  // for a figure within 5 %
constexpr std::uint32_t kExits = 100;
constexpr double kInstructionsPerIteration = 2;

class RealSystem : public KvmSystem {
  public:
    int open_device(const char* path) override { return ::open(path, O_RDWR | O_CLOEXEC); }
    int control(int fd, unsigned long request, std::uintptr_t argument) override {
        return ::ioctl(fd, request, argument);
    }
    void* map(int fd, std::size_t length) override {
        const int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
        void* address = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, flags, fd, 0);
        return address == MAP_FAILED ? nullptr : address;
    }
    void unmap(void* address, std::size_t length) override { ::munmap(address, length); }
    void close_fd(int fd) override { ::close(fd); }
    nanoseconds now() override { return std::chrono::steady_clock::now().time_since_epoch(); }
};

template <typename... Values>
std::string format(const char* pattern, Values... values) {
    std::array<char, 320> text{};
    std::snprintf(text.data(), text.size(), pattern, values...);
    return text.data();
}

KvmProbe verdict(KvmProbe probe, KvmOutcome outcome, std::string line) {
    probe.outcome = outcome;
    probe.line = std::move(line);
    return probe;
}

KvmProbe could_not_open(const char* device, int error) {
    if (error == ENOENT || error == ENXIO || error == ENODEV || error == ENOTDIR) {
        return verdict({}, KvmOutcome::absent,
                       format("TCG: there is no %s on this machine", device));
    }
    if (error == EACCES || error == EPERM) {
        return verdict({}, KvmOutcome::no_permission,
                       format("TCG: %s is not open to this user; join its group (mostly 'kvm') to "
                              "run machines under KVM",
                              device));
    }
    return verdict({}, KvmOutcome::broken,
                   format("TCG: %s cannot be opened: %s", device, errno_text(error).c_str()));
}

KvmProbe broken(KvmProbe probe, const char* device, const std::string& why) {
    return verdict(std::move(probe), KvmOutcome::broken,
                   format("TCG: %s does not work: %s", device, why.c_str()));
}

// Grows the loop until it takes long enough to be timed, or the budget is half used.
Status measure_speed(KvmSystem& system, KvmGuest& guest, nanoseconds deadline, KvmProbe& probe) {
    for (std::uint32_t iterations = kFirstIterations;;) {
        const auto elapsed = guest.count_down(iterations);
        if (!elapsed) {
            return elapsed.error();
        }
        const double seconds = std::max(std::chrono::duration<double>(*elapsed).count(), 1e-9);
        probe.instructions_per_second = kInstructionsPerIteration * iterations / seconds;
        if (*elapsed >= kLongEnough || iterations >= kMostIterations) {
            return success();
        }
        // Aim a little above long enough; at most tenfold, as a short run says little.
        const double factor =
            std::min(10.0, 1.3 * std::chrono::duration<double>(kLongEnough).count() / seconds);
        const auto expected = nanoseconds(static_cast<std::int64_t>(seconds * factor * 1e9));
        if (system.now() + expected * 2 > deadline) {
            return success();
        }
        iterations =
            static_cast<std::uint32_t>(std::min<double>(kMostIterations, iterations * factor + 1));
    }
}

}  // namespace

std::string_view to_string(KvmOutcome outcome) {
    switch (outcome) {
        case KvmOutcome::usable:
            return "usable";
        case KvmOutcome::too_slow:
            return "too slow";
        case KvmOutcome::absent:
            return "absent";
        case KvmOutcome::no_permission:
            return "no permission";
        case KvmOutcome::broken:
            return "broken";
    }
    return "unknown";
}

KvmProbe kvm_probe_over(KvmSystem& system, const char* device, std::chrono::milliseconds budget) {
    const nanoseconds start = system.now();
    const int kvm = system.open_device(device);
    if (kvm < 0) {
        return could_not_open(device, errno);
    }
    KvmProbe probe;
    const auto measured = [&]() -> Status {
        probe.api_version = system.control(kvm, KVM_GET_API_VERSION, 0);
        if (probe.api_version != kApiVersion) {
            return Error{"KVM_GET_API_VERSION", "gave " + std::to_string(probe.api_version) +
                                                    "; expected " + std::to_string(kApiVersion)};
        }
        KvmGuest guest(system);
        if (const Status status = guest.create(kvm); !status) {
            return status.error();
        }
        if (const Status status = measure_speed(system, guest, start + budget, probe); !status) {
            return status.error();
        }
        const auto elapsed = guest.exit_loop(kExits);
        if (!elapsed) {
            return elapsed.error();
        }
        probe.exit_microseconds =
            std::chrono::duration<double, std::micro>(*elapsed).count() / kExits;
        return success();
    }();
    system.close_fd(kvm);
    probe.elapsed = system.now() - start;
    if (!measured) {
        return broken(std::move(probe), device, measured.error().message());
    }
    const double millions = probe.instructions_per_second / 1e6;
    const double exit_us = probe.exit_microseconds;
    if (probe.instructions_per_second < kKvmMinimumSpeed) {
        return verdict(std::move(probe), KvmOutcome::too_slow,
                       format("TCG: %s only emulates: %.1f million guest instructions a second, "
                              "%.1f us a port exit; KVM is used from %.0f million on",
                              device, millions, exit_us, kKvmMinimumSpeed / 1e6));
    }
    return verdict(std::move(probe), KvmOutcome::usable,
                   format("KVM: %s runs %.0f million guest instructions a second, %.1f us a port "
                          "exit",
                          device, millions, exit_us));
}

KvmProbe kvm_probe(const char* device, std::chrono::milliseconds limit) {
    RealSystem system;
    return kvm_probe_isolated(system, device, limit);
}

}  // namespace jumpback
