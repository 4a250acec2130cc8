#include "engine/software/attention.h"
#include "engine/translator/translator_vcpu.h"
#include "x86/delivery/segment_rules.h"

// What translated code needs to know to execute system instructions by itself.

namespace vireo::engine::translator {

/// Before the vCPU runs: while it does, the clock runs too.
void TranslatorVcpu::prepare_shortcuts() {
  Shortcuts& shortcuts = translated_.shortcuts;
  const auto bias = context_.clock.host_tsc_bias();
  shortcuts.tsc_direct = bias.has_value();
  shortcuts.tsc_bias = bias.value_or(0);
}

/// Translated code changes everything that depends on the privilege but what only the interpreter
/// asks for.
void TranslatorVcpu::settle_privilege() {
  if (!std::exchange(translated_.shortcuts.privilege_changed, false)) return;
  mmu_.refresh_mode();
}

/// To the handler of a fault, straight from the code that is to blame.
const void* TranslatorVcpu::deliver_here() {
  const auto ends = deliver_pending_fault();
  translated_.rsp = translated_.state.gpr[x86::kRsp] + translated_.stack_delta;
  if (ends) return leave();
  translated_.leave_block = false;  // the handler is looked up
  const bool attention = needs_attention(translated_, translated_.state.rflags);
  return attention ? leave() : go_on(translated_.state.rip);
}

Translation* TranslatorVcpu::find_suspended(Translation& plain) {
  Mode suspended = plain.mode;
  suspended.suspended = true;
  const std::uint64_t linear = linear_at(translated_.state.rip, suspended);
  Translation* made = find_or_make(linear, suspended);
  return made != nullptr ? made : &plain;
}

void TranslatorVcpu::note_flat_pairs() {
  using x86::flat_code_segment, x86::flat_stack_segment, x86::with_rpl;
  Shortcuts& shortcuts = translated_.shortcuts;
  const std::uint64_t star = translated_.state.msr.star;
  if (shortcuts.pairs_known && shortcuts.star == star) return;
  const auto selector = [star](unsigned shift, unsigned more) {
    return static_cast<std::uint16_t>((star >> shift & 0xffff) + more);
  };
  const auto inner = static_cast<std::uint16_t>(selector(32, 0) & 0xfffc);
  const auto inner_ss = static_cast<std::uint16_t>(inner + 8);
  shortcuts.syscall = {with_rpl(flat_code_segment(inner, 0, true), 0),
                       with_rpl(flat_stack_segment(inner_ss, 0), 0)};
  shortcuts.sysret = {with_rpl(flat_code_segment(selector(48, 16), 3, true), 3),
                      with_rpl(flat_stack_segment(selector(48, 8), 3), 3)};
  shortcuts.star = star;
  shortcuts.pairs_known = true;
}

}  // namespace vireo::engine::translator
