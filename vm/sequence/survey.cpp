// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/sequence/survey.h"

#include <cstring>
#include <optional>

#include "vm/sequence/isolated.h"

namespace jumpback::sequence {
namespace {

// One survey takes a tenth of a second; a damaged function that runs in circles in every scenario,
// a second or two.
constexpr std::chrono::seconds kLimit{60};

// Fields one after the other: numbers as 8 bytes, texts with their length. Both ends are this
// program, so nothing is checked but that all of it came.
class Writer {
  public:
    void number(std::uint64_t value) {
        out_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }
    void text(const std::string& value) {
        number(value.size());
        out_ += value;
    }
    template <typename T>
    void maybe(const std::optional<T>& value) {
        number(value ? 1 : 0);
        number(value ? static_cast<std::uint64_t>(static_cast<std::int64_t>(*value)) : 0);
    }
    std::string take() { return std::move(out_); }

  private:
    std::string out_;
};

class Reader {
  public:
    explicit Reader(const std::string& in) : in_(in) {}
    std::uint64_t number() {
        std::uint64_t value = 0;
        if (in_.size() - at_ < sizeof(value)) {
            whole_ = false;
            return 0;
        }
        std::memcpy(&value, in_.data() + at_, sizeof(value));
        at_ += sizeof(value);
        return value;
    }
    std::string text() {
        const std::uint64_t length = number();
        if (in_.size() - at_ < length) {
            whole_ = false;
            return {};
        }
        at_ += length;
        return in_.substr(at_ - length, length);
    }
    template <typename T>
    std::optional<T> maybe() {
        const bool there = number() != 0;
        const auto value = static_cast<T>(static_cast<std::int64_t>(number()));
        return there ? std::optional(value) : std::nullopt;
    }
    [[nodiscard]] bool whole() const { return whole_ && at_ == in_.size(); }

  private:
    const std::string& in_;
    std::size_t at_ = 0;
    bool whole_ = true;
};

void put(Writer& out, const TracedRun& run) {
    out.maybe(run.trace.returned);
    out.text(run.stopped);
    out.number(run.trace.steps.size());
    for (const jump::TraceStep& step : run.trace.steps) {
        out.number(static_cast<std::uint64_t>(step.step));
        out.maybe(std::optional(step.result));
        out.maybe(step.argument);
        out.text(step.symbol);
    }
    out.number(run.calls.size());
    for (const Call& call : run.calls) {
        out.text(call.symbol);
        out.number(call.site.raw);
        out.number(call.argument);
        out.number(static_cast<std::uint64_t>(call.result));
        out.text(call.step);
    }
}

TracedRun get(Reader& in) {
    TracedRun run;
    run.trace.returned = in.maybe<int>();
    run.stopped = in.text();
    for (std::uint64_t left = in.number(); left > 0; --left) {
        jump::TraceStep step;
        step.step = static_cast<jump::Step>(in.number());
        step.result = in.maybe<int>().value_or(0);
        step.argument = in.maybe<std::uint32_t>();
        step.symbol = in.text();
        run.trace.steps.push_back(std::move(step));
    }
    for (std::uint64_t left = in.number(); left > 0; --left) {
        Call call;
        call.symbol = in.text();
        call.site = Gva{in.number()};
        call.argument = in.number();
        call.result = static_cast<std::int64_t>(in.number());
        call.step = in.text();
        run.calls.push_back(std::move(call));
    }
    return run;
}

constexpr jump::Branch kBranches[] = {jump::Branch::jump, jump::Branch::plain};

Result<std::string> run_all(const Vmlinux& kernel, std::span<const Patch> patches) {
    auto sequence = Sequence::create(kernel, patches);
    if (!sequence) {
        return sequence.error();
    }
    Writer out;
    out.text(sequence->release());
    out.number(sequence->preserve_bit().offset);
    out.number(sequence->preserve_bit().bit);
    for (const jump::Scenario& scenario : jump::scenarios(sequence->kernel())) {
        put(out, sequence.value().run(scenario));
    }
    for (const jump::Branch branch : kBranches) {
        put(out, sequence.value().run_machine(branch));
    }
    return out.take();
}

}  // namespace

Result<Survey> survey(const Vmlinux& kernel, std::span<const Patch> patches) {
    const auto answer =
        run_isolated(kernel.path(), kLimit, [&] { return run_all(kernel, patches); });
    if (!answer) {
        return answer.error();
    }
    Reader in(*answer);
    Survey out;
    out.release = in.text();
    const auto model = model_of(kernel, out.release);
    if (!model) {
        return model.error();
    }
    out.kernel = *model;
    out.preserve_bit.offset = in.number();
    out.preserve_bit.bit = static_cast<unsigned>(in.number());
    for (const jump::Scenario& scenario : jump::scenarios(out.kernel)) {
        out.runs.emplace_back(scenario, get(in));
    }
    for (const jump::Branch branch : kBranches) {
        out.machine_runs.emplace_back(branch, get(in));
    }
    if (!in.whole()) {
        return Error{kernel.path(), "the child process did not send all of its answer"};
    }
    return out;
}

}  // namespace jumpback::sequence
