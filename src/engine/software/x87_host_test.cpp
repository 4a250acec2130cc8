#include "engine/software/x87_host.h"

#include "engine/software/soft_port.h"
#include "engine/software/soft_world.h"

namespace vireo::engine {
namespace {

/// A CPU whose registers are loaded.
struct World {
  std::unique_ptr<memory::GuestMemory> memory = test::make_memory();
  test::LoggingMachine machine;
  test::StepClock clock;
  x86::CpuidModel model;
  std::unique_ptr<Cpu> cpu = std::make_unique<Cpu>();
  SoftMmu mmu{*cpu, *memory, machine, model};
  SoftPort port{*cpu, mmu, {0, machine, model, clock}};
  bool loaded = false;
  HostX87::Watch watch{cpu->state, loaded};

  World() {
    cpu->state.fpu.control = 0xf7f;
    HostX87::ensure_loaded(cpu->state);
  }
  ~World() { HostX87::sync(cpu->state); }
};

std::uint16_t host_control() {
  std::uint16_t word = 0;
  asm volatile("fnstcw %0" : "=m"(word));
  return word;
}

TEST(HostX87, AWatchKnowsWhoseRegistersAreLoaded) {
  World w;
  EXPECT_TRUE(w.loaded);
  HostX87::sync(w.cpu->state);
  EXPECT_FALSE(w.loaded);
  HostX87::ensure_loaded(w.cpu->state);
  EXPECT_TRUE(w.loaded);
  HostX87::discard();
  EXPECT_FALSE(w.loaded);
}

TEST(HostX87, AWatchNoticesThatAnotherStateTakesTheRegisters) {
  World w;
  x86::CpuState other;
  HostX87::ensure_loaded(other);
  EXPECT_FALSE(w.loaded);
  HostX87::sync(w.cpu->state);  // nothing to do
  EXPECT_EQ(host_control(), 0x37f);
  HostX87::ensure_loaded(w.cpu->state);
  EXPECT_TRUE(w.loaded);
  EXPECT_EQ(host_control(), 0xf7f);
}

TEST(HostX87, AWatchBeginsWithWhatIsThere) {
  World w;
  bool loaded = false;
  { const HostX87::Watch again(w.cpu->state, loaded); }
  EXPECT_TRUE(loaded);
}

TEST(HostX87, DevicesAreCalledWithTheUnitInitialized) {
  World w;
  w.machine.on_out = [](std::uint16_t) { EXPECT_EQ(host_control(), 0x37f); };
  w.port.pio_write(0x80, test::bytes_of(std::uint8_t{1}));
  EXPECT_FALSE(w.loaded);

  HostX87::ensure_loaded(w.cpu->state);
  std::array<std::byte, 1> data;
  w.port.pio_read(0x80, data);
  EXPECT_FALSE(w.loaded);

  w.mmu.refresh_mode();  // without paging
  const LinearAddr device{test::kDevice};
  HostX87::ensure_loaded(w.cpu->state);
  ASSERT_TRUE(w.mmu.read(device, data, TlbIndex::kSupervisor));
  EXPECT_FALSE(w.loaded);

  HostX87::ensure_loaded(w.cpu->state);
  ASSERT_TRUE(w.mmu.write(device, data, TlbIndex::kSupervisor));
  EXPECT_FALSE(w.loaded);
}

}  // namespace
}  // namespace vireo::engine
