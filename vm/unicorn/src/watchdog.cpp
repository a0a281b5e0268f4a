// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/unicorn/src/watchdog.h"

#include <pthread.h>

namespace jumpback::unicorn {

namespace {

constexpr std::chrono::milliseconds kInterval{10};
// Looks without a run after which the thread sleeps until the next one.
constexpr unsigned kIdleLooks = 20;

std::chrono::nanoseconds cpu_time(clockid_t clock) {
    timespec time{};
    ::clock_gettime(clock, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

Watchdog::Watchdog() : thread_([this] { watch(); }) {}

Watchdog::~Watchdog() {
    {
        const std::lock_guard lock(mutex_);
        quit_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

void Watchdog::begin(uc_engine* engine, std::chrono::nanoseconds limit) {
    bool wake = false;
    {
        const std::lock_guard lock(mutex_);
        engine_ = engine;
        limit_ = limit;
        fired_ = false;
        ++run_;
        ::pthread_getcpuclockid(::pthread_self(), &clock_);
        wake = asleep_;
        asleep_ = false;
    }
    if (wake) {
        wake_.notify_one();
    }
}

bool Watchdog::end() {
    const std::lock_guard lock(mutex_);
    engine_ = nullptr;
    return fired_;
}

void Watchdog::watch() {
    std::unique_lock lock(mutex_);
    std::uint64_t seen = 0;
    std::chrono::nanoseconds since{};
    unsigned idle = 0;
    while (!quit_) {
        if (engine_ == nullptr) {
            ++idle;
        } else if (run_ != seen) {
            idle = 0;
            seen = run_;
            since = cpu_time(clock_);
        } else if (cpu_time(clock_) - since >= limit_) {
            fired_ = true;
            uc_emu_stop(engine_);
        }
        if (idle < kIdleLooks) {
            wake_.wait_for(lock, kInterval);
        } else {
            asleep_ = true;
            wake_.wait(lock, [this] { return quit_ || !asleep_; });
            idle = 0;
        }
    }
}

}  // namespace jumpback::unicorn
