// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/kvm_probe.h"

#include <gtest/gtest.h>
#include <linux/kvm.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <functional>
#include <map>
#include <thread>

namespace jumpback {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// A /dev/kvm whose guest runs the probe's two loops by arithmetic, on a clock of its own.
class FakeKvm : public KvmSystem {
  public:
    int open_errno = 0;
    int api = 12;
    unsigned long failing_request = 0;
    int failing_errno = EINVAL;
    double nanoseconds_per_instruction = 0.5;
    nanoseconds exit_cost{1500};
    bool wrong_count = false;
    std::uint32_t halt_reason = KVM_EXIT_HLT;
    std::function<void()> on_run = [] {};
    int open_fds = 0;
    int maps = 0;

    int open_device(const char*) override { return result(open_errno, kKvm); }
    void close_fd(int) override { --open_fds; }
    void* map(int fd, std::size_t length) override {
        ++maps;
        void* memory = std::calloc(1, length);  // NOLINT(cppcoreguidelines-no-malloc)
        if (fd == kVcpu) {
            run_ = static_cast<kvm_run*>(memory);
        }
        return memory;
    }
    void unmap(void* address, std::size_t) override {
        --maps;
        std::free(address);  // NOLINT(cppcoreguidelines-no-malloc)
    }
    nanoseconds now() override { return now_; }

    int control(int, unsigned long request, std::uintptr_t argument) override {
        if (request == failing_request) {
            errno = failing_errno;
            return -1;
        }
        // As the kernel does: the argument is an address for some requests.
        auto* regs = reinterpret_cast<kvm_regs*>(argument);  // NOLINT(performance-no-int-to-ptr)
        switch (request) {
            case KVM_GET_API_VERSION:
                return api;
            case KVM_CREATE_VM:
                return result(0, kVm);
            case KVM_CREATE_VCPU:
                return result(0, kVcpu);
            case KVM_GET_VCPU_MMAP_SIZE:
                return 4096 * 3;
            case KVM_SET_REGS:
                counting_ = (regs->rip & 0xf0U) == 0;
                count_ = regs->rcx;
                return 0;
            case KVM_GET_REGS:
                regs->rcx = wrong_count ? 1 : count_;
                return 0;
            case KVM_RUN:
                return run();
            default:
                return 0;
        }
    }

  private:
    static constexpr int kKvm = 100;
    static constexpr int kVm = 101;
    static constexpr int kVcpu = 102;

    int result(int error, int fd) {
        if (error != 0) {
            errno = error;
            return -1;
        }
        ++open_fds;
        return fd;
    }
    int run() {
        on_run();
        if (!counting_ && count_ != 0) {
            --count_;
            now_ += exit_cost;
            run_->exit_reason = KVM_EXIT_IO;
            return 0;
        }
        now_ += nanoseconds(static_cast<std::int64_t>(2.0 * static_cast<double>(count_) *
                                                      nanoseconds_per_instruction));
        count_ = 0;
        run_->exit_reason = halt_reason;
        return 0;
    }
    nanoseconds now_{1'000'000};
    kvm_run* run_ = nullptr;
    bool counting_ = true;
    std::uint64_t count_ = 0;
};

class KvmProbeTest : public ::testing::Test {
  protected:
    KvmProbe probe() { return kvm_probe_over(kvm_, "/dev/fake", milliseconds(200)); }
    void expect_line(const KvmProbe& probe, const std::string& part) {
        EXPECT_NE(probe.line.find(part), std::string::npos) << probe.line;
        EXPECT_EQ(probe.line.find('\n'), std::string::npos) << "one line";
        EXPECT_EQ(probe.line.substr(0, 5), probe.usable() ? "KVM: " : "TCG: ");
    }
    void TearDown() override {
        EXPECT_EQ(kvm_.open_fds, 0) << "every descriptor is closed";
        EXPECT_EQ(kvm_.maps, 0) << "every mapping is undone";
    }
    FakeKvm kvm_;
};

TEST_F(KvmProbeTest, FastDeviceIsUsable) {
    const KvmProbe probe = this->probe();
    EXPECT_EQ(probe.outcome, KvmOutcome::usable);
    EXPECT_NEAR(probe.instructions_per_second, 2e9, 2e7);
    EXPECT_NEAR(probe.exit_microseconds, 1.5, 0.01);
    EXPECT_EQ(probe.api_version, 12);
    expect_line(probe, "2000 million guest instructions");
    EXPECT_LT(probe.elapsed, milliseconds(200));
}

TEST_F(KvmProbeTest, EmulatingDeviceIsTooSlow) {
    kvm_.nanoseconds_per_instruction = 500;
    kvm_.exit_cost = nanoseconds(24'000);
    const KvmProbe probe = this->probe();
    EXPECT_EQ(probe.outcome, KvmOutcome::too_slow);
    EXPECT_NEAR(probe.instructions_per_second, 2e6, 2e4);
    expect_line(probe, "only emulates: 2.0 million");
    EXPECT_LT(probe.elapsed, milliseconds(200));
}

TEST_F(KvmProbeTest, ThresholdDecides) {
    kvm_.nanoseconds_per_instruction = 1e9 / (kKvmMinimumSpeed * 1.02);
    EXPECT_EQ(probe().outcome, KvmOutcome::usable);
    kvm_.nanoseconds_per_instruction = 1e9 / (kKvmMinimumSpeed * 0.98);
    EXPECT_EQ(probe().outcome, KvmOutcome::too_slow);
}

TEST_F(KvmProbeTest, OpenErrorsAreToldApart) {
    const std::map<int, KvmOutcome> expected = {{ENOENT, KvmOutcome::absent},
                                                {ENODEV, KvmOutcome::absent},
                                                {EACCES, KvmOutcome::no_permission},
                                                {EPERM, KvmOutcome::no_permission},
                                                {EIO, KvmOutcome::broken}};
    for (const auto& [error, outcome] : expected) {
        kvm_.open_errno = error;
        const KvmProbe probe = this->probe();
        EXPECT_EQ(probe.outcome, outcome) << error;
        expect_line(probe, "/dev/fake");
    }
}

TEST_F(KvmProbeTest, EveryFailingCallIsNamed) {
    const std::map<unsigned long, std::string> calls = {
        {KVM_CREATE_VM, "KVM_CREATE_VM"},
        {KVM_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION"},
        {KVM_CREATE_VCPU, "KVM_CREATE_VCPU"},
        {KVM_GET_VCPU_MMAP_SIZE, "KVM_GET_VCPU_MMAP_SIZE"},
        {KVM_GET_SREGS, "KVM_GET_SREGS"},
        {KVM_SET_SREGS, "KVM_SET_SREGS"},
        {KVM_SET_REGS, "KVM_SET_REGS"},
        {KVM_RUN, "KVM_RUN"},
        {KVM_GET_REGS, "KVM_GET_REGS"},
    };
    for (const auto& [request, name] : calls) {
        kvm_.failing_request = request;
        const KvmProbe probe = this->probe();
        EXPECT_EQ(probe.outcome, KvmOutcome::broken) << name;
        expect_line(probe, name);
    }
    kvm_.failing_request = KVM_GET_API_VERSION;
    expect_line(probe(), "expected 12");
}

TEST_F(KvmProbeTest, WrongBehaviourIsBroken) {
    kvm_.api = 11;
    expect_line(probe(), "expected 12");
    kvm_.api = 12;
    kvm_.wrong_count = true;
    KvmProbe probe = this->probe();
    EXPECT_EQ(probe.outcome, KvmOutcome::broken);
    expect_line(probe, "ECX = 1; expected 0");
    kvm_.wrong_count = false;
    kvm_.halt_reason = KVM_EXIT_INTERNAL_ERROR;
    expect_line(this->probe(), "exit reason 17");
    kvm_.failing_request = KVM_RUN;
    kvm_.failing_errno = EINTR;
    expect_line(this->probe(), "did not end in time");
}

TEST_F(KvmProbeTest, ChildProcessGivesTheSameAnswer) {
    const KvmProbe probe = kvm_probe_isolated(kvm_, "/dev/fake", milliseconds(400));
    EXPECT_EQ(probe.outcome, KvmOutcome::usable);
    EXPECT_NEAR(probe.instructions_per_second, 2e9, 2e7);
    EXPECT_NEAR(probe.exit_microseconds, 1.5, 0.01);
    expect_line(probe, "2000 million");
}

TEST_F(KvmProbeTest, GuestThatNeverReturnsIsKilledInTime) {
    kvm_.on_run = [] {
        for (;;) {
            std::this_thread::sleep_for(std::chrono::seconds(1));  // restarts after signals
        }
    };
    const auto start = std::chrono::steady_clock::now();
    const KvmProbe probe = kvm_probe_isolated(kvm_, "/dev/fake", milliseconds(200));
    EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(450));
    EXPECT_EQ(probe.outcome, KvmOutcome::broken);
    expect_line(probe, "did not come back within 200 ms");
}

TEST_F(KvmProbeTest, GuestInterruptedByTheTimerIsBroken) {
    // As KVM_RUN does with an endless guest: sleeps until a signal, then reports EINTR.
    kvm_.on_run = [this] {
        ::pause();
        kvm_.halt_reason = KVM_EXIT_INTR;
    };
    const KvmProbe probe = kvm_probe_isolated(kvm_, "/dev/fake", milliseconds(200));
    EXPECT_EQ(probe.outcome, KvmOutcome::broken);
    expect_line(probe, "exit reason 10");
}

TEST_F(KvmProbeTest, CrashOfTheChildIsAnAnswer) {
    kvm_.on_run = [] { ::_exit(3); };
    const KvmProbe probe = kvm_probe_isolated(kvm_, "/dev/fake", milliseconds(200));
    EXPECT_EQ(probe.outcome, KvmOutcome::broken);
}

TEST(KvmProbeReal, MissingDevice) {
    EXPECT_EQ(kvm_probe("/dev/no-such-kvm").outcome, KvmOutcome::absent);
    EXPECT_EQ(kvm_probe("/dev/null").outcome, KvmOutcome::broken);
}

TEST(KvmProbeReal, AnswersWithinHalfASecond) {
    if (::access("/dev/kvm", F_OK) != 0) {
        GTEST_SKIP() << "no /dev/kvm on this machine";
    }
    const auto start = std::chrono::steady_clock::now();
    const KvmProbe probe = kvm_probe();
    EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(500));
    RecordProperty("verdict", probe.line);
    std::cout << probe.line << "\n";
    EXPECT_NE(probe.outcome, KvmOutcome::absent);
    if (probe.outcome == KvmOutcome::usable || probe.outcome == KvmOutcome::too_slow) {
        EXPECT_EQ(probe.usable(), probe.instructions_per_second >= kKvmMinimumSpeed);
        EXPECT_GT(probe.exit_microseconds, 0);
    }
}

}  // namespace
}  // namespace jumpback
