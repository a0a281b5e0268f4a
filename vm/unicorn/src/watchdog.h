// SPDX-License-Identifier: GPL-2.0-or-later
//
// Ends runs that do not end. Counting instructions would need a hook on each of them; a thread that
// looks at the runner's CPU time every few milliseconds costs the run nothing. CPU time, not wall
// time: a busy host must not make a good run look stuck.
#pragma once

#include <unicorn/unicorn.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <ctime>
#include <mutex>
#include <thread>

namespace jumpback::unicorn {

class Watchdog {
  public:
    Watchdog();
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;
    Watchdog(Watchdog&&) = delete;
    Watchdog& operator=(Watchdog&&) = delete;
    ~Watchdog();

    // From here on the calling thread runs `engine`; uc_emu_stop is called when it has used `limit`
    // of CPU time, give or take the interval between two looks.
    void begin(uc_engine* engine, std::chrono::nanoseconds limit);
    // The run has ended. Whether it was stopped from here.
    bool end();

  private:
    void watch();

    std::mutex mutex_;
    std::condition_variable wake_;
    uc_engine* engine_ = nullptr;  // nullptr: nothing runs
    std::uint64_t run_ = 0;        // counts runs
    clockid_t clock_{};            // CPU time of the runner
    std::chrono::nanoseconds limit_{};
    bool fired_ = false;
    bool asleep_ = false;
    bool quit_ = false;
    std::thread thread_;
};

}  // namespace jumpback::unicorn
