#include "devices/pci/piix4_pm.h"

namespace vireo::devices {
namespace {

// ACPI 6.4, tables 4.11 to 4.13.
constexpr std::uint16_t kPowerButton = 0x0100;
constexpr std::uint16_t kStatusBits = 0x8f31, kEnableBits = 0x0721, kInterruptBits = 0x0721;
constexpr std::uint16_t kSciEnable = 0x0001, kSleepEnable = 0x2000, kSleepType = 0x1c00;
constexpr std::uint16_t kControlBits = 0x1c03;  // that read back: sleep type, BM_RLD, SCI_EN

// Configuration registers. Intel 82371AB, 7.1.
constexpr unsigned kPmBase = 0x40, kPmMiscellaneous = 0x80;
constexpr std::uint16_t kPmBaseBits = 0xffc0;
constexpr std::uint8_t kPmEnabled = 0x01;

std::uint8_t byte_of(std::uint16_t value, unsigned index) {
  return static_cast<std::uint8_t>(value >> (8 * (index & 1)));
}
std::uint16_t with_byte(std::uint16_t value, unsigned index, std::uint8_t byte) {
  const unsigned shift = 8 * (index & 1);
  return static_cast<std::uint16_t>((value & ~(0xffu << shift)) | unsigned{byte} << shift);
}
std::uint16_t cleared(std::uint16_t value, unsigned index, std::uint8_t ones) {
  return static_cast<std::uint16_t>(value & ~(unsigned{ones} << (8 * (index & 1))));
}

}  // namespace

Piix4Pm::Piix4Pm(bus::IrqLine& sci, PowerOffRequest power_off)
    : PciDevice({.vendor = 0x8086,
                 .device = 0x7113,
                 .class_code = 0x068000,
                 .revision = 3,
                 .subsystem_vendor = 0x1af4,
                 .subsystem = 0x1100,
                 .interrupt_pin = 1}),
      sci_(sci),
      power_off_(std::move(power_off)) {
  define16(0x04, 0x0001, 0x0546);  // its I/O is always on
  define16(0x06, 0x0280);
  define8(0x3c, kSci);
  define32(kPmBase, 1, kPmBaseBits);
  define8(0x5b, 0x02);  // DEVACTB: APM control is enabled, so no SMM has to be set up
  define8(kPmMiscellaneous, 0, kPmEnabled);
  define32(0x90, 0x0001, 0xfff0);  // SMBus base
  define8(0xd2, 0x00, 0x0f);
}

Result<> Piix4Pm::attach(bus::AddressMap& pio, bus::BusDevice& timer) {
  TRY(pio.add(kSmiCommand, 2, smi_ports_, "SMI command"));
  pio_ = &pio;
  timer_ = &timer;
  place();
  return {};
}

void Piix4Pm::set_up() {
  store_config32(kPmBase, kUsualBase | 1u);
  store_config8(kPmMiscellaneous, kPmEnabled);
  place();
}

std::uint16_t Piix4Pm::base() const {
  const std::lock_guard lock(place_mutex_);
  return base_;
}

/// Puts the block where its registers say. Where something else is already it is not seen.
void Piix4Pm::place() {
  if (pio_ == nullptr) return;
  const bool enabled = (config8(kPmMiscellaneous) & kPmEnabled) != 0;
  const std::uint16_t wanted = enabled ? config16(kPmBase) & kPmBaseBits : 0;
  const std::lock_guard lock(place_mutex_);
  if (wanted == base_) return;
  if (base_ != 0) pio_->remove(base_);
  const bool placed = wanted != 0 && pio_->add(wanted, kBlockSize, block_, "power management");
  base_ = placed ? wanted : std::uint16_t{0};
}

void Piix4Pm::on_config_written(unsigned offset, unsigned size) {
  if (offset <= kPmMiscellaneous && offset + size > kPmBase) place();
}

void Piix4Pm::read_block(std::uint64_t offset, std::span<std::byte> data) {
  if (offset >= kTimer && offset + data.size() <= kGpe0) return timer_->read(offset - kTimer, data);
  for (std::size_t i = 0; i < data.size(); ++i) {
    const auto at = static_cast<unsigned>(offset + i);
    const bool general = at >= kGpe0 && at < kGpe0 + 4u;
    data[i] = std::byte{general ? read_gpe(at - kGpe0) : read_pm1(at)};
  }
}
void Piix4Pm::write_block(std::uint64_t offset, std::span<const std::byte> data) {
  for (std::size_t i = 0; i < data.size(); ++i) {
    const auto at = static_cast<unsigned>(offset + i);
    const auto value = std::to_integer<std::uint8_t>(data[i]);
    if (at < kTimer) write_pm1(at, value);
    if (at >= kGpe0 && at < kGpe0 + 4u) write_gpe(at - kGpe0, value);
  }
}

std::uint8_t Piix4Pm::read_pm1(unsigned offset) {
  std::lock_guard lock(mutex_);
  if (offset < 2) return byte_of(state_.pm1_status, offset);
  if (offset < 4) return byte_of(state_.pm1_enable, offset);
  return offset < 6 ? byte_of(state_.pm1_control, offset) : 0;
}

void Piix4Pm::write_pm1(unsigned offset, std::uint8_t value) {
  bool off = false;
  {
    std::lock_guard lock(mutex_);
    if (offset < 2) {
      state_.pm1_status = cleared(state_.pm1_status, offset, value);
    } else if (offset < 4) {
      state_.pm1_enable = with_byte(state_.pm1_enable, offset, value) & kEnableBits;
    } else if (offset < 6) {
      off = write_control(offset, value);
    }
    update_sci();
  }
  if (off && power_off_) power_off_();
}

/// True if the guest turns the machine off. SCI_EN belongs to the firmware: only the SMI command
/// port changes it.
bool Piix4Pm::write_control(unsigned offset, std::uint8_t value) {
  const std::uint16_t written = with_byte(state_.pm1_control, offset, value);
  const unsigned owned = state_.pm1_control & kSciEnable;
  state_.pm1_control = static_cast<std::uint16_t>((written & kControlBits & ~kSciEnable) | owned);
  return (written & kSleepEnable) && (written & kSleepType) >> 10 == kSoftOff;
}

std::uint8_t Piix4Pm::read_gpe(unsigned offset) {
  std::lock_guard lock(mutex_);
  return byte_of(offset < 2 ? state_.gpe_status : state_.gpe_enable, offset);
}
void Piix4Pm::write_gpe(unsigned offset, std::uint8_t value) {
  std::lock_guard lock(mutex_);
  if (offset < 2)
    state_.gpe_status = cleared(state_.gpe_status, offset, value);
  else
    state_.gpe_enable = with_byte(state_.gpe_enable, offset, value);
  update_sci();
}

std::uint8_t Piix4Pm::read_smi(unsigned offset) {
  std::lock_guard lock(mutex_);
  return offset == 0 ? state_.smi_command : state_.smi_data;
}
void Piix4Pm::write_smi(unsigned offset, std::uint8_t value) {
  std::lock_guard lock(mutex_);
  if (offset != 0) {
    state_.smi_data = value;
    return;
  }
  state_.smi_command = value;
  if (value == kAcpiEnable) state_.pm1_control |= kSciEnable;
  if (value == kAcpiDisable) state_.pm1_control &= static_cast<std::uint16_t>(~kSciEnable);
  update_sci();
}

void Piix4Pm::press_power_button() {
  std::lock_guard lock(mutex_);
  state_.pm1_status |= kPowerButton;
  update_sci();
}

void Piix4Pm::raise_gpe(unsigned event) {
  std::lock_guard lock(mutex_);
  state_.gpe_status |= static_cast<std::uint16_t>(1u << (event & 15));
  update_sci();
}

void Piix4Pm::update_sci() {
  const unsigned fixed = state_.pm1_status & state_.pm1_enable & kInterruptBits;
  const unsigned general = state_.gpe_status & state_.gpe_enable;
  sci_.set_level((state_.pm1_control & kSciEnable) && (fixed | general) != 0);
}

void Piix4Pm::on_reset() {
  place();
  std::lock_guard lock(mutex_);
  state_ = {};
  update_sci();
}

AcpiPmState Piix4Pm::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}
Result<> Piix4Pm::restore(const AcpiPmState& state) {
  if (state.pm1_status & ~kStatusBits || state.pm1_enable & ~kEnableBits ||
      state.pm1_control & ~kControlBits)
    return usage_error("piix4: bits are set that do not exist");
  std::lock_guard lock(mutex_);
  state_ = state;
  update_sci();
  return Unit{};
}

}  // namespace vireo::devices
