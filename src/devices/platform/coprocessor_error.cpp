#include "devices/platform/coprocessor_error.h"

#include <algorithm>

namespace vireo::devices {

void CoprocessorError::set_ferr(unsigned cpu, bool asserted) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t pin = std::uint64_t{1} << cpu;
  if (asserted) {
    if ((state_.ferr & pin) == 0) state_.request = 1;
    state_.ferr |= pin;
  } else {
    state_.ferr &= ~pin;
    state_.ignne &= ~pin;
  }
  update_irq();
}

bool CoprocessorError::ignne(unsigned cpu) const {
  const std::lock_guard lock(mutex_);
  return (state_.ignne >> cpu & 1) != 0;
}

void CoprocessorError::reset() { restore({}); }

CoprocessorErrorState CoprocessorError::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void CoprocessorError::restore(const CoprocessorErrorState& state) {
  const std::lock_guard lock(mutex_);
  state_ = state;
  state_.ignne &= state.ferr;
  state_.request &= 1;
  update_irq();
}

/// The register is for writing alone.
void CoprocessorError::read(std::uint64_t, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
}

void CoprocessorError::write(std::uint64_t, std::span<const std::byte>) {
  const std::lock_guard lock(mutex_);
  state_.request = 0;
  state_.ignne = state_.ferr;
  update_irq();
}

void CoprocessorError::update_irq() { irq_.set_level(state_.request != 0); }

}  // namespace vireo::devices
