// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/sequence/sequence.h"

#include <algorithm>
#include <utility>

namespace jumpback::sequence {
namespace {

using jump::Step;

// What a plain kexec alone does. Not by what a jump does: a kernel that has lost its first step may
// make none of the others, and is to be judged all the same.
constexpr Step kPlainOnly[] = {Step::mark_in_progress, Step::prepare_restart,
                               Step::migrate_to_boot_cpu, Step::shut_down_machine};

bool is_plain(const jump::Trace& trace) {
    return std::any_of(trace.steps.begin(), trace.steps.end(), [](const jump::TraceStep& row) {
        return std::find(std::begin(kPlainOnly), std::end(kPlainOnly), row.step) !=
               std::end(kPlainOnly);
    });
}

Status require_symbols(const Vmlinux& kernel) {
    if (kernel.symbols("kernel_kexec").empty() || kernel.symbols("kexec_image").empty()) {
        const bool no_function = kernel.symbols("kernel_kexec").empty();
        return Error{kernel.path(), std::string("has no ") +
                                        (no_function ? "kernel_kexec()" : "kexec_image") +
                                        ": it was built without CONFIG_KEXEC (and "
                                        "CONFIG_KEXEC_JUMP), or its symbols are not complete"};
    }
    if (kernel.symbols("__kexec_lock").empty() && kernel.symbols("kexec_mutex").empty()) {
        return Error{kernel.path(),
                     "has neither __kexec_lock nor kexec_mutex: a kernel that the sequence model "
                     "does not know"};
    }
    return success();
}

}  // namespace

Sequence::Sequence(jump::Kernel kernel, std::string release, Variables variables, CodeMap code,
                   CodeMap machine_code, KernelCpu cpu)
    : kernel_(kernel),
      release_(std::move(release)),
      variables_(variables),
      code_(std::move(code)),
      machine_code_(std::move(machine_code)),
      cpu_(std::move(cpu)) {}

Result<jump::Kernel> model_of(const Vmlinux& kernel, const std::string& release) {
    const auto version = jump::parse_version(release);
    if (!version) {
        return Error{kernel.path(), version.error().message()};
    }
    jump::Kernel out{
        *version, kernel.arch() == Arch::x86_64 ? jump::Arch::x86_64 : jump::Arch::i386, {}};
    jump::StepSet left_out;  // of what this version can have
    const jump::StepSet missing = left_out_steps(kernel);
    for (const jump::StepInfo& row : jump::all_steps()) {
        if (missing.contains(row.step) && jump::has_step(out, row.step)) {
            left_out.add(row.step);
        }
    }
    out.left_out = left_out;
    return out;
}

Result<Sequence> Sequence::create(const Vmlinux& kernel, std::span<const Patch> patches) {
    if (const Status there = require_symbols(kernel); !there) {
        return there.error();
    }
    const auto release = kernel.release();
    if (!release) {
        return release.error();
    }
    const auto model = model_of(kernel, *release);
    if (!model) {
        return model.error();
    }
    auto code = CodeMap::create(kernel, "kernel_kexec");
    auto machine_code = CodeMap::create(kernel, "machine_kexec");
    auto cpu = KernelCpu::create(kernel, patches);
    if (!code || !machine_code || !cpu) {
        return !code ? code.error() : !machine_code ? machine_code.error() : cpu.error();
    }
    Sequence out(*model, *release, find_variables(kernel), std::move(code).value(),
                 std::move(machine_code).value(), std::move(cpu).value());
    if (const Status found = out.find_preserve_bit(kernel.path()); !found) {
        return found.error();
    }
    return out;
}

// The place of image->preserve_context depends on version and configuration, and vmlinux may have
// no debug information. So kernel_kexec() is run with an image of zeros, and then once for each bit
// of each byte that it read of it: the bit that keeps it from a plain kexec is the one.
Status Sequence::find_preserve_bit(const std::string& path) {
    Tracer tracer(code_, variables_, cpu_);
    const TracedRun plain = tracer.run_kernel_kexec({jump::Branch::plain, {}}, {});
    std::vector<std::uint64_t> offsets = tracer.image_reads();
    std::sort(offsets.begin(), offsets.end());
    offsets.erase(std::unique(offsets.begin(), offsets.end()), offsets.end());
    std::vector<ImageBit> found;
    for (const std::uint64_t offset : offsets) {
        for (unsigned bit = 0; bit < 8; ++bit) {
            const ImageBit candidate{offset, bit};
            if (!is_plain(tracer.run_kernel_kexec({}, candidate).trace)) {
                found.push_back(candidate);
            }
        }
    }
    if (!is_plain(plain.trace) || found.size() > 1) {
        return Error{path,
                     "kernel_kexec() does not choose its preserved branch by one bit of "
                     "struct kimage: a kernel that the sequence model does not know"};
    }
    if (found.empty()) {
        return Error{path,
                     "kernel_kexec() has no preserved branch, whatever it finds in struct kimage: "
                     "the kernel was built without CONFIG_KEXEC_JUMP"};
    }
    preserve_ = found.front();
    return success();
}

TracedRun Sequence::run(const jump::Scenario& scenario) {
    Tracer tracer(code_, variables_, cpu_);
    return tracer.run_kernel_kexec(
        scenario, scenario.branch == jump::Branch::jump ? std::optional(preserve_) : std::nullopt);
}

TracedRun Sequence::run_machine(jump::Branch branch) {
    Tracer tracer(machine_code_, variables_, cpu_);
    return tracer.run_machine_kexec(branch, preserve_);
}

}  // namespace jumpback::sequence
