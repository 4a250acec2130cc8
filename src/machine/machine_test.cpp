#include "machine/machine.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>

#include "backends/character/memory_backend.h"
#include "machine/boot/test_images.h"
#include "machine/fake_engine.h"
#include "machine/machine_builder.h"

namespace vireo::machine {
namespace {

using engine::ExitReason, test::FakeVcpu, test::Script;

constexpr char kPanic[] = "Kernel panic - not syncing: no init\r\n";
constexpr char kPanicEnd[] = "---[ end Kernel panic - not syncing: no init ]---\r\n";

struct MachineTest : ::testing::Test {
  MachineTest() {
    char name[] = "/tmp/vireo-kernel-XXXXXX";
    const UniqueFd fd(::mkstemp(name));
    config.kernel = name;
    const auto file = test::bzimage();
    std::ofstream(config.kernel, std::ios::binary)
        .write(reinterpret_cast<const char*>(file.data()),
               static_cast<std::streamsize>(file.size()));
    config.memory_bytes = 16 << 20;
    config.cpu = "baseline";
    config.timeout_seconds = 60;  // no test hangs
  }
  ~MachineTest() override { ::unlink(config.kernel.c_str()); }

  Result<std::unique_ptr<Machine>> build(Script script) {
    HostParts parts;
    parts.create_engine = [script](std::string_view, memory::GuestMemory&) {
      return Result<std::unique_ptr<engine::Engine>>(std::make_unique<test::FakeEngine>(script));
    };
    auto backend = std::make_unique<backends::MemoryBackend>();
    serial = backend.get();
    parts.serial = std::move(backend);
    return build_machine(config, std::move(parts));
  }
  Ending run(Script script) {
    auto built = build(std::move(script));
    EXPECT_TRUE(built) << (built ? "" : built.error().message);
    machine = std::move(*built);
    return machine->run();
  }

  MachineConfig config;
  std::unique_ptr<Machine> machine;
  backends::MemoryBackend* serial = nullptr;
};

TEST_F(MachineTest, TheGuestIsEnteredAtTheKernelAndCanWriteToItsConsole) {
  config.debug_exit = true;
  const Ending ending = run([](FakeVcpu& cpu) {
    cpu.print("rip " + std::to_string(cpu.state.rip) + "\r\nlast");
    cpu.out(0xf4, 3);
    return cpu.spin();
  });
  EXPECT_EQ(ending.reason, EndReason::kDebugExit);
  EXPECT_EQ(exit_status(ending), 7);
  EXPECT_EQ(serial->output(), "rip 2097664\r\nlast");
  EXPECT_EQ(ending.last_lines, (std::vector<std::string>{"rip 2097664", "last"}));
  EXPECT_EQ(ending.cpu.rip, 0x200200u);
}

TEST_F(MachineTest, ThePowerOffRegisterEndsItWithSuccess) {
  const Ending ending = run([](FakeVcpu& cpu) {
    cpu.out(0x604, 0x2000, 2);  // PM1a control: SLP_EN, S5
    return cpu.spin();
  });
  EXPECT_EQ(ending.reason, EndReason::kPowerOff);
  EXPECT_EQ(exit_status(ending), 0);
}

TEST_F(MachineTest, WithoutDebugExitThatPortIsNobodys) {
  const Ending ending = run([](FakeVcpu& cpu) {
    EXPECT_EQ(cpu.in(0xf4), 0xffu);
    EXPECT_EQ(cpu.in(0x1234, 4), 0xffffffffu);
    cpu.out(0xf4, 3);
    cpu.out(0x604, 0x2000, 2);
    return cpu.spin();
  });
  EXPECT_EQ(ending.reason, EndReason::kPowerOff);
}

struct FirmwareMachineTest : MachineTest {
  FirmwareMachineTest() {
    config.firmware = std::exchange(config.kernel, "");
    std::ofstream(config.firmware, std::ios::binary) << std::string(64 << 10, '\x42');
    config.debug_exit = true;
  }
  ~FirmwareMachineTest() override { ::unlink(config.firmware.c_str()); }
  static void set_pam(FakeVcpu& cpu, unsigned offset, unsigned value) {
    cpu.out(0xcf8, 0x80000000u | (offset & ~3u), 4);
    cpu.out(static_cast<std::uint16_t>(0xcfc + offset % 4), value);
  }
};

TEST_F(FirmwareMachineTest, TheGuestBeginsAtTheResetVector) {
  const Ending ending = run([](FakeVcpu& cpu) {
    cpu.out(0xf4, 0);
    return cpu.spin();
  });
  EXPECT_EQ(ending.cpu.rip, 0xfff0u);
  EXPECT_EQ(ending.cpu.segment[x86::kCs].base, 0xffff0000u);
  EXPECT_FALSE(ending.cpu.protected_mode());
}

TEST_F(FirmwareMachineTest, ShadowRamIsWrittenWhereTheChipsetSays) {
  std::vector<unsigned> seen;
  const Ending ending = run([&](FakeVcpu& cpu) {
    const auto try_write = [&](std::uint64_t address, unsigned value) {
      auto& memory = machine->memory();
      memory.write_value(PhysAddr{address}, static_cast<std::uint8_t>(value));
      std::uint8_t byte = 0;
      memory.read_value(PhysAddr{address}, byte);
      seen.push_back(byte);
    };
    try_write(0xfffff, 1);
    set_pam(cpu, 0x59, 0x30);
    try_write(0xfffff, 2);
    set_pam(cpu, 0x59, 0x10);
    try_write(0xfffff, 3);
    set_pam(cpu, 0x5a, 0x02);
    try_write(0xc3fff, 4);
    try_write(0xc4000, 5);
    cpu.out(0xf4, 0);
    return cpu.spin();
  });
  EXPECT_EQ(seen, (std::vector<unsigned>{0x42, 2, 2, 4, 0}));
}

TEST_F(FirmwareMachineTest, IdeControllerAndDisplayAreThere) {
  run([](FakeVcpu& cpu) {
    const auto id = [&](unsigned device, unsigned function) {
      cpu.out(0xcf8, 0x80000000u | device << 11 | function << 8, 4);
      return cpu.in(0xcfc, 4);
    };
    EXPECT_EQ(id(1, 1), 0x70108086u);
    EXPECT_EQ(id(2, 0), 0x11111234u);
    EXPECT_EQ(cpu.in(0x1f7), 0x7fu);
    EXPECT_EQ(cpu.in(0x3cc), 0u);
    cpu.out(0xf4, 0);
    return cpu.spin();
  });
}

TEST_F(FirmwareMachineTest, AKernelBesidesIsAMistake) {
  config.kernel = config.firmware;
  const auto built = build([](FakeVcpu& cpu) { return cpu.spin(); });
  ASSERT_FALSE(built);
  EXPECT_EQ(built.error().blame, Blame::kUsage);
}

TEST_F(MachineTest, AnX87ExceptionIsInterrupt13) {
  const Ending ending = run([](FakeVcpu& cpu) {
    for (const auto& [port, value] : {std::pair{0x20, 0x11},
                                      {0x21, 0x08},
                                      {0x21, 0x04},
                                      {0x21, 0x01},
                                      {0xa0, 0x11},
                                      {0xa1, 0x70},
                                      {0xa1, 0x02},
                                      {0xa1, 0x01},
                                      {0x21, 0xfb},
                                      {0xa1, 0xdf}})
      cpu.out(static_cast<std::uint16_t>(port), static_cast<std::uint64_t>(value));
    EXPECT_EQ(cpu.port().acknowledge_interrupt(), std::nullopt);
    cpu.port().set_ferr(true);
    EXPECT_EQ(cpu.port().acknowledge_interrupt(), 0x75);
    EXPECT_FALSE(cpu.port().ignne());
    cpu.out(0xf0, 0);
    EXPECT_TRUE(cpu.port().ignne());
    cpu.out(0xa0, 0x20), cpu.out(0x20, 0x20);
    cpu.port().set_ferr(false);
    EXPECT_FALSE(cpu.port().ignne());
    EXPECT_EQ(cpu.port().acknowledge_interrupt(), std::nullopt);
    cpu.port().set_ferr(true);
    EXPECT_EQ(cpu.port().acknowledge_interrupt(), 0x75);
    cpu.out(0x604, 0x2000, 2);
    return cpu.spin();
  });
  EXPECT_EQ(ending.reason, EndReason::kPowerOff);
}

TEST_F(MachineTest, AResetStartsTheKernelAgain) {
  const Ending ending = run([this](FakeVcpu& cpu) {
    cpu.print("*");
    if (cpu.runs < 3) {
      // What a kernel does to itself before the next one starts.
      machine->memory().write_value(PhysAddr{0x200000}, std::uint64_t{0});
      cpu.state.rip = 0x666;
      cpu.out(0x64, 0xfe);
      return cpu.spin();
    }
    std::uint64_t payload = 0;
    machine->memory().read_value(PhysAddr{0x200000}, payload);
    EXPECT_EQ(payload & 0xffffffff, 0x4c594150u) << "PAYL";
    EXPECT_EQ(cpu.state.rip, 0x200200u);
    cpu.out(0x604, 0x2000, 2);
    return cpu.spin();
  });
  EXPECT_EQ(ending.reason, EndReason::kPowerOff);
  EXPECT_EQ(serial->output(), "***");
  EXPECT_EQ(machine->statistics().resets, 2u);
}

TEST_F(MachineTest, EveryWayToResetEndsItWithNoReboot) {
  config.reboot = false;
  const std::pair<std::uint16_t, std::uint8_t> ways[] = {{0x64, 0xfe}, {0x92, 0x01}, {0xcf9, 0x06}};
  for (const auto& [port, value] : ways) {
    const Ending ending = run([port = port, value = value](FakeVcpu& cpu) {
      cpu.out(port, value);
      return cpu.spin();
    });
    EXPECT_EQ(ending.reason, EndReason::kReset) << std::hex << port;
    EXPECT_EQ(exit_status(ending), 0);
  }
}

TEST_F(MachineTest, ATripleFaultIsAFailureAndSaysWhere) {
  const Ending ending = run([](FakeVcpu& cpu) {
    cpu.state.rip = 0xdeadbeef;
    return ExitReason::kTripleFault;
  });
  EXPECT_EQ(ending.reason, EndReason::kTripleFault);
  EXPECT_EQ(exit_status(ending), 4);
  EXPECT_EQ(
      describe(ending),
      "the guest ended in a triple fault at 0x0010:0xdeadbeef in 64-bit mode, privilege level 0");
}

TEST_F(MachineTest, ATripleFaultResetsTheMachineIfThatIsWanted) {
  config.reboot_on_triple_fault = true;
  const Ending ending = run([](FakeVcpu& cpu) -> Result<ExitReason> {
    if (cpu.runs == 1) return ExitReason::kTripleFault;
    cpu.out(0x604, 0x2000, 2);
    return cpu.spin();
  });
  EXPECT_EQ(ending.reason, EndReason::kPowerOff);
}

TEST_F(MachineTest, APanickedKernelThatHaltsForeverHasFailed) {
  const Ending ending = run([](FakeVcpu& cpu) {
    cpu.print(kPanic);
    return ExitReason::kHalted;  // interrupts are off
  });
  EXPECT_EQ(ending.reason, EndReason::kPanic);
  EXPECT_EQ(exit_status(ending), 4);
  EXPECT_EQ(ending.message, "Kernel panic - not syncing: no init");
}

TEST_F(MachineTest, APanickedKernelThatLoopsInSilenceHasFailed) {
  const Ending ending = run([](FakeVcpu& cpu) {
    if (cpu.runs == 1) cpu.print(std::string(kPanic) + kPanicEnd);
    return cpu.spin();
  });
  EXPECT_EQ(ending.reason, EndReason::kPanic);
}

TEST_F(MachineTest, APanicThatIsOnlyQuotedIsNone) {
  config.timeout_seconds = 1.5;
  const Ending ending = run([](FakeVcpu& cpu) -> Result<ExitReason> {
    if (cpu.runs == 1) {
      cpu.print(std::string(kPanic) + kPanicEnd);
      cpu.state.rflags |= x86::rflags::kIf;
      return ExitReason::kHalted;  // an idle kernel
    }
    return cpu.spin();
  });
  EXPECT_EQ(ending.reason, EndReason::kTimeout);
}

TEST_F(MachineTest, AResetAfterAPanicWithNoRebootIsAFailure) {
  config.reboot = false;
  const Ending ending = run([](FakeVcpu& cpu) {
    cpu.print(kPanic);
    cpu.out(0x64, 0xfe);
    return cpu.spin();
  });
  EXPECT_EQ(ending.reason, EndReason::kPanic);
  EXPECT_EQ(exit_status(ending), 4);
}

TEST_F(MachineTest, TheTimeRunsOut) {
  config.timeout_seconds = 0.05;
  const Ending ending = run([](FakeVcpu& cpu) { return cpu.spin(); });
  EXPECT_EQ(ending.reason, EndReason::kTimeout);
  EXPECT_EQ(exit_status(ending), 124);
  config.timeout_seconds = 0.05;
  EXPECT_EQ(run([](FakeVcpu&) { return ExitReason::kHalted; }).reason, EndReason::kTimeout);
}

TEST_F(MachineTest, AHostErrorEndsIt) {
  const Ending ending =
      run([](FakeVcpu&) -> Result<ExitReason> { return host_error("out of handles"); });
  EXPECT_EQ(exit_status(ending), 3);
  EXPECT_EQ(describe(ending), "out of handles");
}

// The timer interrupt travels PIT -> PIC -> LINT0 (virtual wire) -> CPU, and wakes it from HLT.
TEST_F(MachineTest, ATimerInterruptWakesAHaltedCpu) {
  const Ending ending = run([](FakeVcpu& cpu) -> Result<ExitReason> {
    if (cpu.runs == 1) {
      cpu.out(0x20, 0x11);
      for (const unsigned word : {0x30u, 0x04u, 0x01u}) cpu.out(0x21, word);
      cpu.out(0x21, 0xfe);  // only interrupt 0
      cpu.out(0x43, 0x34);
      cpu.out(0x40, 0x00), cpu.out(0x40, 0x10);  // every 3.4 ms
      return ExitReason::kHalted;
    }
    if (!cpu.port().interrupt_pending()) return ExitReason::kHalted;
    EXPECT_EQ(cpu.port().acknowledge_interrupt(), 0x30);
    cpu.out(0x604, 0x2000, 2);
    return cpu.spin();
  });
  EXPECT_EQ(ending.reason, EndReason::kPowerOff);
  EXPECT_EQ(machine->statistics().interrupts, 1u);
}

TEST_F(MachineTest, TheLocalApicAnswersAtItsPageAndTheBusElsewhere) {
  const Ending ending = run([](FakeVcpu& cpu) {
    std::uint32_t word = 0;
    const auto read = [&](std::uint64_t address) {
      cpu.port().mmio_read(PhysAddr{address}, std::as_writable_bytes(std::span(&word, 1)));
      return word;
    };
    EXPECT_EQ(read(0xfee00030) & 0xf0, 0x10u);  // version
    EXPECT_EQ(read(0xfed00004), 10'000'000u);   // the HPET's period
    EXPECT_EQ(read(0xfec00000), 0u);            // the I/O APIC's register select
    EXPECT_EQ(read(0xd0000000), 0xffffffffu);   // nobody
    EXPECT_EQ(cpu.port().read_msr(0x1b), 0xfee00900u);
    cpu.out(0x604, 0x2000, 2);
    return cpu.spin();
  });
  EXPECT_EQ(ending.reason, EndReason::kPowerOff);
}

TEST_F(MachineTest, FirmwareTablesAreWhereKernelsLook) {
  auto built = build([](FakeVcpu& cpu) { return cpu.spin(); });
  ASSERT_TRUE(built);
  memory::GuestMemory& memory = (*built)->memory();
  const auto text_at = [&](std::uint64_t address, std::size_t size) {
    std::string text(size, 0);
    EXPECT_TRUE(memory.read(PhysAddr{address}, std::as_writable_bytes(std::span(text))));
    return text;
  };
  EXPECT_EQ(text_at(0xe0000, 8), "RSD PTR ");
  EXPECT_EQ(text_at(0xf0000, 3), "_SM");
  std::uint16_t ebda = 0, kib = 0;
  ASSERT_TRUE(memory.read_value(PhysAddr{0x40e}, ebda) && memory.read_value(PhysAddr{0x413}, kib));
  EXPECT_EQ(ebda, 0x9fc0);
  EXPECT_EQ(kib, 639);
}

TEST_F(MachineTest, NothingMovesWhilePaused) {
  std::atomic<int> steps = 0;
  auto built = build([&](FakeVcpu& cpu) -> Result<ExitReason> {
    while (!cpu.kicked()) ++steps, ::usleep(100);
    return cpu.spin();
  });
  ASSERT_TRUE(built);
  std::thread other([&] {
    while (steps == 0) ::usleep(1000);
    (*built)->pause();
    (*built)->pause();
    const int before = steps;
    (*built)->resume();
    ::usleep(20000);
    EXPECT_EQ(steps, before);
    (*built)->resume();
    while (steps == before) ::usleep(1000);
    (*built)->request_stop(EndReason::kStopped);
  });
  EXPECT_EQ((*built)->run().reason, EndReason::kStopped);
  other.join();
}

TEST_F(MachineTest, StatisticsCountAccessesByDevice) {
  run([](FakeVcpu& cpu) {
    cpu.print("abc");
    cpu.in(0x71);
    cpu.out(0x604, 0x2000, 2);
    return cpu.spin();
  });
  const MachineStatistics statistics = machine->statistics();
  const auto count = [&](const std::string& name) -> std::uint64_t {
    for (const auto& counter : statistics.device_accesses) {
      if (counter.name == name) return counter.value;
    }
    return 0;
  };
  EXPECT_EQ(count("serial"), 3u);
  EXPECT_EQ(count("rtc"), 1u);
  EXPECT_EQ(count("pm"), 1u);
  EXPECT_EQ(statistics.engine, "fake");
  EXPECT_EQ(statistics.console_bytes, 3u);
  EXPECT_GT(statistics.wall_seconds, 0.0);
  ASSERT_EQ(statistics.engine_counters.size(), 1u);
  EXPECT_EQ(statistics.engine_counters[0].name, "instructions");
}

TEST_F(MachineTest, ConfigurationsThatMakeNoSenseAreRefused) {
  const auto blame = [&](auto change) {
    const MachineConfig before = config;
    change();
    const auto built = build([](FakeVcpu& cpu) { return cpu.spin(); });
    config = before;
    EXPECT_FALSE(built);
    return built ? Error{} : built.error();
  };
  EXPECT_EQ(blame([&] { config.cpus = 65; }).blame, Blame::kUsage);
  EXPECT_EQ(blame([&] { config.cpus = 0; }).blame, Blame::kUsage);
  EXPECT_EQ(blame([&] { config.kernel = ""; }).blame, Blame::kUsage);
  EXPECT_EQ(blame([&] { config.memory_bytes = 12345; }).blame, Blame::kUsage);
  EXPECT_EQ(blame([&] { config.memory_bytes = 2 << 20; }).message,
            "the kernel needs at least 3 MiB of memory; give it with --memory 3M");
  EXPECT_EQ(blame([&] { config.cpu = "pentium"; }).blame, Blame::kUsage);
}

}  // namespace
}  // namespace vireo::machine
