#include "devices/serial/uart16550.h"

#include <algorithm>

namespace vireo::devices {
namespace {

enum Register : unsigned { kData, kIer, kIir, kLcr, kMcr, kLsr, kMsr, kScr };

constexpr std::uint8_t kIerReceived = 0x01, kIerTransmitEmpty = 0x02, kIerLineStatus = 0x04,
                       kIerModemStatus = 0x08;
constexpr std::uint8_t kIirNone = 0x01, kIirModemStatus = 0x00, kIirTransmitEmpty = 0x02,
                       kIirReceived = 0x04, kIirLineStatus = 0x06, kIirTimeout = 0x0c;
constexpr std::uint8_t kIirFifosEnabled = 0xc0;
constexpr std::uint8_t kFcrEnable = 0x01, kFcrClearReceived = 0x02, kFcrTrigger = 0xc0;
constexpr std::uint8_t kLcrBreak = 0x40;
constexpr std::uint8_t kLsrReady = 0x01, kLsrOverrun = 0x02, kLsrBreak = 0x10, kLsrIdle = 0x60,
                       kLsrFifoError = 0x80;
constexpr std::uint8_t kLsrCharacterErrors = 0x1c;
constexpr std::uint8_t kMsrConnected = 0xb0;  // carrier, data set ready, clear to send
constexpr std::uint8_t kMsrRing = 0x40;
constexpr std::uint64_t kClockHz = 1'843'200;

}  // namespace

Uart16550::Uart16550(bus::IrqLine& irq, backends::CharBackend& backend, const Clock& clock,
                     TimerService& timers)
    : irq_(irq),
      backend_(backend),
      clock_(clock),
      timeout_(timers.create_timer([this] { on_timeout(); })) {
  backend_.set_reader([this](std::span<const std::uint8_t> bytes) { return receive(bytes); });
  backend_.set_break_listener([this] { receive_break(); });
}

void Uart16550::read(std::uint64_t offset, std::span<std::byte> data) {
  std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < data.size(); ++i)
    data[i] = std::byte{read_register(static_cast<unsigned>(offset + i))};
}

void Uart16550::write(std::uint64_t offset, std::span<const std::byte> data) {
  std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < data.size(); ++i)
    write_register(static_cast<unsigned>(offset + i), std::to_integer<std::uint8_t>(data[i]));
}

std::uint8_t Uart16550::read_register(unsigned reg) {
  switch (reg) {
    case kData:
      return divisor_latched() ? static_cast<std::uint8_t>(state_.divisor) : pop_received();
    case kIer:
      return divisor_latched() ? static_cast<std::uint8_t>(state_.divisor >> 8)
                               : state_.interrupt_enable;
    case kIir:
      return read_interrupt_id();
    case kLcr:
      return state_.line_control;
    case kMcr:
      return state_.modem_control;
    case kLsr:
      return read_line_status();
    case kMsr:
      return read_modem_status();
    case kScr:
      return state_.scratch;
    default:
      return 0xff;
  }
}

void Uart16550::write_register(unsigned reg, std::uint8_t value) {
  switch (reg) {
    case kData:
      if (divisor_latched())
        state_.divisor = static_cast<std::uint16_t>((state_.divisor & 0xff00) | value);
      else
        transmit(value);
      break;
    case kIer:
      if (divisor_latched())
        state_.divisor = static_cast<std::uint16_t>((state_.divisor & 0x00ff) | value << 8);
      else
        write_interrupt_enable(value);
      break;
    case kIir:  // FCR when written
      write_fifo_control(value);
      break;
    case kLcr:
      write_line_control(value);
      break;
    case kMcr:
      write_modem_control(value);
      break;
    case kScr:
      state_.scratch = value;
      break;
    default:
      break;  // LSR and MSR are read-only
  }
  update_irq();
}

/// Reading it acknowledges the transmitter's interrupt, and only if it is the one that is shown.
std::uint8_t Uart16550::read_interrupt_id() {
  const std::uint8_t id = interrupt_id();
  if (id == kIirTransmitEmpty) {
    state_.transmit_empty_pending = 0;
    update_irq();
  }
  return fifos_enabled() ? id | kIirFifosEnabled : id;
}

std::uint8_t Uart16550::read_line_status() {
  std::uint8_t status = kLsrIdle | line_errors();
  if (state_.rx_count) status |= kLsrReady;
  const auto received = std::span(state_.rx_fifo).first(state_.rx_count);
  if (fifos_enabled() && std::ranges::any_of(received, [](auto& c) { return c.errors != 0; }))
    status |= kLsrFifoError;
  state_.overrun = 0;
  state_.rx_fifo[0].errors = 0;
  update_irq();
  return status;
}

std::uint8_t Uart16550::read_modem_status() {
  const std::uint8_t status = modem_lines() | state_.modem_deltas;
  state_.modem_deltas = 0;
  update_irq();
  return status;
}

/// Setting the enable bit while the transmitter is empty, and it always is, is an interrupt.
void Uart16550::write_interrupt_enable(std::uint8_t value) {
  if (value & ~state_.interrupt_enable & kIerTransmitEmpty) state_.transmit_empty_pending = 1;
  state_.interrupt_enable = value & 0x0f;
}

void Uart16550::write_fifo_control(std::uint8_t value) {
  const bool toggled = ((value ^ state_.fifo_control) & kFcrEnable) != 0;
  state_.fifo_control = value & kFcrEnable ? value & (kFcrEnable | kFcrTrigger) : 0;
  if (toggled || (fifos_enabled() && value & kFcrClearReceived)) clear_received();
}

/// A break sent in loopback arrives as one character of zeros.
void Uart16550::write_line_control(std::uint8_t value) {
  const bool break_begins = (value & ~state_.line_control & kLcrBreak) != 0;
  state_.line_control = value;
  if (break_begins && loopback()) push_received({0, kLsrBreak});
}

void Uart16550::write_modem_control(std::uint8_t value) {
  const std::uint8_t before = modem_lines();
  state_.modem_control = value & 0x1f;
  const std::uint8_t after = modem_lines();
  const unsigned changed = (before ^ after) & ~kMsrRing;  // of ring, only the end counts
  state_.modem_deltas |= static_cast<std::uint8_t>((changed | (before & ~after & kMsrRing)) >> 4);
}

/// The line goes low and high again: an edge-triggered controller sees every character's interrupt.
void Uart16550::transmit(std::uint8_t byte) {
  state_.transmit_empty_pending = 0;
  update_irq();
  if (loopback())
    push_received({byte, 0});
  else
    backend_.write({&byte, 1});
  state_.transmit_empty_pending = 1;
}

std::size_t Uart16550::receive(std::span<const std::uint8_t> bytes) {
  std::lock_guard lock(mutex_);
  const std::size_t room = loopback() ? 0 : capacity() - state_.rx_count;
  const std::size_t taken = std::min(room, bytes.size());
  for (const std::uint8_t byte : bytes.first(taken)) push_received({byte, 0});
  backend_waits_ = taken < bytes.size();
  update_irq();
  return taken;
}

void Uart16550::receive_break() {
  std::lock_guard lock(mutex_);
  if (loopback()) return;
  push_received({0, kLsrBreak});
  update_irq();
}

void Uart16550::push_received(UartCharacter character) {
  if (state_.rx_count == capacity()) {
    state_.overrun = 1;
    // Without FIFOs the newcomer replaces the one that was not read; with them it is lost.
    if (!fifos_enabled()) state_.rx_fifo[0] = character;
    return;
  }
  state_.rx_fifo[state_.rx_count++] = character;
  restart_timeout();
}

std::uint8_t Uart16550::pop_received() {
  const std::uint8_t byte = state_.rx_fifo[0].byte;  // what was read last, if nothing is new
  if (state_.rx_count > 1)
    std::shift_left(state_.rx_fifo.begin(), state_.rx_fifo.begin() + state_.rx_count, 1);
  if (state_.rx_count) --state_.rx_count;
  if (state_.rx_count == 0) state_.rx_fifo[0].errors = 0;
  restart_timeout();
  update_irq();
  if (backend_waits_ && state_.rx_count <= capacity() / 2) {
    backend_waits_ = false;
    backend_.resume_input();
  }
  return byte;
}

void Uart16550::clear_received() {
  state_.rx_count = 0;
  state_.rx_fifo = {};
  state_.overrun = 0;
  restart_timeout();
  if (std::exchange(backend_waits_, false)) backend_.resume_input();
}

/// With FIFOs, characters below the trigger level interrupt four character times after the last
/// arrived or was read.
void Uart16550::restart_timeout() {
  state_.timeout_pending = 0;
  timeout_at_ns_ = 0;
  if (!fifos_enabled() || state_.rx_count == 0) return timeout_->cancel();
  timeout_at_ns_ = clock_.now_ns() + 4 * character_time_ns();
  timeout_->arm(timeout_at_ns_);
}

void Uart16550::on_timeout() {
  std::lock_guard lock(mutex_);
  // A callback that was already on its way when the timer was restarted comes too early.
  if (timeout_at_ns_ == 0 || clock_.now_ns() < timeout_at_ns_) return;
  state_.timeout_pending = 1;
  update_irq();
}

std::uint64_t Uart16550::character_time_ns() const {
  const unsigned data = 5 + (state_.line_control & 0x03);
  const unsigned stop = state_.line_control & 0x04 ? 2 : 1;
  const unsigned parity = state_.line_control & 0x08 ? 1 : 0;
  const std::uint64_t divisor = std::max<std::uint16_t>(state_.divisor, 1);
  return (1 + data + parity + stop) * divisor * 16 * 1'000'000'000 / kClockHz;
}

std::size_t Uart16550::trigger_level() const {
  constexpr std::array<std::size_t, 4> kLevels{1, 4, 8, 14};
  return fifos_enabled() ? kLevels[state_.fifo_control >> 6] : 1;
}

std::uint8_t Uart16550::line_errors() const {
  const std::uint8_t oldest = state_.rx_count ? state_.rx_fifo[0].errors : std::uint8_t{0};
  return state_.overrun ? oldest | kLsrOverrun : oldest;
}

/// The four inputs: from the other end, or in loopback from our own outputs.
std::uint8_t Uart16550::modem_lines() const {
  if (!loopback()) return kMsrConnected;
  const unsigned outputs = state_.modem_control;
  return static_cast<std::uint8_t>((outputs & 0x02) << 3 |  // RTS -> CTS
                                   (outputs & 0x01) << 5 |  // DTR -> DSR
                                   (outputs & 0x0c) << 4);  // OUT1 -> RI, OUT2 -> DCD
}

/// The highest-priority interrupt that is both pending and enabled.
std::uint8_t Uart16550::interrupt_id() const {
  const std::uint8_t enabled = state_.interrupt_enable;
  if (line_errors() && (enabled & kIerLineStatus)) return kIirLineStatus;
  if (enabled & kIerReceived) {
    if (state_.rx_count >= trigger_level()) return kIirReceived;
    if (state_.timeout_pending) return kIirTimeout;
  }
  if (state_.transmit_empty_pending && (enabled & kIerTransmitEmpty)) return kIirTransmitEmpty;
  if (state_.modem_deltas && (enabled & kIerModemStatus)) return kIirModemStatus;
  return kIirNone;
}

void Uart16550::update_irq() { irq_.set_level(interrupt_id() != kIirNone); }

void Uart16550::reset() {
  std::lock_guard lock(mutex_);
  state_ = {};
  clear_received();
  update_irq();
}

Uart16550State Uart16550::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

Result<> Uart16550::restore(const Uart16550State& state) {
  const bool fifos = (state.fifo_control & kFcrEnable) != 0;
  if (state.rx_count > (fifos ? state.rx_fifo.size() : 1))
    return usage_error("uart16550: {} characters received do not fit", state.rx_count);
  if (state.fifo_control & ~(kFcrEnable | kFcrTrigger) || state.interrupt_enable & ~0x0f ||
      state.modem_control & ~0x1f || state.modem_deltas & ~0x0f ||
      (state.transmit_empty_pending | state.timeout_pending | state.overrun) > 1)
    return usage_error("uart16550: bits are set that do not exist");
  for (const auto& character : state.rx_fifo) {
    if (character.errors & ~kLsrCharacterErrors)
      return usage_error("uart16550: a received character has an unknown error");
  }
  std::lock_guard lock(mutex_);
  state_ = state;
  if (!state_.timeout_pending) restart_timeout();
  update_irq();
  return Unit{};
}

}  // namespace vireo::devices
