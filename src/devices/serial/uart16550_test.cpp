#include "devices/serial/uart16550.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>

#include "backends/character/memory_backend.h"
#include "bus/access_split.h"
#include "support/saved_state.h"

namespace vireo::devices {
namespace {

// Register offsets as a driver knows them.
constexpr unsigned kData = 0, kIer = 1, kIir = 2, kFcr = 2, kLcr = 3, kMcr = 4, kLsr = 5, kMsr = 6,
                   kScr = 7;

struct Line final : bus::IrqLine {
  void set_level(bool high) override {
    rises += high && !level;
    level = high;
  }
  bool level = false;
  int rises = 0;
};

/// A clock that the test sets, and its timers.
struct TestClock final : Clock, TimerService {
  struct Alarm final : Timer {
    Alarm(TestClock& c, std::function<void()> f) : clock(c), callback(std::move(f)) {
      clock.alarms.push_back(this);
    }
    ~Alarm() override { std::erase(clock.alarms, this); }
    void arm(std::uint64_t deadline_ns) override { deadline = deadline_ns; }
    void cancel() override { deadline = ~0ull; }
    TestClock& clock;
    std::function<void()> callback;
    std::uint64_t deadline = ~0ull;
  };
  std::uint64_t now_ns() const override { return now; }
  std::uint64_t tsc() const override { return now; }
  std::uint64_t tsc_hz() const override { return 1'000'000'000; }
  std::int64_t epoch_at_start() const override { return 0; }
  std::unique_ptr<Timer> create_timer(std::function<void()> callback) override {
    return std::make_unique<Alarm>(*this, std::move(callback));
  }
  void advance(std::uint64_t ns) {
    now += ns;
    for (Alarm* alarm : alarms) {
      if (alarm->deadline > now) continue;
      alarm->deadline = ~0ull;
      alarm->callback();
    }
  }
  std::uint64_t now = 1000;
  std::vector<Alarm*> alarms;
};

struct Uart16550Test : ::testing::Test {
  std::uint8_t read(unsigned reg) { return read_of(uart, reg); }
  static std::uint8_t read_of(Uart16550& device, unsigned reg) {
    std::byte data{};
    device.read(reg, {&data, 1});
    return std::to_integer<std::uint8_t>(data);
  }
  void write(unsigned reg, unsigned value) {
    const std::byte data{static_cast<std::uint8_t>(value)};
    uart.write(reg, {&data, 1});
  }
  std::size_t receive(std::string_view text) {
    return uart.receive({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  }
  Line irq;
  TestClock clock;
  backends::MemoryBackend console;
  Uart16550 uart{irq, console, clock, clock};
};

TEST_F(Uart16550Test, TransmitsToTheBackend) {
  for (char c : std::string("hi")) write(kData, static_cast<std::uint8_t>(c));
  EXPECT_EQ(console.output(), "hi");
  EXPECT_EQ(read(kLsr), 0x60);  // holding register and transmitter empty
}

TEST_F(Uart16550Test, ReceivedByteRaisesTheLineUntilItIsRead) {
  write(kIer, 0x01);
  receive("x");
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(read(kIir), 0x04);
  EXPECT_EQ(read(kLsr), 0x61);
  EXPECT_EQ(read(kData), 'x');
  EXPECT_FALSE(irq.level);
  EXPECT_EQ(read(kLsr), 0x60);
}

TEST_F(Uart16550Test, InterruptIdShowsFifosOnlyWhileTheyAreEnabled) {
  EXPECT_EQ(read(kIir), 0x01);
  write(kFcr, 0x01);
  EXPECT_EQ(read(kIir), 0xc1);
  write(kFcr, 0xc0);  // without the enable bit the others do not count
  EXPECT_EQ(read(kIir), 0x01);
  EXPECT_EQ(uart.state().fifo_control, 0);
}

TEST_F(Uart16550Test, ReadingTheInterruptIdAcknowledgesTransmitEmpty) {
  write(kIer, 0x02);
  EXPECT_EQ(read(kIir), 0x02);
  EXPECT_EQ(read(kIir), 0x01);
  EXPECT_FALSE(irq.level);
}

TEST_F(Uart16550Test, AHiddenTransmitEmptyIsNotAcknowledged) {
  write(kIer, 0x03);
  receive("x");
  EXPECT_EQ(read(kIir), 0x04);
  EXPECT_EQ(read(kIir), 0x04);
  read(kData);
  EXPECT_EQ(read(kIir), 0x02);
}

TEST_F(Uart16550Test, OnlySettingTheEnableBitAnewRepeatsTransmitEmpty) {
  write(kIer, 0x02);
  read(kIir);
  write(kIer, 0x03);
  EXPECT_EQ(read(kIir), 0x01);
  write(kIer, 0x01);
  write(kIer, 0x03);
  EXPECT_EQ(read(kIir), 0x02);
}

TEST_F(Uart16550Test, EveryTransmissionIsAnEdgeForTheController) {
  write(kIer, 0x02);
  write(kData, 'a');
  write(kData, 'b');
  EXPECT_EQ(irq.rises, 3);
  EXPECT_EQ(read(kIir), 0x02);
}

TEST_F(Uart16550Test, TriggerLevelsAreOneFourEightAndFourteen) {
  const std::size_t levels[] = {1, 4, 8, 14};
  for (unsigned i = 0; i < 4; ++i) {
    write(kFcr, 0x03 | i << 6);
    write(kIer, 0x01);
    for (std::size_t n = 1; n < levels[i]; ++n) {
      receive(".");
      EXPECT_FALSE(irq.level) << n << " of " << levels[i];
    }
    receive(".");
    EXPECT_EQ(read(kIir), 0xc4);
    read(kData);
    EXPECT_FALSE(irq.level);
  }
}

TEST_F(Uart16550Test, CharactersBelowTheTriggerTimeOutAfterFourCharacterTimes) {
  write(kLcr, 0x80), write(kData, 1), write(kIer, 0), write(kLcr, 0x03);  // 115200 8n1
  write(kFcr, 0xc1);
  write(kIer, 0x01);
  receive("ab");
  constexpr std::uint64_t kFourCharacters = 4 * 10 * 1'000'000'000ull / 115200;
  clock.advance(kFourCharacters - 10);
  EXPECT_EQ(read(kIir), 0xc1);
  clock.advance(20);
  EXPECT_EQ(read(kIir), 0xcc);
  EXPECT_EQ(read(kData), 'a');
  EXPECT_EQ(read(kIir), 0xc1);  // reading restarts the time
  clock.advance(kFourCharacters + 10);
  EXPECT_EQ(read(kIir), 0xcc);
  EXPECT_EQ(read(kData), 'b');
  clock.advance(kFourCharacters + 10);
  EXPECT_FALSE(irq.level);
}

TEST_F(Uart16550Test, FifoControlDropsWhatWasReceived) {
  write(kFcr, 0x01);
  receive("xyz");
  write(kFcr, 0x03);
  EXPECT_EQ(read(kLsr), 0x60);
  receive("x");
  write(kFcr, 0x00);  // so does turning FIFOs off
  EXPECT_EQ(read(kLsr), 0x60);
}

TEST_F(Uart16550Test, PastedInputWaitsInTheBackendAndNoneOfItIsLost) {
  write(kFcr, 0x01);
  std::string text;
  for (int i = 0; i < 500; ++i) text += "line " + std::to_string(i) + "\n";
  console.send(text);
  std::string received;
  while (read(kLsr) & 0x01) {
    received += static_cast<char>(read(kData));
    console.on_readable();  // the event loop, awake because of resume_input()
  }
  EXPECT_EQ(received, text);
  EXPECT_EQ(read(kLsr) & 0x02, 0) << "an overrun";
}

TEST_F(Uart16550Test, NothingIsLostBetweenAnEventThreadAndAGuestThread) {
  const std::string path = "/tmp/vireo-uart-" + std::to_string(::getpid());
  auto backend = backends::open_char_backend("unix:" + path);
  ASSERT_TRUE(backend);
  Uart16550 port(irq, **backend, clock, clock);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  const int peer = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::connect(peer, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  std::string text;
  for (int i = 0; i < 5000; ++i) text += std::to_string(i) + "\n";
  ASSERT_EQ(::write(peer, text.data(), text.size()), static_cast<long>(text.size()));

  const std::byte enable{1};
  port.write(kFcr, {&enable, 1});  // before the first arrives: it empties the FIFO
  std::atomic<bool> done = false;
  std::thread events([&] {
    while (!done) {
      pollfd ready{(*backend)->poll_fd(), POLLIN, 0};
      if (::poll(&ready, 1, 10) > 0) (*backend)->on_readable();
    }
  });
  std::string received;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (received.size() < text.size() && std::chrono::steady_clock::now() < deadline) {
    if (read_of(port, kLsr) & 0x01) received += static_cast<char>(read_of(port, kData));
  }
  done = true;
  events.join();
  ::close(peer);
  EXPECT_TRUE(received == text) << received.size() << " of " << text.size();
}

TEST_F(Uart16550Test, WithoutFifosThereIsRoomForOne) {
  EXPECT_EQ(receive("abc"), 1u);
  EXPECT_EQ(receive("b"), 0u);
  EXPECT_EQ(read(kData), 'a');
  EXPECT_EQ(receive("b"), 1u);
}

TEST_F(Uart16550Test, DivisorLatchHidesDataAndInterruptEnable) {
  write(kLcr, 0x80);
  write(kData, 0x34);
  write(kIer, 0x12);
  EXPECT_EQ(console.output(), "");
  EXPECT_EQ(uart.state().divisor, 0x1234);
  EXPECT_EQ(read(kData), 0x34);
  EXPECT_EQ(read(kIer), 0x12);
  write(kLcr, 0x03);
  EXPECT_EQ(read(kIer), 0x00);
}

TEST_F(Uart16550Test, ReservedBitsReadAsZeroAndScratchReadsBack) {
  write(kIer, 0xff), write(kMcr, 0xff), write(kScr, 0xa5);
  EXPECT_EQ(read(kIer), 0x0f);
  EXPECT_EQ(read(kMcr), 0x1f);
  EXPECT_EQ(read(kScr), 0xa5);
}

TEST_F(Uart16550Test, LoopbackReceivesWhatItSends) {
  write(kFcr, 0x01);
  write(kMcr, 0x10);
  write(kData, 'L');
  write(kData, 'M');
  EXPECT_EQ(read(kData), 'L');
  EXPECT_EQ(read(kData), 'M');
  EXPECT_EQ(console.output(), "");
  EXPECT_EQ(receive("x"), 0u) << "the line is cut off";
}

TEST_F(Uart16550Test, SeventeenthCharacterInLoopbackIsAnOverrunAndIsLost) {
  write(kFcr, 0x01), write(kMcr, 0x10), write(kIer, 0x05);
  for (unsigned i = 0; i < 17; ++i) write(kData, i);
  EXPECT_EQ(read(kIir), 0xc6);  // before the data that is waiting
  EXPECT_EQ(read(kLsr), 0x63);
  EXPECT_EQ(read(kLsr), 0x61);  // reading clears it
  EXPECT_EQ(read(kIir), 0xc4);
  for (unsigned i = 0; i < 16; ++i) EXPECT_EQ(read(kData), i);
  EXPECT_EQ(read(kLsr), 0x60);
}

TEST_F(Uart16550Test, WithoutFifosAnOverrunReplacesTheCharacter) {
  write(kMcr, 0x10);
  write(kData, 'a'), write(kData, 'b');
  EXPECT_EQ(read(kLsr), 0x63);
  EXPECT_EQ(read(kData), 'b');
}

TEST_F(Uart16550Test, LoopbackConnectsModemOutputsToInputs) {
  EXPECT_EQ(read(kMsr), 0xb0);
  write(kMcr, 0x10);
  EXPECT_EQ(read(kMsr), 0x0b);  // all went away: deltas of CTS, DSR and DCD
  write(kMcr, 0x12);
  EXPECT_EQ(read(kMsr), 0x11);
  write(kMcr, 0x11);
  EXPECT_EQ(read(kMsr), 0x23);
  write(kMcr, 0x14);
  EXPECT_EQ(read(kMsr), 0x42);  // the beginning of a ring is no event
  write(kMcr, 0x18);
  EXPECT_EQ(read(kMsr), 0x8c);  // its end is
  EXPECT_EQ(read(kMsr), 0x80);
}

TEST_F(Uart16550Test, AModemChangeInterruptsUntilTheStatusIsRead) {
  write(kIer, 0x08);
  EXPECT_FALSE(irq.level);
  write(kMcr, 0x10);
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(read(kIir), 0x00);
  read(kMsr);
  EXPECT_FALSE(irq.level);
}

TEST_F(Uart16550Test, ABreakShowsWhenItReachesTheTopOfTheFifo) {
  write(kFcr, 0x01), write(kIer, 0x04);
  receive("a");
  console.send_break();
  EXPECT_FALSE(irq.level);
  EXPECT_EQ(read(kLsr), 0xe1);  // somewhere in the FIFO
  read(kData);
  EXPECT_EQ(read(kIir), 0xc6);
  EXPECT_EQ(read(kLsr), 0xf1);
  EXPECT_FALSE(irq.level);
  EXPECT_EQ(read(kLsr), 0x61);
  EXPECT_EQ(read(kData), 0);
}

TEST_F(Uart16550Test, WideAccessesTouchConsecutiveRegisters) {
  std::array<std::byte, 4> data{};
  write(kScr, 0x77);
  uart.read(4, data);
  EXPECT_EQ(bus::to_number(data), 0x77b06000u);
}

TEST_F(Uart16550Test, SavedStateContinuesWhereItStopped) {
  write(kFcr, 0xc1), write(kIer, 0x01);
  receive("a");
  const Uart16550State saved = uart.state();
  const Uart16550State loaded = vireo::test::saved_and_loaded(saved);

  Line other_irq;
  backends::MemoryBackend other_console;
  Uart16550 other(other_irq, other_console, clock, clock);
  ASSERT_TRUE(other.restore(loaded));
  EXPECT_EQ(other.state(), uart.state());
  EXPECT_FALSE(other_irq.level);
  clock.advance(100'000'000);  // the timeout runs again
  EXPECT_TRUE(other_irq.level);
  EXPECT_EQ(read_of(other, kData), 'a');
}

TEST_F(Uart16550Test, RefusesAStateThatCouldNotExist) {
  Uart16550State hostile;
  hostile.rx_count = 200;
  EXPECT_FALSE(uart.restore(hostile));
  hostile.rx_count = 2;  // without FIFOs
  EXPECT_FALSE(uart.restore(hostile));
  hostile = {};
  hostile.modem_control = 0xff;
  EXPECT_FALSE(uart.restore(hostile));
}

TEST_F(Uart16550Test, ResetForgetsEverything) {
  write(kIer, 0x0f), write(kFcr, 0xc1), receive("x");
  uart.reset();
  EXPECT_EQ(uart.state(), Uart16550State{});
  EXPECT_FALSE(irq.level);
}

}  // namespace
}  // namespace vireo::devices
