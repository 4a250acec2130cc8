#include "devices/virtio/virtio_console.h"

#include <signal.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace vireo::devices::virtio {

using console::Control;
using console::Event;

namespace {

/// A driver that takes no answers is not heard beyond this.
constexpr std::size_t kMostMessages = 256;

}  // namespace

VirtioConsole::VirtioConsole(backends::CharBackend* console, const std::vector<Channel>& channels,
                             memory::GuestMemory& memory)
    : memory_(memory) {
  VIREO_ASSERT(channels.size() <= kMostChannels);
  ports_.push_back({.backend = console, .name = {}});
  for (const Channel& channel : channels)
    ports_.push_back({.backend = channel.backend, .name = channel.name});
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    if (ports_[i].backend == nullptr) continue;
    ports_[i].backend->set_reader(
        [this, i](std::span<const std::uint8_t> bytes) { return receive(i, bytes); });
  }
  writer_ = std::thread([this] { write_outputs(); });
}

VirtioConsole::~VirtioConsole() {
  drain();
  {
    const std::lock_guard lock(output_mutex_);
    ending_ = true;
  }
  output_changed_.notify_all();
  writer_.join();
}

unsigned VirtioConsole::queue_count() const {
  return has_channels() ? 2 + 2 * static_cast<unsigned>(ports_.size()) : 2;
}

std::uint64_t VirtioConsole::features() const {
  return has_channels() ? console::kMultiplePorts : 0;
}

void VirtioConsole::read_config(std::uint64_t offset, std::span<std::byte> data) const {
  console::ConfigSpace space;
  space.ports = static_cast<std::uint32_t>(ports_.size());
  std::ranges::fill(data, std::byte{0});
  if (offset >= sizeof(space)) return;
  const auto bytes = std::as_bytes(std::span(&space, 1)).subspan(offset);
  std::memcpy(data.data(), bytes.data(), std::min(data.size(), bytes.size()));
}

void VirtioConsole::start(std::uint64_t features) {
  const std::lock_guard lock(mutex_);
  multiple_ = (features & console::kMultiplePorts) != 0;
}

/// What is not written yet is lost: who resets a device does not wait for a terminal.
void VirtioConsole::drain() {
  std::unique_lock lock(output_mutex_);
  dropping_ = true;
  output_changed_.notify_all();
  output_idle_.wait(lock, [this] { return outputs_.empty() && !writing_; });
  dropping_ = false;
}

void VirtioConsole::reset() {
  const std::lock_guard lock(mutex_);
  multiple_ = false;
  control_receive_ = control_transmit_ = nullptr;
  messages_.clear();
  for (Port& port : ports_) {
    port.receive = nullptr;
    port.open = false;
    if (port.backend != nullptr) port.backend->resume_input();
  }
}

void VirtioConsole::serve(Virtqueue& queue) {
  const unsigned index = queue.index();
  const std::lock_guard lock(mutex_);
  if (index == console::kControlReceive) {
    control_receive_ = &queue;
    return pump_control();
  }
  if (index == console::kControlTransmit) return serve_control(queue);
  const std::size_t number = index < console::kControlReceive ? 0 : index / 2 - 1;
  Port& port = ports_.at(number);
  if (index % 2 == console::kTransmit) return serve_transmit(queue, &port);
  port.receive = &queue;
  if (port.backend != nullptr) port.backend->resume_input();
}

// --- For the guest.

/// Whether its input waits for the guest; otherwise it is lost.
bool VirtioConsole::takes_input(std::size_t number) const {
  if (number != 0) return true;
  return ports_[0].receive != nullptr && (!multiple_ || ports_[0].open);
}

std::size_t VirtioConsole::receive(std::size_t number, std::span<const std::uint8_t> bytes) {
  const std::lock_guard lock(mutex_);
  Port& port = ports_.at(number);
  if (!takes_input(number)) return bytes.size();
  if (port.receive == nullptr || (number != 0 && !port.open)) return 0;
  std::size_t taken = 0;
  while (taken < bytes.size()) {
    std::size_t count = 0;
    const auto gathered = port.receive->gather(1, 1, chains_, count);
    if (gathered == Virtqueue::Gathered::kNever && number == 0) return bytes.size();
    if (gathered != Virtqueue::Gathered::kAll) break;
    const Chain& chain = chains_.front();
    const auto part = std::as_bytes(bytes.subspan(
        taken, std::min<std::uint64_t>(bytes.size() - taken, chain.writable_bytes())));
    if (!copy_to(memory_, chain.writable(), 0, part)) {
      port.receive->refuse({"a buffer for input outside memory"});
      break;
    }
    port.receive->give_back(chain, static_cast<std::uint32_t>(part.size()));
    taken += part.size();
  }
  return taken;
}

// --- From the guest.

void VirtioConsole::serve_transmit(Virtqueue& queue, Port* port) {
  queue.serve([&](Chain& chain) {
    const std::lock_guard lock(output_mutex_);
    outputs_.push_back({std::exchange(chain, {}), &queue, port->backend});
    output_changed_.notify_one();
  });
}

void VirtioConsole::write_outputs() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  std::unique_lock lock(output_mutex_);
  for (;;) {
    output_changed_.wait(lock, [this] { return ending_ || !outputs_.empty(); });
    if (outputs_.empty()) return;
    const Output output = std::move(outputs_.front());
    outputs_.pop_front();
    writing_ = true;
    lock.unlock();
    write(output);
    lock.lock();
    writing_ = false;
    if (outputs_.empty()) output_idle_.notify_all();
  }
}

void VirtioConsole::write(const Output& output) {
  std::array<std::uint8_t, 4096> bytes;
  const std::uint64_t size = output.chain.readable_bytes();
  for (std::uint64_t at = 0; at < size;) {
    const auto part = std::span(bytes).first(std::min<std::uint64_t>(bytes.size(), size - at));
    if (!copy_from(memory_, output.chain.readable(), at, std::as_writable_bytes(part)))
      return output.queue->refuse({"output outside memory"});
    {
      const std::lock_guard lock(output_mutex_);
      if (dropping_) break;
    }
    if (output.backend != nullptr) output.backend->write(part);
    at += part.size();
  }
  output.queue->give_back(output.chain, 0);
}

// --- What is said of ports.

void VirtioConsole::serve_control(Virtqueue& queue) {
  control_transmit_ = &queue;
  const auto may_go_on = [this] {
    pump_control();
    return messages_.size() < kMostMessages;
  };
  if (!may_go_on()) return;
  queue.serve_while([&](Chain& chain) {
    Control message;
    if (!copy_from(memory_, chain.readable(), 0, std::as_writable_bytes(std::span(&message, 1)))) {
      queue.refuse({"a message about a port that is none"});
      return true;
    }
    judge(message);
    queue.give_back(chain, 0);
    return may_go_on();
  });
}

void VirtioConsole::judge(const Control& message) {
  if (message.event == Event::kDeviceReady) {
    for (std::size_t i = 0; message.value == 1 && i < ports_.size(); ++i) {
      if (ports_[i].backend != nullptr) say(i, Event::kPortAdd);
    }
    return;
  }
  const std::size_t number = message.port;
  if (number >= ports_.size() || ports_[number].backend == nullptr) return;
  if (message.event == Event::kPortOpen) return open_port(number, message.value != 0);
  if (message.event != Event::kPortReady || message.value != 1) return;
  if (number == 0) say(number, Event::kConsolePort);
  if (!ports_[number].name.empty()) say(number, Event::kPortName);
  say(number, Event::kPortOpen);
}

void VirtioConsole::open_port(std::size_t number, bool open) {
  ports_[number].open = open;
  ports_[number].backend->resume_input();
}

void VirtioConsole::say(std::size_t port, Event event, std::uint16_t value) {
  messages_.push_back({static_cast<std::uint32_t>(port), event, value});
}

/// Puts what is to be said into the driver's buffers. A name that does not fit is cut.
void VirtioConsole::pump_control() {
  if (control_receive_ == nullptr) return;
  const bool full = messages_.size() >= kMostMessages;
  while (!messages_.empty()) {
    std::size_t count = 0;
    if (control_receive_->gather(sizeof(Control), 1, chains_, count) != Virtqueue::Gathered::kAll)
      break;
    const Control message = messages_.front();
    std::vector<std::byte> bytes(sizeof(message));
    std::memcpy(bytes.data(), &message, sizeof(message));
    if (message.event == Event::kPortName) {
      const auto name = std::as_bytes(std::span(ports_.at(message.port).name));
      bytes.insert(bytes.end(), name.begin(), name.end());
    }
    const Chain& chain = chains_.front();
    bytes.resize(std::min<std::uint64_t>(bytes.size(), chain.writable_bytes()));
    if (!copy_to(memory_, chain.writable(), 0, bytes))
      return control_receive_->refuse({"a buffer for messages about ports outside memory"});
    messages_.pop_front();
    control_receive_->give_back(chain, static_cast<std::uint32_t>(bytes.size()));
  }
  if (full && messages_.size() < kMostMessages && control_transmit_ != nullptr)
    control_transmit_->serve_later();
}

}  // namespace vireo::devices::virtio
