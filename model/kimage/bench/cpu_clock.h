// SPDX-License-Identifier: GPL-2.0-or-later
//
// CPU time of this thread, in seconds: what others on the host take does not count.
#pragma once

#include <ctime>

namespace jumpback::kimage {

inline double cpu_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace jumpback::kimage
