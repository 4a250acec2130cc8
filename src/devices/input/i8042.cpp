#include "devices/input/i8042.h"

#include <algorithm>
#include <utility>

namespace vireo::devices {
namespace {

// The command byte.
constexpr std::uint8_t kKeyboardInterrupt = 0x01, kMouseInterrupt = 0x02, kSystemFlag = 0x04,
                       kKeyboardOff = 0x10, kMouseOff = 0x20, kTranslate = 0x40;
// The status register.
constexpr std::uint8_t kOutputFull = 0x01, kLastWasCommand = 0x08, kUnlocked = 0x10,
                       kFromMouse = 0x20;
// The output port.
constexpr std::uint8_t kNotReset = 0x01, kAddress20 = 0x02;

constexpr std::uint8_t kReadRam = 0x20, kWriteRam = 0x60, kReadPassword = 0xa4,
                       kDisableMouse = 0xa7, kEnableMouse = 0xa8, kTestMouse = 0xa9,
                       kSelfTest = 0xaa, kTestKeyboard = 0xab, kDisableKeyboard = 0xad,
                       kEnableKeyboard = 0xae, kReadInputPort = 0xc0, kReadOutputPort = 0xd0,
                       kWriteOutputPort = 0xd1, kWriteKeyboardReply = 0xd2, kWriteMouseReply = 0xd3,
                       kWriteMouse = 0xd4, kAddress20Off = 0xdd, kAddress20On = 0xdf,
                       kReadTestInputs = 0xe0, kPulse = 0xf0;

}  // namespace

I8042::I8042(bus::IrqLine& keyboard_irq, bus::IrqLine& mouse_irq, ResetRequest reset)
    : keyboard_irq_(keyboard_irq), mouse_irq_(mouse_irq), reset_request_(std::move(reset)) {}

Result<> I8042::attach(bus::AddressMap& pio) {
  TRY(pio.add(0x60, 1, data_port_, "keyboard controller data"));
  return pio.add(0x64, 1, command_port_, "keyboard controller command");
}

std::uint8_t I8042::read_data(unsigned) {
  std::lock_guard lock(mutex_);
  const std::uint8_t value = state_.data;
  state_.data_full = 0;
  update_irqs();  // low for a moment: the next byte is an edge of its own
  refill();
  return value;
}

std::uint8_t I8042::read_status(unsigned) {
  std::lock_guard lock(mutex_);
  std::uint8_t status = kUnlocked | (state_.command_byte & kSystemFlag);
  if (state_.last_was_command) status |= kLastWasCommand;
  if (state_.data_full) status |= state_.data_from_mouse ? kOutputFull | kFromMouse : kOutputFull;
  return status;
}

void I8042::write_data(unsigned, std::uint8_t value) {
  bool reset_wanted = false;
  {
    std::lock_guard lock(mutex_);
    state_.last_was_command = 0;
    if (const std::uint8_t command = std::exchange(state_.awaiting, 0)) {
      reset_wanted = parameter(command, value);
    } else {
      state_.command_byte &= static_cast<std::uint8_t>(~kKeyboardOff);  // to hear the answer
      keyboard_.command(value);
    }
    refill();
  }
  if (reset_wanted && reset_request_) reset_request_();
}

void I8042::write_command(unsigned, std::uint8_t value) {
  bool reset_wanted = false;
  {
    std::lock_guard lock(mutex_);
    state_.last_was_command = 1;
    state_.awaiting = 0;
    reset_wanted = execute(value);
    refill();
  }
  if (reset_wanted && reset_request_) reset_request_();
}

/// True if the machine is to be reset.
bool I8042::execute(std::uint8_t command) {
  const auto set_off = [&](std::uint8_t bit, bool off) {
    state_.command_byte =
        static_cast<std::uint8_t>(off ? state_.command_byte | bit : state_.command_byte & ~bit);
  };
  switch (command) {
    case kReadRam:
      reply(state_.command_byte);
      return false;
    case kReadPassword:
      reply(0xf1);  // there is none
      return false;
    case kDisableMouse:
    case kEnableMouse:
      set_off(kMouseOff, command == kDisableMouse);
      return false;
    case kDisableKeyboard:
    case kEnableKeyboard:
      set_off(kKeyboardOff, command == kDisableKeyboard);
      return false;
    case kTestMouse:
    case kTestKeyboard:
      reply(0x00);
      return false;
    case kSelfTest:
      state_.command_byte |= kSystemFlag;
      reply(0x55);
      return false;
    case kReadInputPort:
      reply(0x80);  // keyboard not locked
      return false;
    case kReadOutputPort:
      reply(static_cast<std::uint8_t>(
          state_.output_port | (state_.data_full ? state_.data_from_mouse ? 0x20 : 0x10 : 0)));
      return false;
    case kWriteRam:
    case kWriteOutputPort:
    case kWriteKeyboardReply:
    case kWriteMouseReply:
    case kWriteMouse:
      state_.awaiting = command;
      return false;
    case kAddress20Off:
    case kAddress20On:
      return write_output_port(command == kAddress20On ? kNotReset | kAddress20 : kNotReset);
    case kReadTestInputs:
      reply(0x00);
      return false;
    default:
      if ((command & 0xe0) == kReadRam) reply(0x00);  // the rest of its memory is of no use
      if ((command & 0xe0) == kWriteRam) state_.awaiting = command;
      return command >= kPulse && !(command & kNotReset);
  }
}

bool I8042::parameter(std::uint8_t command, std::uint8_t value) {
  switch (command) {
    case kWriteRam:
      state_.command_byte = value & 0x77;
      return false;
    case kWriteOutputPort:
      return write_output_port(value);
    case kWriteKeyboardReply:
      reply(value);
      return false;
    case kWriteMouseReply:
      reply(value, true);
      return false;
    case kWriteMouse:
      state_.command_byte &= static_cast<std::uint8_t>(~kMouseOff);
      mouse_.command(value);
      return false;
    default:
      return false;
  }
}

bool I8042::write_output_port(std::uint8_t value) {
  state_.output_port = (value & kAddress20) | kNotReset;
  return !(value & kNotReset);
}

/// An answer of the controller itself goes before what the devices have to say.
void I8042::reply(std::uint8_t value, bool from_mouse) {
  state_.replies.push(value);
  state_.reply_sources.push(from_mouse);
}

/// Moves the next byte, if any, into the empty data register.
void I8042::refill() {
  if (!state_.data_full) {
    if (const auto value = state_.replies.pop()) {
      set_data(*value, state_.reply_sources.pop().value_or(0) != 0);
    } else if (!next_from_keyboard() && !(state_.command_byte & kMouseOff)) {
      if (const auto byte = mouse_.pop()) set_data(*byte, true);
    }
  }
  update_irqs();
}

bool I8042::next_from_keyboard() {
  if (state_.command_byte & kKeyboardOff) return false;
  while (const auto byte = keyboard_.pop()) {
    if (!(state_.command_byte & kTranslate)) {
      set_data(*byte, false);
      return true;
    }
    if (*byte == 0xf0) {
      state_.release_prefix = 1;
      continue;
    }
    const std::uint8_t released = std::exchange(state_.release_prefix, 0) ? 0x80 : 0x00;
    set_data(translate_set2(*byte) | released, false);
    return true;
  }
  return false;
}

void I8042::set_data(std::uint8_t value, bool from_mouse) {
  state_.data = value;
  state_.data_full = 1;
  state_.data_from_mouse = from_mouse;
}

void I8042::update_irqs() {
  const bool full = state_.data_full != 0, from_mouse = state_.data_from_mouse != 0;
  keyboard_irq_.set_level(full && !from_mouse && (state_.command_byte & kKeyboardInterrupt));
  mouse_irq_.set_level(full && from_mouse && (state_.command_byte & kMouseInterrupt));
}

void I8042::key(std::uint16_t code, bool pressed) {
  std::lock_guard lock(mutex_);
  keyboard_.key(code, pressed);
  refill();
}

void I8042::move_mouse(int right, int down, int wheel, std::uint8_t buttons) {
  std::lock_guard lock(mutex_);
  mouse_.move(right, down, wheel, buttons);
  refill();
}

void I8042::reset() {
  std::lock_guard lock(mutex_);
  state_ = {};
  keyboard_.reset();
  mouse_.reset();
  update_irqs();
}

I8042State I8042::state() const {
  std::lock_guard lock(mutex_);
  I8042State result = state_;
  result.keyboard = keyboard_.state();
  result.mouse = mouse_.state();
  return result;
}

Result<> I8042::restore(const I8042State& state) {
  if (!state.replies.valid() || !state.reply_sources.valid() ||
      state.replies.count != state.reply_sources.count || !state.keyboard.valid() ||
      !state.mouse.valid() || (state.data_full | state.data_from_mouse) > 1 ||
      (state.last_was_command | state.release_prefix) > 1 || state.command_byte & ~0x77)
    return usage_error("i8042: the saved state could not exist");
  std::lock_guard lock(mutex_);
  state_ = state;
  keyboard_.restore(state.keyboard);
  mouse_.restore(state.mouse);
  state_.keyboard = {};
  state_.mouse = {};
  update_irqs();
  return Unit{};
}

void Port92::read(std::uint64_t, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{address20_.load()});
}
void Port92::write(std::uint64_t, std::span<const std::byte> data) {
  const auto value = std::to_integer<std::uint8_t>(data[0]);
  address20_ = value & kAddress20;
  if ((value & kReset) != 0 && reset_request_) reset_request_();
}

}  // namespace vireo::devices
