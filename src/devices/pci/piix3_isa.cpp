#include "devices/pci/piix3_isa.h"

namespace vireo::devices {
namespace {

constexpr unsigned kPirqRoute = 0x60;
constexpr std::uint8_t kRouteDisabled = 0x80;
constexpr std::uint16_t kRoutable = 0xdef8;  // 3-7, 9-12, 14, 15

}  // namespace

Piix3Isa::Piix3Isa(std::array<bus::IrqLine*, 16> lines)
    : PciDevice({.vendor = 0x8086, .device = 0x7000, .class_code = 0x060100}), lines_(lines) {
  define8(0x0e, 0x80);             // one of several functions
  define16(0x04, 0x0007, 0x0108);  // decoding is always on
  define16(0x06, 0x0200);          // medium DEVSEL timing
  define8(0x4c, 0x4d, 0x7f);       // I/O recovery
  define16(0x4e, 0x0003, 0x01ff);  // X-Bus chip select
  for (unsigned i = 0; i < 4; ++i) define8(kPirqRoute + i, kRouteDisabled, 0x8f);
  define8(0x69, 0x02, 0xfe);  // top of memory
  define8(0x82, 0x00, 0x0f);
  routes_.fill(kRouteDisabled);
}

void Piix3Isa::set_pirq(unsigned pirq, bool high) {
  std::lock_guard lock(mutex_);
  const auto bit = static_cast<std::uint8_t>(1u << (pirq & 3));
  pirqs_ = static_cast<std::uint8_t>(high ? pirqs_ | bit : pirqs_ & ~bit);
  update_lines();
}

void Piix3Isa::route(const std::array<std::uint8_t, 4>& interrupts) {
  for (unsigned i = 0; i < 4; ++i) store_config8(kPirqRoute + i, interrupts[i] & 0x8f);
  on_config_written(kPirqRoute, 4);
}

void Piix3Isa::on_config_written(unsigned offset, unsigned size) {
  if (offset >= kPirqRoute + 4 || offset + size <= kPirqRoute) return;
  std::array<std::uint8_t, 4> routes{};
  for (unsigned i = 0; i < 4; ++i) routes[i] = config8(kPirqRoute + i);
  std::lock_guard lock(mutex_);
  routes_ = routes;
  update_lines();
}

/// Only lines that change are touched: the others may have other owners.
void Piix3Isa::update_lines() {
  unsigned wanted = 0;
  for (unsigned i = 0; i < 4; ++i) {
    if ((pirqs_ >> i & 1) && !(routes_[i] & kRouteDisabled)) wanted |= 1u << (routes_[i] & 0xf);
  }
  wanted &= kRoutable;
  const unsigned changed = wanted ^ driven_;
  driven_ = static_cast<std::uint16_t>(wanted);
  for (unsigned n = 0; n < lines_.size(); ++n) {
    if ((changed >> n & 1) && lines_[n]) lines_[n]->set_level(wanted >> n & 1);
  }
}

void Piix3Isa::on_reset() { on_config_written(kPirqRoute, 4); }

}  // namespace vireo::devices
