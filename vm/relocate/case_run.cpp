// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/relocate/case_run.h"

#include <algorithm>
#include <cstring>

#include "model/kimage/list_writer.h"
#include "model/kimage/page_list.h"
#include "model/memory/text.h"
#include "vm/relocate/contents.h"

namespace jumpback::relocate_check {

using memory::hex;
using relocate::Leg;
using relocate::Sign;

namespace {

constexpr std::size_t kListed = 8;  // memory findings a stop
// Where there is no RAM behind the swap page, a kernel without a slot faults if the callee just
// returns. So many cases do so; the others come back another way, to be compared at P3.
constexpr std::uint64_t kFallsOff = 16;

Error rig_error(const Case& run, const std::string& what) {
    return {"case " + std::to_string(run.index) + " of seed " + std::to_string(run.seed), what};
}

}  // namespace

std::uint64_t CaseRun::read_word(Gpa at) const {
    const memory::GuestRam& ram = bench_.machine.ram().view();
    if (word_bytes() == sizeof(std::uint32_t)) {
        const auto value = ram.read_value<std::uint32_t>(at);
        return value ? *value : UINT32_MAX;
    }
    const auto value = ram.read_value<std::uint64_t>(at);
    return value ? *value : UINT64_MAX;
}

void CaseRun::write(const memory::WritableRam& ram, std::uint64_t gpa, std::uint64_t word) const {
    std::byte* page = ram.page_or_null(pfn_of(Gpa{gpa}));
    const std::uint64_t offset = gpa % kPageSize;
    if (page != nullptr && offset + word_bytes() <= kPageSize) {
        std::memcpy(page + offset, &word, word_bytes());
    }
}

void CaseRun::expect(Sign sign, bool shown) {
    if (relocate::known_defect(generation_, sign) != nullptr) {
        result_.could_show[static_cast<unsigned>(sign)] = true;
        result_.shown[static_cast<unsigned>(sign)] |= shown;
    }
}

Status CaseRun::set_up() {
    const memory::WritableRam& ram = bench_.machine.ram();
    const Contents contents(run_.salt);
    for (std::size_t number = 0; number < bench_.arena.size(); ++number) {
        contents.fill(ram.page_or_null(pfn_of(bench_.arena[number])), number);
    }
    const Result<std::uint64_t> head =
        kimage::write_entries(ram, run_.entries, run_.list_frames, generation_.word());
    if (!head) {
        return head.error();
    }
    head_ = *head;
    unicorn::Call call;
    call.head = head_;
    call.start = run_.start;
    call.preserve = run_.preserve;
    call.host_memory_encryption = run_.host_memory_encryption;
    call.cpu_has_pae = run_.cpu_has_pae;
    Status ready = bench_.machine.prepare(call);
    if (!ready) {
        return ready;
    }
    at_call_ = bench_.machine.cpu();
    bench_.places.caller_stack_used = at_call_.gpr[relocate::kRsp] % kPageSize;
    ready = check_call();
    if (ready) {
        ready = check_list();
    }
    if (!ready) {
        return ready;
    }
    if (options_.tamper) {
        options_.tamper(ram, run_, board_);
    }
    std::memcpy(bench_.expected.data(), ram.buffer().data(), bench_.expected.size());
    return relocate::relocate_in_order(bench_.expected_ram, moves_, board_.swap_page, action());
}

// The machine must stand where machine_kexec would have it.
Status CaseRun::check_call() const {
    const auto& gpr = at_call_.gpr;
    const auto argument = [&](std::uint64_t number) {
        const std::uint64_t esp = gpr[relocate::kRsp] + number * word_bytes();
        return read_word(Gpa{board_.stack_page.raw + esp % kPageSize});
    };
    std::vector<std::pair<std::uint64_t, std::uint64_t>> wanted;  // expected, found
    switch (generation_.abi) {
        case relocate::Abi::kPageList:
            wanted = {{head_, gpr[relocate::kRdi]},
                      {run_.start, gpr[relocate::kRdx]},
                      {run_.preserve ? 1 : 0, gpr[relocate::kRcx]},
                      {run_.host_memory_encryption ? 1 : 0, gpr[relocate::kR8]}};
            break;
        case relocate::Abi::kFlags:
            wanted = {{head_, gpr[relocate::kRdi]},
                      {board_.control_page.raw, gpr[relocate::kRsi]},
                      {run_.start, gpr[relocate::kRdx]},
                      {(run_.preserve ? 1U : 0U) | (run_.host_memory_encryption ? 2U : 0U),
                       gpr[relocate::kRcx]}};
            break;
        case relocate::Abi::kI386:
            wanted = {{head_, argument(1)},
                      {run_.start, argument(3)},
                      {run_.cpu_has_pae ? 1 : 0, argument(4)},
                      {run_.preserve ? 1 : 0, argument(5)}};
            break;
    }
    for (const auto& [expected, found] : wanted) {
        if (expected != found) {
            return rig_error(run_, "at P0 an argument of relocate_kernel is " + hex(found) +
                                       ", expected was " + hex(expected));
        }
    }
    const std::byte* control = bench_.machine.ram().page_or_null(pfn_of(board_.control_page));
    if (std::memcmp(control, target_.code.blob.data(), target_.code_bytes) != 0) {
        return rig_error(run_, "at P0 the control page does not hold relocate_kernel");
    }
    return success();
}

// What stands in RAM, read by the decoder, must be the list that was meant, and sound.
Status CaseRun::check_list() const {
    if (run_.origin == ListOrigin::kChained) {
        return success();
    }
    kimage::DecodeRules rules;
    rules.kernel_layout = true;
    for (const auto& [frame, name] : {std::pair(board_.control_page, "control page"),
                                      {board_.swap_page, "swap page"},
                                      {board_.stack_page, "caller's stack"},
                                      {board_.entry_page, "entry page"}}) {
        rules.kept.push_back({frame, name});
    }
    for (const auto* frames : {&board_.table_pages, &board_.kernel_tables, &board_.kernel_image}) {
        for (const Gpa frame : *frames) {
            rules.kept.push_back({frame, "page of the kernel"});
        }
    }
    const Result<kimage::PageList> list =
        kimage::decode(bench_.machine.ram().view(), head_, generation_.word(), rules);
    if (!list) {
        return rig_error(run_, "at P0: " + list.error().message());
    }
    if (list->moves != moves_) {
        return rig_error(run_, "at P0 the list in RAM is not the one that was meant");
    }
    return success();
}

bool CaseRun::lost(Stop stop, const unicorn::Stop& reached, std::string_view place) {
    if (reached.reason == unicorn::StopReason::kReached) {
        return false;
    }
    Finding finding;
    finding.stop = stop;
    finding.kind = FindingKind::kLost;
    finding.item = reached.reason == unicorn::StopReason::kFault ? "fault" : "stuck";
    finding.place = std::string(place) + " not reached";
    finding.note = reached.what;
    // swap_pages has the swap page in r10 from 5.10 on; a copy that faults there goes astray.
    const std::uint64_t to = reached.cpu.gpr[relocate::kR10];
    if (generation_.isa == relocate::Isa::kX86_64 && to != board_.swap_page.raw &&
        reached.cpu.gpr[relocate::kRdi] == to &&
        finding.note.find("rep movs") != std::string::npos) {
        finding.resembles = relocate::resembled_defect(generation_, Sign::kWrongSwapPage);
    }
    result_.findings.push_back(std::move(finding));
    return true;
}

void CaseRun::check_callee_entry() {
    relocate::Entry entry;
    entry.preserve = run_.preserve;
    entry.start = run_.start;
    entry.control_page = board_.control_page;
    entry.code_size = bench_.places.code_size;
    entry.swap_page = board_.swap_page;
    entry.table_root = board_.table_pages.empty() ? 0 : board_.table_pages.front().raw;
    entry.has_pae = run_.cpu_has_pae;
    if (const auto gdt = target_.debug_gdt()) {
        entry.debug_gdt = {board_.control_page.raw + gdt->offset, gdt->limit};
    }
    if (const auto idt = target_.debug_idt()) {
        entry.debug_idt = {board_.control_page.raw + idt->offset, idt->limit};
    }
    std::vector<relocate::RegisterDifference> differences;
    relocate::check_callee_entry(generation_, entry, at_call_, at_callee_,
                                 bench_.machine.ram().view(), differences);
    note_registers(Stop::kCallee, differences);
    if (run_.preserve) {
        expect(Sign::kNoReentrySlot,
               std::any_of(differences.begin(), differences.end(), [](const auto& difference) {
                   return difference.known != nullptr &&
                          difference.known->sign == Sign::kNoReentrySlot;
               }));
    }
}

// What memory and registers do not show: caches are flushed if C asks for it, before pages move.
void CaseRun::check_flush(const Trace& trace) {
    std::uint64_t flushed = 0;
    for (const unicorn::Step& step : trace.steps) {
        if (step.text.starts_with("rep movs")) {
            break;
        }
        flushed += step.text.starts_with("wbinvd") ? 1 : 0;
    }
    const bool asked = run_.host_memory_encryption && generation_.isa == relocate::Isa::kX86_64;
    if (flushed != (asked ? 1U : 0U)) {
        note_registers(Stop::kCallee,
                       {{"wbinvd before pages are moved", asked ? 1U : 0U, flushed}});
    }
}

Status CaseRun::act_as_callee() {
    const Callee& callee = run_.callee;
    const memory::WritableRam& ram = bench_.machine.ram();
    const Contents contents(run_.salt);
    for (const PageChange& change : callee.changes) {
        const std::uint64_t offset = change.at.raw % kPageSize;
        const Pfn pfn = pfn_of(change.at);
        contents.fill(ram.page_or_null(pfn), change.number, offset, change.length.raw);
        contents.fill(bench_.expected_ram.page_or_null(pfn), change.number, offset,
                      change.length.raw);
    }
    const std::uint64_t slot = at_callee_.gpr[relocate::kRsp] + word_bytes();
    result_.callee = callee.kind;
    if (!is_ram(slot) && (callee.kind == CalleeKind::kSlot || run_.index % kFallsOff != 0)) {
        result_.callee = CalleeKind::kPushes;
    }
    leaving_.cpu = callee.cpu;
    leaving_.next_entry = callee.next_entry;
    leaving_.reentry_slot = result_.callee == CalleeKind::kPushes;
    way_.reentry = callee.next_entry;
    if (result_.callee == CalleeKind::kSlot) {
        write(ram, slot, callee.next_entry);
        // A correct kernel has the slot in the swap page; elsewhere this hits what it must not.
        if (pfn_of(Gpa{slot}) == pfn_of(board_.swap_page)) {
            write(bench_.expected_ram, slot, callee.next_entry);
        }
    } else if (result_.callee == CalleeKind::kPlain) {
        way_.reentry = run_.start;
        way_.reentry_without_slot = read_word(Gpa{slot});
    }
    return compare(Stop::kReturnPoint, Leg::kBack);
}

// A kernel without a slot reads the word behind the swap page; on some boards there is no RAM.
bool CaseRun::fell_off_swap_page(const unicorn::Stop& stop) const {
    const std::uint64_t behind = board_.swap_page.raw + kPageSize;
    return result_.callee == CalleeKind::kPlain && !is_ram(behind) &&
           stop.reason == unicorn::StopReason::kFault && stop.cpu.gpr[relocate::kRsp] == behind &&
           stop.what.find(hex(behind)) != std::string::npos;
}

Status CaseRun::go_back() {
    accept_differences();  // what the callee did, rightly or not, is where the model starts from
    Status moved =
        relocate::relocate_in_order(bench_.expected_ram, moves_, board_.swap_page, action());
    if (!moved) {
        return moved;
    }
    unicorn::Stop reached;
    if (options_.traces != nullptr) {
        Trace& trace = options_.traces->back;
        reached = bench_.machine.run_back(leaving_, trace.steps, trace.writes);
    } else {
        reached = bench_.machine.run_back(leaving_);
    }
    if (lost(Stop::kCaller, reached, "the caller")) {
        if (target_.code.pae && generation_.isa == relocate::Isa::kI386) {
            result_.findings.back().known = relocate::known_defect(generation_, Sign::kPaeLeftOff);
            expect(Sign::kPaeLeftOff, true);
        } else if (fell_off_swap_page(reached)) {
            result_.findings.back().known =
                relocate::known_defect(generation_, Sign::kNoReentrySlot);
        }
        return success();
    }
    result_.came_back = true;
    way_.callee = at_callee_;  // selectors
    way_.callee.gpr = leaving_.cpu.gpr;
    way_.callee.gdtr = leaving_.cpu.gdtr;
    way_.callee.idtr = leaving_.cpu.idtr;
    way_.saved_gdt = board_.saved_gdt;
    way_.return_address =
        read_word(Gpa{board_.stack_page.raw + at_call_.gpr[relocate::kRsp] % kPageSize});
    std::vector<relocate::RegisterDifference> differences;
    relocate::check_return(generation_, way_, at_call_, reached.cpu, differences);
    note_registers(Stop::kCaller, differences);
    expect(Sign::kGdtNotReloaded,
           std::any_of(differences.begin(), differences.end(), [](const auto& difference) {
               return difference.known != nullptr &&
                      difference.known->sign == Sign::kGdtNotReloaded;
           }));
    return compare(Stop::kCaller, Leg::kBack);
}

Result<CaseResult> CaseRun::go() {
    result_.pages = moves_.size();
    Status done = set_up();
    if (!done) {
        return done.error();
    }
    unicorn::Stop reached;
    if (options_.traces != nullptr) {
        *options_.traces = {};
        Trace& trace = options_.traces->there;
        reached = bench_.machine.run_to_callee(trace.steps, trace.writes);
    } else {
        reached = bench_.machine.run_to_callee();
    }
    if (lost(Stop::kCallee, reached, "the callee")) {
        return std::move(result_);
    }
    at_callee_ = reached.cpu;
    check_callee_entry();
    if (options_.traces != nullptr) {
        check_flush(options_.traces->there);
    }
    done = compare(Stop::kCallee, Leg::kThere);
    if (done && !result_.failed() && options_.both_ways && run_.preserve) {
        accept_differences();  // bytes that may differ are whatever the machine has
        done = act_as_callee();
        if (done && !result_.failed()) {
            done = go_back();
        }
    }
    if (!done) {
        return done.error();
    }
    return std::move(result_);
}

void CaseRun::note_registers(Stop stop,
                             const std::vector<relocate::RegisterDifference>& differences) {
    for (const relocate::RegisterDifference& difference : differences) {
        Finding finding;
        finding.stop = stop;
        finding.kind = FindingKind::kRegister;
        finding.item = difference.item;
        if (generation_.isa == relocate::Isa::kI386 && finding.item.front() == 'r' &&
            finding.item.find(' ') == std::string::npos &&
            finding.item.find('-') == std::string::npos) {
            finding.item.front() = 'e';  // eax, eip, eflags
        }
        finding.place = finding.item;
        finding.expected_value = difference.expected;
        finding.found_value = difference.found;
        finding.note = roles_.origin_of(difference.found);
        finding.known = difference.known;
        finding.resembles = difference.resembles;
        result_.findings.push_back(std::move(finding));
    }
}

Status CaseRun::compare(Stop stop, Leg leg) {
    std::vector<relocate::Allowance> allowed;
    if (stop != Stop::kReturnPoint) {  // nothing runs between P1 and P2 but the callee
        allowed =
            relocate::allowances(generation_, bench_.places, {leg, run_.preserve, !moves_.empty()});
    }
    Result<relocate::FrameComparison> compared = relocate::compare_frame(
        bench_.expected_ram.view(), bench_.machine.ram().view(), allowed, kListed);
    if (!compared) {
        return compared.error();
    }
    for (const relocate::Allowance& allowance : allowed) {
        result_.offered[static_cast<unsigned>(allowance.rule)] = true;
    }
    for (unsigned rule = 0; rule < relocate::kRules; ++rule) {
        result_.used[rule] |= compared->used[rule];
    }
    differing_ = std::move(compared.value().excused);
    for (const memory::PageDifference& difference : compared->differences) {
        differing_.push_back(gpa_of(difference.pfn));
    }
    const bool back = stop == Stop::kCaller && not_swapped_back(compared->differences);
    for (const memory::PageDifference& difference : compared->differences) {
        Finding finding = memory_finding(stop, difference);
        if (back) {
            finding.resembles = relocate::resembled_defect(generation_, Sign::kNotSwappedBack);
        }
        result_.findings.push_back(std::move(finding));
    }
    return success();
}

void CaseRun::accept_differences() {
    for (const Gpa page : differing_) {
        std::memcpy(bench_.expected_ram.page_or_null(pfn_of(page)),
                    bench_.machine.ram().page_or_null(pfn_of(page)), kPageSize);
    }
}

Finding CaseRun::memory_finding(Stop stop, const memory::PageDifference& difference) const {
    Finding finding;
    finding.stop = stop;
    finding.kind = FindingKind::kMemory;
    finding.gpa = gpa_of(difference.pfn).raw + difference.offset;
    const Role role = roles_.of(Gpa{finding.gpa});
    finding.item = role.item;
    finding.place = role.place;
    finding.differing = difference.differing;
    finding.expected = difference.expected;
    finding.found = difference.found;
    std::uint64_t word = 0;
    const std::byte* page = bench_.machine.ram().page_or_null(difference.pfn);
    std::memcpy(&word, page + difference.offset / sizeof word * sizeof word, sizeof word);
    finding.note = roles_.origin_of(word);
    const bool behind = finding.gpa >= board_.swap_page.raw + kPageSize &&
                        finding.gpa < board_.swap_page.raw + kPageSize + word_bytes();
    if (stop == Stop::kReturnPoint && behind) {
        finding.known = relocate::known_defect(generation_, Sign::kNoReentrySlot);
        finding.resembles = relocate::resembled_defect(generation_, Sign::kNoReentrySlot);
    } else if (!role.listed && roles_.from_source(word)) {
        finding.resembles = relocate::resembled_defect(generation_, Sign::kWrongSwapPage);
    }
    return finding;
}

// At P3: every page that differs still holds what it held at P2.
bool CaseRun::not_swapped_back(const std::vector<memory::PageDifference>& all) const {
    const memory::WritableRam& ram = bench_.machine.ram();
    return !all.empty() && std::all_of(all.begin(), all.end(), [&](const auto& difference) {
        for (const kimage::Move& move : moves_) {
            const Gpa page = gpa_of(difference.pfn);
            if (move.destination != page && move.source != page) {
                continue;
            }
            // Swapped pages: the model has now at one what the machine had at the other.
            const Gpa other = move.destination == page ? move.source : move.destination;
            return std::memcmp(ram.page_or_null(difference.pfn),
                               bench_.expected_ram.page_or_null(pfn_of(other)), kPageSize) == 0;
        }
        return false;
    });
}

}  // namespace jumpback::relocate_check
