#include "x86/delivery/task_switch.h"

#include "x86/cpuid/cpuid_model.h"
#include "x86/delivery/segment_rules.h"
#include "x86/delivery/task_image.h"
#include "x86/paging/paging_mode.h"

namespace vireo::x86 {
namespace {

constexpr std::uint64_t kDr7LocalEnables = 0x155;  // L0-L3 and LE

bool nests(TaskSwitchCause cause) {
  return cause == TaskSwitchCause::kCall || cause == TaskSwitchCause::kEvent;
}
bool leaves_for_good(TaskSwitchCause cause) { return !nests(cause); }

/// Everything that can fail with the old task still in place.
OrFault<TaskImage> prepare(const CpuState& state, CpuPort& port, std::uint16_t selector,
                           const Descriptor& tss, TaskSwitchCause cause, Raise raise) {
  const bool wide = (tss.type() & 8) != 0, old_wide = (state.tr.type() & 8) != 0;
  if (tss.limit() < minimum_tss_limit(wide)) return raise.at(selector);
  if (!state.tr.usable() || state.tr.limit < minimum_tss_limit(old_wide))
    return raise.at(state.tr.selector);
  const std::uint64_t base = tss.segment(selector).base;
  const TaskImage task = TRY(read_task(state, port, base, wide));
  const SavedRange range = saved_range(old_wide);
  TRY(port.check_write(table_address(state, state.tr.base, range.offset), range.size,
                       Privilege::kSupervisor));
  if (nests(cause)) TRY(port.check_write(table_address(state, base, 0), 2, Privilege::kSupervisor));
  if (leaves_for_good(cause))
    TRY(port.check_write(gdt_address(state, state.tr.selector), 8, Privilege::kSupervisor));
  return task;
}

OrFault<> load_page_tables(CpuState& state, CpuPort& port, std::uint32_t cr3) {
  if (!state.paging()) return Unit{};
  if (state.cr4 & cr4::kPae)
    state.pdpte = TRY(load_pdptes(port, cr3, port.cpuid().physical_address_bits()));
  state.cr3 = cr3;
  port.flush_tlb(TlbFlush::kNonGlobal);
  return Unit{};
}

OrFault<> load_task_ldt(CpuState& state, CpuPort& port, std::uint16_t selector, Raise raise) {
  state.ldtr = null_segment(selector);
  if (is_null(selector)) return Unit{};
  if (selector & 4) return raise.at(selector);
  const Descriptor ldt = TRY(read_descriptor(state, port, selector, raise));
  if (!ldt.is(SystemType::kLdt) || !ldt.present()) return raise.at(selector);
  state.ldtr = ldt.segment(selector);
  return Unit{};
}

OrFault<Segment> task_code_segment(const CpuState& state, CpuPort& port, std::uint16_t selector,
                                   Raise raise) {
  if (is_null(selector)) return raise.at(0);
  Descriptor code = TRY(read_descriptor(state, port, selector, raise));
  const unsigned rpl = selector & 3;
  if (!code.code() || (code.conforming() ? code.dpl() > rpl : code.dpl() != rpl))
    return raise.at(selector);
  if (!code.present()) return raise.not_present(selector);
  TRY(mark_accessed(port, code));
  return code.segment(selector);
}

/// The new task's descriptors; a fault is the new task's own. The selectors are already in place.
OrFault<> load_task_segments(CpuState& state, CpuPort& port, const TaskImage& task, Raise raise) {
  TRY(load_task_ldt(state, port, task.ldt, raise));
  if (state.virtual8086()) {
    for (std::size_t i = 0; i < task.selector.size(); ++i)
      state.segment[i] = virtual8086_segment(task.selector[i]);
    return Unit{};
  }
  state.segment[kCs] = TRY(task_code_segment(state, port, task.selector[kCs], raise));
  state.segment[kSs] =
      TRY(stack_segment(state, port, task.selector[kSs], task.selector[kCs] & 3, raise));
  for (const SegmentIndex index : {kDs, kEs, kFs, kGs})
    state.segment[index] = TRY(data_segment(state, port, task.selector[index], raise));
  return Unit{};
}

void load_registers(CpuState& state, const TaskImage& task, TaskSwitchCause cause) {
  for (std::size_t i = 0; i < task.gpr.size(); ++i) state.gpr[i] = task.gpr[i];
  state.rip = task.eip;
  state.rflags = (task.eflags & rflags::kAll) | rflags::kFixed1;
  if (nests(cause)) state.rflags |= rflags::kNt;
  const unsigned cpl = state.virtual8086() ? 3 : task.selector[kCs] & 3;
  for (std::size_t i = 0; i < task.selector.size(); ++i)
    state.segment[i] = null_segment(task.selector[i], cpl);
  state.cr0 |= cr0::kTs;
  state.dr7 &= ~kDr7LocalEnables;
}

OrFault<> enter_task(CpuState& state, CpuPort& port, const TaskImage& task, bool wide,
                     Raise raise) {
  if (wide) TRY(load_page_tables(state, port, task.cr3));
  port.mode_changed();
  TRY(load_task_segments(state, port, task, raise));
  TRY(check_code_offset(state, state.segment[kCs], state.rip, raise.external));
  if (task.trap) state.pending_debug |= dr6::kBt;
  return Unit{};
}

}  // namespace

OrFault<std::optional<Fault>> switch_task(CpuState& state, CpuPort& port, std::uint16_t selector,
                                          Descriptor tss, TaskSwitchCause cause, Raise raise,
                                          std::uint64_t flags) {
  const TaskImage task = TRY(prepare(state, port, selector, tss, cause, raise));
  if (cause != TaskSwitchCause::kReturn && !TRY(mark_busy(port, tss)))
    return general_protection(selector_error(selector, raise.external));
  if (leaves_for_good(cause)) TRY(clear_busy(port, gdt_address(state, state.tr.selector)));
  if (cause == TaskSwitchCause::kReturn) flags &= ~rflags::kNt;
  TRY(save_task(state, port, flags));
  const std::uint64_t base = tss.segment(selector).base;
  if (nests(cause))
    TRY(port.write_value(table_address(state, base, 0), state.tr.selector, Privilege::kSupervisor));

  state.tr = tss.segment(selector);
  load_registers(state, task, cause);
  const auto entered = enter_task(state, port, task, (tss.type() & 8) != 0, raise);
  port.mode_changed();
  return entered ? std::optional<Fault>{} : std::optional<Fault>{entered.error()};
}

}  // namespace vireo::x86
