#include "devices/pci/i440fx.h"

#include <algorithm>

#include "base/assert.h"
#include "bus/access_split.h"

namespace vireo::devices {
namespace {

constexpr std::uint64_t kResetControl = 1;  // port 0xcf9
constexpr std::uint64_t kConfigData = 4;
constexpr std::uint32_t kEnable = 0x80000000, kAddressBits = 0x80fffffc;
constexpr std::uint8_t kResetCpu = 0x04, kResetControlBits = 0x0a;
constexpr unsigned kPam0 = 0x59, kPamCount = 7, kSmram = 0x72;

}  // namespace

// The subsystem is the one by which PC firmware knows a virtual machine with fw_cfg.
I440fx::I440fx(bus::PciBus& bus, ResetRequest reset)
    : PciDevice({.vendor = 0x8086,
                 .device = 0x1237,
                 .class_code = 0x060000,
                 .revision = 2,
                 .subsystem_vendor = 0x1af4,
                 .subsystem = 0x1100}),
      bus_(bus),
      reset_request_(std::move(reset)) {
  define16(0x04, 0x0006, 0x0140);  // memory and bus mastering are always on
  define16(0x50, 0x0000, 0xffff);  // PMCCFG
  for (unsigned i = 0; i < kPamCount; ++i) define8(kPam0 + i, 0x00, i == 0 ? 0x30 : 0x33);
  for (unsigned i = 0; i < 8; ++i) define8(0x60 + i, 0x00, 0xff);  // DRAM row boundaries
  define8(kSmram, 0x02, 0x78);
}

PamSegment I440fx::pam(unsigned segment) const {
  VIREO_ASSERT(segment < kSegments);
  // PAM0 holds 0xf0000-0xfffff in its upper half, the others two segments each.
  const bool top = segment == kSegments - 1;
  const std::uint8_t value = config8(top ? kPam0 : kPam0 + 1 + segment / 2);
  const unsigned bits = top || segment % 2 ? value >> 4 : value & 0xfu;
  return {(bits & 1) != 0, (bits & 2) != 0};
}

void I440fx::on_config_written(unsigned offset, unsigned size) {
  if (offset < kPam0 + kPamCount && offset + size > kPam0 && pam_listener_) pam_listener_();
}

/// Which byte of configuration space a data port stands for at the moment.
std::optional<std::uint32_t> I440fx::target(std::uint64_t offset) const {
  std::lock_guard lock(mutex_);
  if (!(state_.address & kEnable)) return std::nullopt;
  return (state_.address & ~kEnable) + static_cast<std::uint32_t>(offset - kConfigData);
}

void I440fx::read_ports(std::uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
  if (offset >= kConfigData) {
    if (const auto address = target(offset)) bus_.config_read(*address, data);
    return;
  }
  std::lock_guard lock(mutex_);
  if (offset == 0 && data.size() == 4) bus::from_number(data, state_.address);
  if (offset == kResetControl && data.size() == 1) data[0] = std::byte{state_.reset_control};
}

void I440fx::write_ports(std::uint64_t offset, std::span<const std::byte> data) {
  if (offset >= kConfigData) {
    if (const auto address = target(offset)) bus_.config_write(*address, data);
    return;
  }
  if (offset == kResetControl && data.size() == 1)
    return write_reset_control(std::to_integer<std::uint8_t>(data[0]));
  if (offset != 0 || data.size() != 4) return;  // narrow accesses go to the ports behind
  std::lock_guard lock(mutex_);
  state_.address = static_cast<std::uint32_t>(bus::to_number(data)) & kAddressBits;
}

/// Setting bit 2 resets the CPU, or with bit 1 the whole machine; we have one kind of reset.
void I440fx::write_reset_control(std::uint8_t value) {
  {
    std::lock_guard lock(mutex_);
    state_.reset_control = value & kResetControlBits;
  }
  if ((value & kResetCpu) && reset_request_) reset_request_();
}

void I440fx::on_reset() {
  {
    std::lock_guard lock(mutex_);
    state_ = {};
  }
  if (pam_listener_) pam_listener_();
}

I440fx::State I440fx::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}
Result<> I440fx::restore(const State& state) {
  if (state.address & ~kAddressBits || state.reset_control & ~kResetControlBits)
    return usage_error("i440fx: bits are set that do not exist");
  {
    std::lock_guard lock(mutex_);
    state_ = state;
  }
  if (pam_listener_) pam_listener_();
  return Unit{};
}

}  // namespace vireo::devices
