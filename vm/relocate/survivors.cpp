// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/relocate/survivors.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>

namespace jumpback::relocate_check {
namespace {

// Cases whose runs are laid beside each other. The plan has the most telling ones in front.
constexpr std::size_t kMostCases = 16;

// Instructions that change nothing that a processor without caches and stale TLB entries shows.
bool is_invisible(const Instruction& instruction) {
    return instruction.mnemonic == "wbinvd" || instruction.mnemonic == "nop" ||
           (instruction.mnemonic == "mov" && instruction.operands.starts_with("cr3"));
}

// What a run did: where it went and what it wrote.
struct Path {
    std::vector<std::uint64_t> offsets;  // of instructions, in the blob
    std::vector<unicorn::TracedWrite> writes;
};

class Survivor {
  public:
    Survivor(const MutationPlan& plan, const Mutant& mutant)
        : plan_(plan),
          mutant_(mutant),
          begin_(mutant.offset),
          end_(mutant.offset + mutant.before.size()),
          changed_(mutated(*plan.target, mutant)) {
        for (const Instruction& instruction : plan.code) {
            real_[instruction.offset] = &instruction;
        }
        swallow();
    }

    void judge(MutantResult& result) {
        if (mutant_.was == mutant_.is) {
            return say(result, Fate::kSameCode, "another encoding of the same instruction");
        }
        if (!run_both()) {
            return say(result, Fate::kUnexplained, "its runs cannot be traced");
        }
        if (other_path_) {
            if (path_differs_invisibly_ && !other_writes_) {
                return say(
                    result, Fate::kSameValue,
                    "differs in " + *path_differs_invisibly_ + " only, which no emulator shows");
            }
            if (!other_writes_) {
                return say(result, Fate::kSameValue,
                           "other instructions run, with the same writes in the same order");
            }
            return say(result, Fate::kUnexplained, "it takes another path to the same result");
        }
        if (other_writes_) {
            return say(result, Fate::kScratchOnly,
                       "what it writes differs only where that is allowed: " + where_);
        }
        const Instruction& was = *real_.at(begin_);
        if (is_invisible(was) && was.mnemonic != "nop") {
            return say(result, Fate::kSameValue,
                       "only caches or TLB see this instruction, and no emulator shows them");
        }
        if (was.mnemonic == "lgdt" || was.mnemonic == "lidt") {
            return say(result, Fate::kDeadValue,
                       "another table is loaded before a segment or an exception needs this one");
        }
        if (was.conditional) {
            return say(result, Fate::kSameValue, "the jump goes the same way in every case");
        }
        if (const std::optional<std::string> live = live_register()) {
            return say(result, Fate::kSameValue,
                       *live + " is read, but path and writes stay the same in every case");
        }
        say(result, Fate::kDeadValue, changed_registers());
    }

  private:
    static void say(MutantResult& result, Fate fate, std::string why) {
        result.fate = fate;
        result.why = std::move(why);
    }

    // Where the changed bytes make a longer instruction, what follows is read otherwise, too, up to
    // the next instruction that both have.
    void swallow() {
        constexpr std::uint64_t kFar = 32;
        const std::span<const std::byte> bytes(changed_->code.blob);
        std::uint64_t at = begin_;
        while (at < begin_ + kFar && (at < end_ || !real_.contains(at))) {
            const auto now = disassemble_one(*changed_, bytes.subspan(at), at);
            if (!now || now->size == 0) {
                return;
            }
            at += now->size;
        }
        end_ = std::max(end_, at);
    }

    [[nodiscard]] bool inside(std::uint64_t offset) const {
        return offset >= begin_ && offset < end_;
    }

    // Cases in which the instruction runs; the others cannot tell the two apart.
    [[nodiscard]] bool runs_in(const Traces& traces) const {
        const auto here = [&](const unicorn::Step& step) {
            return step.link - plan_.target->code.begin.raw == begin_;
        };
        return std::any_of(traces.there.steps.begin(), traces.there.steps.end(), here) ||
               std::any_of(traces.back.steps.begin(), traces.back.steps.end(), here);
    }

    bool run_both() {
        Result<Checker> mutant = Checker::create(changed_);
        if (!mutant) {
            return false;
        }
        std::size_t left = kMostCases;
        for (std::size_t at = 0; at < plan_.cases.size() && left > 0; ++at) {
            const Traces& real = plan_.recorded[at];
            if (!runs_in(real)) {
                continue;
            }
            --left;
            Traces changed;
            Checker::Options options;
            options.traces = &changed;
            if (!mutant.value().run(plan_.cases[at], options)) {
                return false;
            }
            compare(real.there, changed.there);
            compare(real.back, changed.back);
            paths_.push_back(path_of(changed.there));
            paths_.push_back(path_of(changed.back));
        }
        return true;
    }

    [[nodiscard]] Path path_of(const Trace& trace) const {
        Path path;
        for (const unicorn::Step& step : trace.steps) {
            path.offsets.push_back(step.link - plan_.target->code.begin.raw);
        }
        path.writes = trace.writes;
        return path;
    }

    // Without what stands inside the changed bytes: there the two differ by design.
    [[nodiscard]] std::vector<std::uint64_t> outside(const Path& path) const {
        std::vector<std::uint64_t> offsets;
        for (const std::uint64_t offset : path.offsets) {
            if (!inside(offset)) {
                offsets.push_back(offset);
            }
        }
        return offsets;
    }

    void compare(const Trace& real, const Trace& mutant) {
        const Path left = path_of(real);
        const Path right = path_of(mutant);
        const std::vector<std::uint64_t> went = outside(left);
        const std::vector<std::uint64_t> goes = outside(right);
        if (went != goes) {
            other_path_ = true;
            note_invisible(went, goes);
        }
        const std::size_t common = std::min(left.writes.size(), right.writes.size());
        if (left.writes.size() != right.writes.size()) {
            other_writes_ = true;
            where_ = "it makes more writes, or fewer";
        }
        for (std::size_t at = 0; at < common; ++at) {
            const unicorn::TracedWrite& was = left.writes[at];
            const unicorn::TracedWrite& is = right.writes[at];
            if (was.gpa != is.gpa || was.size != is.size || was.value != is.value) {
                other_writes_ = true;
                if (where_.empty()) {
                    where_ = plan_.target->name_at(step_offset(real, was.step));
                }
            }
        }
    }

    [[nodiscard]] std::uint64_t step_offset(const Trace& trace, std::uint64_t step) const {
        return step < trace.steps.size() ? trace.steps[step].link - plan_.target->code.begin.raw
                                         : 0;
    }

    // Whether the paths differ in instructions alone that nobody sees.
    void note_invisible(const std::vector<std::uint64_t>& went,
                        const std::vector<std::uint64_t>& goes) {
        std::multiset<std::uint64_t> more(went.begin(), went.end());
        std::multiset<std::uint64_t> less(goes.begin(), goes.end());
        std::vector<std::uint64_t> differ;
        std::set_symmetric_difference(more.begin(), more.end(), less.begin(), less.end(),
                                      std::back_inserter(differ));
        std::string names;
        for (const std::uint64_t offset : differ) {
            const auto found = real_.find(offset);
            if (found == real_.end() || !is_invisible(*found->second)) {
                visible_ = true;
                path_differs_invisibly_.reset();
                return;
            }
            names = found->second->text();
        }
        if (!visible_ && !names.empty()) {
            path_differs_invisibly_ = names;
        }
    }

    // Registers that the real instruction or what stands there now may change.
    [[nodiscard]] std::set<std::string> touched() const {
        std::set<std::string> registers(real_.at(begin_)->writes.begin(),
                                        real_.at(begin_)->writes.end());
        for (const Path& path : paths_) {
            for (const std::uint64_t offset : path.offsets) {
                if (inside(offset) && seen_.insert(offset).second) {
                    const std::span<const std::byte> bytes =
                        std::span(changed_->code.blob).subspan(offset);
                    const auto now = disassemble_one(*changed_, bytes, offset);
                    if (now) {
                        registers_now_.insert(now->writes.begin(), now->writes.end());
                    }
                }
            }
        }
        registers.insert(registers_now_.begin(), registers_now_.end());
        registers.erase("rip");
        return registers;
    }

    [[nodiscard]] std::string changed_registers() const {
        const std::set<std::string> names = touched();
        std::string text;
        for (const std::string& name : names) {
            text += (text.empty() ? "" : ", ") + name;
        }
        if (names.empty()) {
            return "it changes no register, and what it writes is the same in every case";
        }
        return text + (names.size() > 1 ? " are" : " is") +
               " written again before anything reads it, in every case";
    }

    // xor reg, reg and sub reg, reg do not depend on what was there.
    static bool reads(const Instruction& instruction, const std::string& name) {
        const auto comma = instruction.operands.find(", ");
        const bool clears =
            (instruction.mnemonic == "xor" || instruction.mnemonic == "sub") &&
            comma != std::string::npos &&
            instruction.operands.substr(0, comma) == instruction.operands.substr(comma + 2);
        return !clears && std::find(instruction.reads.begin(), instruction.reads.end(), name) !=
                              instruction.reads.end();
    }

    // A touched register that is read before it is written again in some case, or none.
    [[nodiscard]] std::optional<std::string> live_register() const {
        for (const std::string& name : touched()) {
            for (const Path& path : paths_) {
                if (live_in(path, name)) {
                    return name;
                }
            }
        }
        return std::nullopt;
    }

    [[nodiscard]] bool live_in(const Path& path, const std::string& name) const {
        bool pending = false;
        for (const std::uint64_t offset : path.offsets) {
            if (inside(offset)) {
                pending = true;
                continue;
            }
            if (!pending) {
                continue;
            }
            const auto found = real_.find(offset);
            if (found == real_.end() || reads(*found->second, name)) {
                return true;
            }
            const auto& writes = found->second->writes;
            if (std::find(writes.begin(), writes.end(), name) != writes.end()) {
                pending = false;
            }
        }
        return false;  // at the end of a leg the registers have been compared
    }

    const MutationPlan& plan_;
    const Mutant& mutant_;
    std::uint64_t begin_;
    std::uint64_t end_;
    std::shared_ptr<const Target> changed_;
    std::map<std::uint64_t, const Instruction*> real_;
    std::vector<Path> paths_;
    bool other_path_ = false;
    bool visible_ = false;
    std::optional<std::string> path_differs_invisibly_;
    bool other_writes_ = false;
    std::string where_;
    mutable std::set<std::uint64_t> seen_;
    mutable std::set<std::string> registers_now_;
};

}  // namespace

void explain_survivor(const MutationPlan& plan, MutantResult& result) {
    Survivor(plan, result.mutant).judge(result);
}

}  // namespace jumpback::relocate_check
