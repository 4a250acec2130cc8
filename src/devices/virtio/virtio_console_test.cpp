#include "devices/virtio/virtio_console.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "backends/character/memory_backend.h"
#include "devices/virtio/driver_queues.h"

namespace vireo::devices::virtio {
namespace {

using backends::MemoryBackend;
using console::Event;

/// Several ports; which of them there are is for the tests.
struct VirtioConsoleTest : ::testing::Test {
  static constexpr std::uint64_t kBuffers = 0x40000 + 0x1000, kText = 0x60000;

  void make(bool console, std::vector<VirtioConsole::Channel> channels) {
    model.emplace(console ? &terminal : nullptr, channels, *world.memory);
    driver.emplace(*model, *world.memory, &messages);
    queues.emplace(*driver, world);
    queues->start(driver->offered() & (feature::kVersion1 | console::kMultiplePorts));
  }
  void offer_buffer(unsigned queue, std::uint32_t size = 16, unsigned slot = 0) {
    queues->offer(queue, {{place(queue, slot), size, true}});
  }
  static std::uint64_t place(unsigned queue, unsigned slot) {
    return kBuffers + queue * 0x1000 + slot * 0x100;
  }
  /// What is in the buffer of the next that came back.
  std::string take(unsigned queue, unsigned slot = 0) {
    const auto used = (*queues)[queue].take_used();
    if (!used) return "nothing";
    std::string text(used->length, 0);
    EXPECT_TRUE(
        world.memory->read(PhysAddr{place(queue, slot)}, std::as_writable_bytes(std::span(text))));
    return text;
  }
  void write(unsigned queue, const std::string& text) {
    EXPECT_TRUE(world.memory->write(PhysAddr{kText}, std::as_bytes(std::span(text))));
    queues->offer(queue, {{kText, static_cast<std::uint32_t>(text.size())}});
  }
  /// Writes and waits until it is written.
  void write_out(unsigned queue, const std::string& text) {
    write(queue, text);
    for (int i = 0; i < 60000; ++i) {
      if ((*queues)[queue].take_used()) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ADD_FAILURE() << "it never came back";
  }
  void say(std::uint32_t port, Event event, std::uint16_t value) {
    const console::Control message{port, event, value};
    write(console::kControlTransmit,
          std::string(reinterpret_cast<const char*>(&message), sizeof(message)));
    (*queues)[console::kControlTransmit].take_used();
  }
  /// The next message about a port; with the name behind it.
  std::optional<console::Control> hear(std::string* name = nullptr) {
    offer_buffer(console::kControlReceive, 64);
    const std::string text = take(console::kControlReceive);
    if (text.size() < sizeof(console::Control) || text == "nothing") return std::nullopt;
    console::Control message;
    std::memcpy(&message, text.data(), sizeof(message));
    if (name != nullptr) *name = text.substr(sizeof(message));
    return message;
  }
  const char* error() const { return driver->card->device().driver_error(); }

  MemoryBackend terminal, first, second;
  DriverMemory world;
  Messages messages;
  std::optional<VirtioConsole> model;
  std::optional<PciDriver> driver;
  std::optional<DriverQueues> queues;
};

TEST_F(VirtioConsoleTest, AConsoleAloneHasTwoQueues) {
  make(true, {});
  EXPECT_EQ(model->queue_count(), 2u);
  EXPECT_EQ(model->features(), 0u);
  EXPECT_EQ(driver->load<std::uint32_t>(PciDriver::kModern + VirtioPci::kConfig + 4), 1u);
}

TEST_F(VirtioConsoleTest, OutputIsWrittenInOrder) {
  make(true, {});
  write_out(console::kTransmit, "hello ");
  write_out(console::kTransmit, std::string(10000, 'x'));
  EXPECT_EQ(terminal.output(), "hello " + std::string(10000, 'x'));
  EXPECT_EQ(error(), nullptr);
}

TEST_F(VirtioConsoleTest, InputFillsBuffersAndTheRestWaits) {
  make(true, {});
  offer_buffer(console::kReceive, 4);
  terminal.send("abcdefg");
  EXPECT_EQ(take(console::kReceive), "abcd");
  EXPECT_EQ(terminal.undelivered(), 3u);
  offer_buffer(console::kReceive, 4);
  terminal.on_readable();
  EXPECT_EQ(take(console::kReceive), "efg");
}

TEST_F(VirtioConsoleTest, InputWithoutADriverIsLost) {
  make(true, {});
  driver->set_common<std::uint8_t>(20, 0);
  terminal.send("too early");
  EXPECT_EQ(terminal.undelivered(), 0u);
}

TEST_F(VirtioConsoleTest, PortsAreMadeKnownByTheirNames) {
  make(true, {{&first, "org.first"}, {&second, "org.second"}});
  EXPECT_EQ(model->queue_count(), 8u);
  EXPECT_EQ(driver->load<std::uint32_t>(PciDriver::kModern + VirtioPci::kConfig + 4), 3u);
  say(0, Event::kDeviceReady, 1);
  for (std::uint32_t port = 0; port < 3; ++port) {
    const auto added = hear();
    ASSERT_TRUE(added);
    EXPECT_EQ(added->event, Event::kPortAdd);
    EXPECT_EQ(added->port, port);
  }
  EXPECT_FALSE(hear());
  say(0, Event::kPortReady, 1);
  // A buffer is still there.
  EXPECT_EQ(static_cast<std::uint8_t>(take(console::kControlReceive)[4]), 4) << "a console";
  EXPECT_EQ(hear()->event, Event::kPortOpen);
  say(2, Event::kPortReady, 1);
  std::string name;
  EXPECT_EQ(hear(&name)->event, Event::kPortName);
  EXPECT_EQ(name, "org.second");
  EXPECT_EQ(hear()->event, Event::kPortOpen);
}

TEST_F(VirtioConsoleTest, WithoutAConsoleThereIsNoPortZero) {
  make(false, {{&first, "a"}});
  say(0, Event::kDeviceReady, 1);
  EXPECT_EQ(hear()->port, 1u);
  EXPECT_FALSE(hear());
  write_out(console::kTransmit, "to nobody");
  EXPECT_EQ(error(), nullptr);
}

TEST_F(VirtioConsoleTest, AChannelsInputWaitsUntilTheGuestOpensIt) {
  make(false, {{&first, "a"}, {&second, "b"}});
  offer_buffer(4);
  offer_buffer(6);
  first.send("one");
  second.send("two");
  EXPECT_EQ(take(4), "nothing");
  EXPECT_EQ(first.undelivered(), 3u);
  say(1, Event::kPortOpen, 1);
  first.on_readable();
  EXPECT_EQ(take(4), "one");
  EXPECT_EQ(take(6), "nothing");
  write_out(7, "out");
  EXPECT_EQ(second.output(), "out");
  EXPECT_EQ(first.output(), "");
}

TEST_F(VirtioConsoleTest, ADriverWithoutPortsHasTheConsoleOnly) {
  make(true, {{&first, "a"}});
  queues->start(feature::kVersion1);
  offer_buffer(console::kReceive);
  terminal.send("typed");
  EXPECT_EQ(take(console::kReceive), "typed");
}

TEST_F(VirtioConsoleTest, MessagesThatMakeNoSenseAreNotAnswered) {
  make(true, {{&first, "a"}});
  say(7, Event::kPortReady, 1);
  say(0xffffffff, Event::kPortOpen, 1);
  say(1, static_cast<Event>(99), 1);
  say(1, Event::kPortReady, 0);
  say(0, Event::kDeviceReady, 0);
  EXPECT_FALSE(hear());
  EXPECT_EQ(error(), nullptr);
  write(console::kControlTransmit, "short");
  EXPECT_NE(error(), nullptr);
}

TEST_F(VirtioConsoleTest, ADriverThatTakesNoAnswersIsNotHeardForEver) {
  make(true, {{&first, "a"}});
  unsigned heard = 0;
  for (int i = 0; i < 140; ++i) {
    const console::Control message{0, Event::kDeviceReady, 1};
    write(console::kControlTransmit,
          std::string(reinterpret_cast<const char*>(&message), sizeof(message)));
    while ((*queues)[console::kControlTransmit].take_used()) ++heard;
  }
  EXPECT_EQ(heard, 128u) << "two answers to each, up to 256";
  while (hear()) {
  }
  while ((*queues)[console::kControlTransmit].take_used()) ++heard;
  EXPECT_EQ(heard, 140u);
}

TEST_F(VirtioConsoleTest, OutputOutsideMemoryNeedsAReset) {
  make(true, {});
  queues->offer(console::kTransmit, {{DriverMemory::kEnd - 4, 64}});
  for (int i = 0; i < 60000 && error() == nullptr; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_NE(error(), nullptr);
}

TEST_F(VirtioConsoleTest, AResetDropsWhatIsNotWrittenYet) {
  struct Slow final : backends::CharBackend {
    void write(std::span<const std::uint8_t> text) override {
      written += text.size();
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    std::atomic<std::size_t> written = 0;
  } slow;
  make(false, {{&slow, "a"}});
  std::vector<DriverBuffer> buffers(15, {kText, 0x10000});
  queues->offer(5, buffers);
  driver->set_common<std::uint8_t>(20, 0);
  EXPECT_LT(slow.written, 15u * 0x10000 / 2) << "half of what takes 24 seconds";
  driver.reset();
  model.reset();
}

}  // namespace
}  // namespace vireo::devices::virtio
