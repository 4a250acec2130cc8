#include "x86/delivery/stack_access.h"

#include "x86/semantics/operands.h"

namespace vireo::x86 {
namespace {

std::uint64_t stack_mask(const Segment& segment, StackMode mode) {
  if (mode == StackMode::kFlat64) return ~0ull;
  return segment.big() ? 0xffffffff : 0xffff;
}

}  // namespace

StackAccess::StackAccess(const CpuState& state, CpuPort& port)
    : StackAccess(state, port, state.segment[kSs], state.gpr[kRsp],
                  state.code64() ? StackMode::kFlat64 : StackMode::kSegmented, Privilege::kCurrent,
                  0) {}

StackAccess::StackAccess(const CpuState& state, CpuPort& port, const Segment& segment,
                         std::uint64_t rsp, StackMode mode, Privilege privilege,
                         std::uint32_t error_code)
    : state_(state),
      port_(port),
      segment_(segment),
      rsp_(rsp),
      mask_(stack_mask(segment, mode)),
      mode_(mode),
      privilege_(privilege),
      error_code_(error_code) {}

OrFault<LinearAddr> StackAccess::address(std::uint64_t offset, std::uint64_t size) const {
  if (mode_ == StackMode::kFlat64) {
    if (!canonical(state_, offset) || !canonical(state_, offset + size - 1))
      return fault(Vector::kSS, error_code_);
    return LinearAddr{offset};
  }
  if (!segment_.usable() || !within_limit(segment_, offset, size))
    return fault(Vector::kSS, error_code_);
  return LinearAddr{(segment_.base + offset) & 0xffffffff};
}

OrFault<> StackAccess::push(std::uint64_t value, unsigned width) {
  const std::uint64_t down = 0 - std::uint64_t{width};
  const auto target = TRY(address(offset_after(down), width));
  TRY(port_.write(target, std::as_bytes(std::span(&value, 1)).first(width), privilege_));
  move(down);
  return Unit{};
}

OrFault<std::uint64_t> StackAccess::peek(std::uint64_t depth, unsigned width) {
  const auto source = TRY(address(offset_after(depth), width));
  std::uint64_t value = 0;
  TRY(port_.read(source, std::as_writable_bytes(std::span(&value, 1)).first(width), privilege_));
  return value;
}

OrFault<std::uint64_t> StackAccess::pop(unsigned width) {
  const std::uint64_t value = TRY(peek(0, width));
  move(width);
  return value;
}

void StackAccess::move(std::uint64_t delta) {
  // A 16-bit stack leaves the rest of RSP alone; a 32-bit one clears it.
  const std::uint64_t kept = mask_ == 0xffff ? rsp_ & ~mask_ : 0;
  rsp_ = kept | offset_after(delta);
}

}  // namespace vireo::x86
