// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/relocate/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <utility>

#include "vm/unique_fd.h"

namespace jumpback::relocate_check {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kMostText = 4096;  // bytes of an answer's text

struct Header {
    std::uint32_t item = 0;
    std::uint32_t length = 0;
    std::uint8_t code = 0;
};

void send(int to, const void* data, std::size_t size) {
    const char* at = static_cast<const char*>(data);
    while (size > 0) {
        const ssize_t sent = write(to, at, size);
        if (sent <= 0) {
            if (sent < 0 && errno == EINTR) {
                continue;
            }
            _exit(1);  // nobody listens any more
        }
        at += sent;
        size -= static_cast<std::size_t>(sent);
    }
}

[[noreturn]] void be_child(int to, std::size_t first, std::size_t count,
                           const std::function<ChildAnswer(std::size_t)>& work) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // not to outlive an interrupted run
    for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGTERM, SIGINT}) {
        std::signal(signal, SIG_DFL);
    }
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
    for (std::size_t item = first; item < count; ++item) {
        ChildAnswer answer;
        try {
            answer = work(item);
        } catch (...) {  // out of memory: this copy of the caller must not go on with its work
            _exit(1);
        }
        answer.text.resize(std::min<std::size_t>(answer.text.size(), kMostText));
        const Header header{static_cast<std::uint32_t>(item),
                            static_cast<std::uint32_t>(answer.text.size()), answer.code};
        send(to, &header, sizeof header);
        send(to, answer.text.data(), answer.text.size());
    }
    _exit(0);
}

// One child and the pipe from it.
class Child {
  public:
    static Result<Child> start(std::size_t first, std::size_t count,
                               const std::function<ChildAnswer(std::size_t)>& work) {
        std::array<int, 2> ends{};
        if (pipe2(ends.data(), O_CLOEXEC) != 0) {
            return Error{"pipe", std::strerror(errno)};
        }
        UniqueFd from(ends[0]);
        UniqueFd to(ends[1]);
        const pid_t pid = fork();
        if (pid < 0) {
            return Error{"fork", std::strerror(errno)};
        }
        if (pid == 0) {
            be_child(to.get(), first, count, work);
        }
        return Child(pid, std::move(from));
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    Child(Child&& other) noexcept
        : pid_(std::exchange(other.pid_, -1)), from_(std::move(other.from_)) {}
    Child& operator=(Child&&) = delete;
    ~Child() { finish(); }

    enum class Read { kAnswer, kEnd, kTimeout };
    Read next(unsigned seconds, std::size_t& item, ChildAnswer& answer) {
        const auto deadline = Clock::now() + std::chrono::seconds(seconds);
        Header header;
        const Read got = read_all(&header, sizeof header, deadline);
        if (got != Read::kAnswer) {
            return got;
        }
        answer.code = header.code;
        answer.text.resize(header.length);
        item = header.item;
        return read_all(answer.text.data(), header.length, deadline);
    }
    // Waits for the end; kills it first if it still runs. The signal it died of, or 0.
    int finish() {
        if (pid_ < 0) {
            return 0;
        }
        int status = 0;
        kill(pid_, SIGKILL);
        while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    }
    // The same for one that has closed its pipe: what it died of itself.
    int wait() {
        int status = 0;
        while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    }

  private:
    Child(pid_t pid, UniqueFd from) : pid_(pid), from_(std::move(from)) {}

    Read read_all(void* data, std::size_t size, Clock::time_point deadline) {
        char* at = static_cast<char*>(data);
        while (size > 0) {
            const auto left =
                std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
            pollfd wait{from_.get(), POLLIN, 0};
            const int ready =
                poll(&wait, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
            if (ready < 0 && errno == EINTR) {
                continue;
            }
            if (ready <= 0) {
                return Read::kTimeout;
            }
            const ssize_t got = read(from_.get(), at, size);
            if (got < 0 && errno == EINTR) {
                continue;
            }
            if (got <= 0) {
                return Read::kEnd;
            }
            at += got;
            size -= static_cast<std::size_t>(got);
        }
        return Read::kAnswer;
    }

    pid_t pid_;
    UniqueFd from_;
};

}  // namespace

Result<std::vector<ChildAnswer>> run_in_children(
    std::size_t count, unsigned seconds, const std::function<ChildAnswer(std::size_t)>& work) {
    std::vector<ChildAnswer> answers(count);
    std::size_t next = 0;
    std::optional<std::size_t> tried_before;
    while (next < count) {
        Result<Child> child = Child::start(next, count, work);
        if (!child) {
            return child.error();
        }
        ChildAnswer answer;
        std::size_t item = 0;
        auto got = Child::Read::kAnswer;
        while (next < count) {
            got = child.value().next(seconds, item, answer);
            if (got != Child::Read::kAnswer) {
                break;
            }
            answers[item] = std::move(answer);
            next = item + 1;
        }
        if (next == count) {
            break;
        }
        if (tried_before != next) {
            tried_before = next;  // once more, in a child that has done nothing else
            continue;
        }
        if (got == Child::Read::kTimeout) {
            answers[next] = {0, "no answer within " + std::to_string(seconds) + " s",
                             ChildAnswer::kHung};
        } else {
            const int signal = child.value().wait();
            answers[next] = {
                0,
                "the emulator died" + (signal != 0 ? std::string(" of ") + strsignal(signal) : ""),
                ChildAnswer::kCrashed};
        }
        ++next;
    }
    return answers;
}

}  // namespace jumpback::relocate_check
