// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/sequence/isolated.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "vm/unique_fd.h"

namespace jumpback::sequence {
namespace {

using Clock = std::chrono::steady_clock;

// The answer's first byte.
constexpr char kValue = 'v';
constexpr char kError = 'e';  // where, a zero byte, what

bool send(int to, const std::string& text) {
    for (std::size_t sent = 0; sent < text.size();) {
        const ssize_t put = ::write(to, text.data() + sent, text.size() - sent);
        if (put < 0 && errno != EINTR) {
            return false;
        }
        sent += static_cast<std::size_t>(std::max<ssize_t>(put, 0));
    }
    return true;
}

[[noreturn]] void be_child(int to, const std::function<Result<std::string>()>& work) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // not to outlive an interrupted run
    for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGTERM, SIGINT}) {
        std::signal(signal, SIG_DFL);
    }
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    // What the emulator says when it dies is of no use to a reader.
    const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0) {
        ::dup2(null, STDERR_FILENO);
    }
    try {
        const Result<std::string> result = work();
        const std::string answer =
            result ? kValue + *result : kError + result.error().where + '\0' + result.error().what;
        ::_exit(send(to, answer) ? 0 : 1);
    } catch (...) {  // out of memory: this copy of the caller must not go on with its work
        ::_exit(1);
    }
}

// Everything until the child closes its end. False: the deadline passed.
bool receive(int from, Clock::time_point deadline, std::string& text) {
    for (;;) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
        pollfd wait{from, POLLIN, 0};
        const int ready =
            ::poll(&wait, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        if (ready <= 0) {
            return false;
        }
        std::array<char, 4096> block{};
        const ssize_t got = ::read(from, block.data(), block.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return true;
        }
        text.append(block.data(), static_cast<std::size_t>(got));
    }
}

}  // namespace

Result<std::string> run_isolated(const std::string& label, std::chrono::seconds limit,
                                 const std::function<Result<std::string>()>& work) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return Error{label, std::string("no pipe: ") + std::strerror(errno)};
    }
    const UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    const pid_t child = ::fork();
    if (child < 0) {
        return Error{label, std::string("no child process: ") + std::strerror(errno)};
    }
    if (child == 0) {
        be_child(writer.get(), work);
    }
    writer.reset();
    std::string text;
    const bool in_time = receive(reader.get(), Clock::now() + limit, text);
    if (!in_time) {
        ::kill(child, SIGKILL);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (!in_time) {
        return Error{label,
                     "running its code took more than " + std::to_string(limit.count()) + " s"};
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || text.empty()) {
        return Error{label,
                     "the emulated CPU died of its code: it is damaged, or has an "
                     "instruction that Unicorn cannot translate"};
    }
    if (text.front() == kValue) {
        return text.substr(1);
    }
    const std::size_t zero = std::min(text.find('\0'), text.size() - 1);
    return Error{text.substr(1, zero - 1), text.substr(zero + 1)};
}

}  // namespace jumpback::sequence
