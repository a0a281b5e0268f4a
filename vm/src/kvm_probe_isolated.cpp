// SPDX-License-Identifier: GPL-2.0-or-later
//
// The probe in a child process. A KVM_RUN that never returns cannot be ended from its own thread,
// and a timer signal would be the whole process's; a child has a timer of its own and can be
// killed.
#include <fcntl.h>
#include <poll.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "vm/byte_source.h"
#include "vm/kvm_probe.h"
#include "vm/unique_fd.h"

namespace jumpback {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// What goes through the pipe; less than PIPE_BUF, so written and read whole.
struct Message {
    KvmOutcome outcome = KvmOutcome::broken;
    int api_version = 0;
    double instructions_per_second = 0;
    double exit_microseconds = 0;
    std::array<char, 480> line{};
};

void on_alarm(int) {}  // its only work is to make KVM_RUN return with EINTR

[[noreturn]] void run_child(KvmSystem& system, const char* device, milliseconds limit, int pipe) {
    struct sigaction action {};
    action.sa_handler = on_alarm;  // without SA_RESTART
    ::sigaction(SIGALRM, &action, nullptr);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGALRM);
    ::sigprocmask(SIG_UNBLOCK, &mask, nullptr);
    // Three quarters of the limit, and again every 20 ms in case the first meets no KVM_RUN.
    itimerval timer{};
    timer.it_value.tv_usec = static_cast<suseconds_t>(limit.count() * 750 % 1'000'000);
    timer.it_value.tv_sec = static_cast<time_t>(limit.count() * 750 / 1'000'000);
    timer.it_interval.tv_usec = 20'000;
    ::setitimer(ITIMER_REAL, &timer, nullptr);

    const KvmProbe probe = kvm_probe_over(system, device, limit / 2);
    Message message;
    message.outcome = probe.outcome;
    message.api_version = probe.api_version;
    message.instructions_per_second = probe.instructions_per_second;
    message.exit_microseconds = probe.exit_microseconds;
    probe.line.copy(message.line.data(), message.line.size() - 1);
    ssize_t put = 0;
    do {
        put = ::write(pipe, &message, sizeof(message));
    } while (put < 0 && errno == EINTR);
    ::_exit(put == sizeof(message) ? 0 : 1);
}

// Waits until the child has answered or the deadline has passed.
bool receive(int pipe, Clock::time_point deadline, Message& message) {
    for (;;) {
        const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
        pollfd poll_fd{pipe, POLLIN, 0};
        const int ready =
            ::poll(&poll_fd, 1, static_cast<int>(std::max<std::int64_t>(0, left.count())));
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        return ready > 0 && ::read(pipe, &message, sizeof(message)) == sizeof(message);
    }
}

// Collects the child. One that cannot even be killed (stuck inside the kernel) is left behind.
void reap(pid_t child, bool answered) {
    if (!answered) {
        ::kill(child, SIGKILL);
    }
    constexpr int kTries = 50;
    for (int i = 0; i < kTries; ++i) {
        const pid_t done = ::waitpid(child, nullptr, WNOHANG);
        if (done == child || (done < 0 && errno != EINTR)) {
            return;
        }
        ::usleep(1'000);
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, WNOHANG);
}

}  // namespace

KvmProbe kvm_probe_isolated(KvmSystem& system, const char* device, milliseconds limit) {
    const auto start = Clock::now();
    KvmProbe probe;
    probe.outcome = KvmOutcome::broken;
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        probe.line = "TCG: KVM cannot be probed, no pipe: " + errno_text(errno);
        return probe;
    }
    const UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    const pid_t child = ::fork();
    if (child < 0) {
        probe.line = "TCG: KVM cannot be probed, no child process: " + errno_text(errno);
        return probe;
    }
    if (child == 0) {
        run_child(system, device, limit, writer.get());
    }
    writer.reset();
    Message message;
    const bool answered = receive(reader.get(), start + limit - milliseconds(20), message);
    reap(child, answered);
    probe.elapsed = Clock::now() - start;
    if (!answered) {
        probe.line = std::string("TCG: ") + device +
                     " does not work: a guest of a few instructions did not come back within " +
                     std::to_string(limit.count()) + " ms, or crashed the probe";
        return probe;
    }
    probe.outcome = message.outcome;
    probe.api_version = message.api_version;
    probe.instructions_per_second = message.instructions_per_second;
    probe.exit_microseconds = message.exit_microseconds;
    probe.line = message.line.data();
    return probe;
}

}  // namespace jumpback
