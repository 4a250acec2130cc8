#include "devices/irqchip/i8259_chip.h"

namespace vireo::devices {
namespace {

constexpr std::uint8_t kIcw1NeedsIcw4 = 0x01, kIcw1Single = 0x02, kIcw1Level = 0x08;
constexpr std::uint8_t kIcw1 = 0x10, kOcw3 = 0x08;
constexpr std::uint8_t kIcw4AutoEoi = 0x02, kIcw4SpecialNested = 0x10;
constexpr std::uint8_t kOcw3ReadIsr = 0x01, kOcw3ReadEnable = 0x02, kOcw3Poll = 0x04;
constexpr std::uint8_t kOcw3SpecialMask = 0x20, kOcw3SpecialMaskEnable = 0x40;
constexpr std::uint8_t kOcw2Eoi = 0x20, kOcw2Specific = 0x40, kOcw2Rotate = 0x80;
constexpr std::uint8_t kMasterElcr = 0xf8, kSlaveElcr = 0xde;
constexpr unsigned kCascadeInput = 2, kSpuriousInput = 7;

constexpr std::uint8_t bit(unsigned n) { return static_cast<std::uint8_t>(1U << n); }
constexpr void clear(std::uint8_t& set, unsigned n) {
  set = static_cast<std::uint8_t>(set & ~bit(n));
}

}  // namespace

std::uint8_t I8259::read(unsigned port) {
  if (state_.poll) {
    state_.poll = 0;
    const int input = best_request();
    if (input < 0) return 0;
    take(static_cast<unsigned>(input));
    return static_cast<std::uint8_t>(0x80 | input);
  }
  if (port != 0) return state_.masked;
  return state_.read_in_service ? state_.in_service : requests();
}

void I8259::write(unsigned port, std::uint8_t value) {
  if (port != 0) {
    if (state_.expected_icw != 0)
      write_next_icw(value);
    else
      state_.masked = value;
    return;
  }
  if (value & kIcw1)
    write_icw1(value);
  else if (value & kOcw3)
    write_ocw3(value);
  else
    write_ocw2(value);
}

void I8259::write_elcr(std::uint8_t value) {
  state_.elcr = value & (role_ == Role::kMaster ? kMasterElcr : kSlaveElcr);
}

void I8259::set_input(unsigned input, bool high) {
  if (!high) {
    // The latch holds only while the input does: a request that goes away is spurious.
    clear(state_.levels, input);
    clear(state_.edges, input);
    return;
  }
  if (!(state_.levels & bit(input))) state_.edges |= bit(input);
  state_.levels |= bit(input);
}

unsigned I8259::acknowledge() {
  const int input = best_request();
  if (input < 0) return kSpuriousInput;
  take(static_cast<unsigned>(input));
  return static_cast<unsigned>(input);
}

Result<> I8259::restore(const I8259State& state) {
  const auto flag = [](std::uint8_t value) { return value <= 1; };
  if (state.lowest > 7 || (state.vector_base & 7) != 0 || state.expected_icw == 1 ||
      state.expected_icw > 4 || !flag(state.initialized) || !flag(state.rotate_on_aeoi) ||
      !flag(state.special_mask) || !flag(state.read_in_service) || !flag(state.poll) ||
      (state.edges & ~state.levels) != 0 ||
      (state.elcr & ~(role_ == Role::kMaster ? kMasterElcr : kSlaveElcr)) != 0)
    return host_error("i8259: the saved state could not have been this chip's");
  state_ = state;
  return Unit{};
}

void I8259::reset() {
  const auto levels = state_.levels;
  state_ = {};
  state_.levels = levels;
}

std::uint8_t I8259::level_triggered() const {
  return state_.icw1 & kIcw1Level ? 0xff : state_.elcr;
}

/// IRR.
std::uint8_t I8259::requests() const {
  const auto by_level = level_triggered();
  return static_cast<std::uint8_t>((state_.levels & by_level) | (state_.edges & ~by_level));
}

/// The input to serve next, -1 if there is none: unmasked and above everything in service.
int I8259::best_request() const {
  if (!state_.initialized || state_.expected_icw != 0) return -1;
  const int input = first_by_priority(static_cast<std::uint8_t>(requests() & ~state_.masked));
  if (input < 0) return -1;
  auto blocking = state_.in_service;
  // A masked input does not block others in special mask mode.
  if (state_.special_mask) blocking = static_cast<std::uint8_t>(blocking & ~state_.masked);
  // Special fully nested: a higher request of a slave in service gets through.
  if ((state_.icw4 & kIcw4SpecialNested) && role_ == Role::kMaster && input == kCascadeInput)
    clear(blocking, kCascadeInput);
  const int above = first_by_priority(static_cast<std::uint8_t>(blocking | bit(unsigned(input))));
  return above == input && !(blocking & bit(unsigned(input))) ? input : -1;
}

int I8259::highest_in_service() const {
  // A non-specific EOI passes over inputs that are masked in special mask mode.
  const unsigned ignored = state_.special_mask ? state_.masked : 0;
  return first_by_priority(static_cast<std::uint8_t>(state_.in_service & ~ignored));
}

int I8259::first_by_priority(std::uint8_t set) const {
  for (unsigned i = 1; i <= 8; ++i) {
    const unsigned input = (state_.lowest + i) & 7;
    if (set & bit(input)) return static_cast<int>(input);
  }
  return -1;
}

void I8259::take(unsigned input) {
  clear(state_.edges, input);
  if (!(state_.icw4 & kIcw4AutoEoi))
    state_.in_service |= bit(input);
  else if (state_.rotate_on_aeoi)
    state_.lowest = static_cast<std::uint8_t>(input);
}

void I8259::write_icw1(std::uint8_t value) {
  state_.icw1 = value;
  state_.edges = 0;
  state_.in_service = 0;
  state_.masked = 0;
  state_.lowest = 7;
  state_.special_mask = 0;
  state_.read_in_service = 0;
  state_.poll = 0;
  state_.initialized = 0;
  if (!(value & kIcw1NeedsIcw4)) state_.icw4 = 0;
  state_.expected_icw = 2;
}

void I8259::write_next_icw(std::uint8_t value) {
  const bool needs_icw4 = state_.icw1 & kIcw1NeedsIcw4;
  switch (state_.expected_icw) {
    case 2:
      state_.vector_base = value & 0xf8;
      state_.expected_icw = !(state_.icw1 & kIcw1Single) ? 3 : needs_icw4 ? 4 : 0;
      break;
    case 3:
      state_.icw3 = value;
      state_.expected_icw = needs_icw4 ? 4 : 0;
      break;
    default:
      state_.icw4 = value & 0x1f;
      state_.expected_icw = 0;
      break;
  }
  state_.initialized = state_.expected_icw == 0;
}

void I8259::write_ocw2(std::uint8_t value) {
  const unsigned input = value & 7;
  const bool rotate = value & kOcw2Rotate;
  const bool specific = value & kOcw2Specific;
  if (value & kOcw2Eoi) {
    const int served = specific ? static_cast<int>(input) : highest_in_service();
    if (served < 0) return;
    clear(state_.in_service, static_cast<unsigned>(served));
    if (rotate) state_.lowest = static_cast<std::uint8_t>(served);
  } else if (!specific) {
    state_.rotate_on_aeoi = rotate;
  } else if (rotate) {
    state_.lowest = static_cast<std::uint8_t>(input);
  }
}

void I8259::write_ocw3(std::uint8_t value) {
  if (value & kOcw3SpecialMaskEnable) state_.special_mask = (value & kOcw3SpecialMask) != 0;
  if (value & kOcw3Poll)
    state_.poll = 1;
  else if (value & kOcw3ReadEnable)
    state_.read_in_service = value & kOcw3ReadIsr;
}

}  // namespace vireo::devices
