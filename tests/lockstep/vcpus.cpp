#include "lockstep/vcpus.h"

#include <utility>

#include "support/host_listing.h"

namespace vireo::test {

using engine::ExitReason;
using engine::PendingEvents;
using engine::translator::Translation;
using engine::translator::TranslatorCpu;

Result<ExitReason> SteppingInterpreter::run() {
  executed_.reset();
  return InterpreterVcpu::run();
}

SteppingInterpreter::Place SteppingInterpreter::here() const {
  const x86::CpuState& state = cpu_->state;
  if (state.code64()) return {state.rip, x86::CodeSize::k64};
  const x86::Segment& cs = state.segment[x86::kCs];
  return {(state.rip + cs.base) & 0xffffffff, cs.big() ? x86::CodeSize::k32 : x86::CodeSize::k16};
}

void SteppingInterpreter::execute() {
  executed_ = here();
  execute_one();
  cpu_->events.raise(PendingEvents::kKick);
}

std::optional<ExitReason> SteppingInterpreter::step() {
  executed_ = here();
  const auto exit = InterpreterVcpu::step();
  cpu_->events.raise(PendingEvents::kKick);
  return exit;
}

std::vector<std::uint8_t> SteppingInterpreter::code_at(std::uint64_t linear, std::size_t size) {
  const auto physical = mmu_.translate_code(LinearAddr{linear});
  if (!physical) return {};
  size = std::min<std::size_t>(size, kPageSize - (linear & kPageMask));
  std::vector<std::uint8_t> bytes(size);
  if (!mmu_.memory().read(*physical, std::as_writable_bytes(std::span(bytes)))) bytes.clear();
  return bytes;
}

Result<ExitReason> SteppingTranslator::run() {
  in_translation_ = false;
  return TranslatorVcpu::run();
}

void SteppingTranslator::execute() {
  if (std::exchange(interpret_next_, false) || !translate_here())
    execute_one();
  else
    run_stretch();
  cpu_->events.raise(PendingEvents::kKick);
}

void SteppingTranslator::stop_soon(bool stop) {
  const std::uint32_t others = cpu_->events.take() & ~PendingEvents::kStop;
  if (const std::uint32_t events = stop ? others | PendingEvents::kStop : others; events != 0)
    cpu_->events.raise(events);
}

/// Everything is as it was.
bool SteppingTranslator::went_nowhere(const x86::CpuState& before) const {
  x86::CpuState now;
  store(now);
  return now == before;
}

void SteppingTranslator::run_stretch() {
  x86::CpuState before;
  store(before);
  in_translation_ = true;
  const auto run_once = [this] {
    stop_soon(true);
    not_translated_ = kNoAddress;  // it may be by now
    TranslatorVcpu::execute();
    stop_soon(false);
  };
  run_once();
  if (translated_.fault_pending) return;
  if (translated_.exit != TranslatorCpu::kEvent) {
    after_exit();  // once more, now that nothing keeps it from linking
    // A stack on two pages: to the careful code of the same place.
    if (went_nowhere(before)) run_once();
    return;
  }
  // Left before its first instruction.
  if (went_nowhere(before) && std::exchange(interpret_next_, false)) {
    in_translation_ = false;
    execute_one();
  }
}

/// Otherwise every call would end the stretch, and nothing would go on behind one.
const void* SteppingTranslator::execute_site(const engine::translator::Site& site) {
  stop_soon(false);
  const void* next = TranslatorVcpu::execute_site(site);
  stop_soon(true);
  if (next == nullptr || next == site.resume) return next;
  // To other code: in the same stretch, instructions could run twice.
  translated_.exit = TranslatorCpu::kEvent;
  return nullptr;
}

std::vector<std::string> SteppingTranslator::listing_at(std::uint64_t linear) {
  const auto mode = TranslatorVcpu::mode();
  const Translation* translation = mode ? find(linear, *mode) : nullptr;
  if (translation == nullptr) return {};
  return list_translation(*translation, cache_.glue());
}

}  // namespace vireo::test
