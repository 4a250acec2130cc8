#include "engine/software/soft_mmu.h"

#include "engine/software/soft_world.h"

namespace vireo::engine {
namespace {

using test::bytes_of;
using test::kDevice;
using test::kRom;
using Tables = test::PageTables;
constexpr auto kSupervisor = TlbIndex::kSupervisor, kUser = TlbIndex::kUser;
constexpr std::uint64_t kPage = 0x40000000;  ///< where tests map things

struct World {
  std::unique_ptr<memory::GuestMemory> memory = test::make_memory();
  test::LoggingMachine machine;
  x86::CpuidModel model;
  Tables tables{*memory};
  std::unique_ptr<Cpu> cpu = std::make_unique<Cpu>();
  SoftMmu mmu{*cpu, *memory, machine, model};

  World() {
    cpu->mmu = &mmu;
    cpu->state = test::long_mode(tables.root());
    mmu.refresh_mode();
  }
  template <class T>
  x86::OrFault<T> read(std::uint64_t linear, TlbIndex who = kSupervisor) {
    T data{};
    TRY(mmu.read(LinearAddr{linear}, std::as_writable_bytes(std::span(&data, 1)), who));
    return data;
  }
  template <class T>
  x86::OrFault<> write(std::uint64_t linear, T data, TlbIndex who = kSupervisor) {
    return mmu.write(LinearAddr{linear}, bytes_of(data), who);
  }
  template <class T>
  T physical(std::uint64_t address) {
    T data{};
    memory->read_value(PhysAddr{address}, data);
    return data;
  }
  template <class T>
  x86::OrFault<bool> exchange(std::uint64_t linear, T& expected, T desired) {
    return mmu.compare_exchange(LinearAddr{linear}, std::as_writable_bytes(std::span(&expected, 1)),
                                bytes_of(desired), kSupervisor);
  }
};

x86::Fault page_fault(std::uint64_t address, std::uint32_t code) {
  return {x86::Vector::kPF, code, address};
}

TEST(SoftMmu, KeepsAWalkUntilThePageIsInvalidated) {
  World w;
  w.tables.map(kPage, 0x200000);
  ASSERT_TRUE(w.write<std::uint32_t>(kPage, 1));
  w.tables.map(kPage, 0x201000);
  ASSERT_TRUE(store<std::uint32_t>(w.cpu.get(), kPage, 2));
  EXPECT_EQ(w.physical<std::uint32_t>(0x200000), 2u);
  w.mmu.invalidate_page(LinearAddr{kPage + 77});
  ASSERT_TRUE(store<std::uint32_t>(w.cpu.get(), kPage, 3));
  EXPECT_EQ(w.physical<std::uint32_t>(0x200000), 2u);
  EXPECT_EQ(w.physical<std::uint32_t>(0x201000), 3u);
}

TEST(SoftMmu, InvalidatingOnePageOfALargeOneDropsAllOfIt) {
  World w;  // SDM vol. 3A, 4.10.2.3: as if there were a single translation
  w.tables.map_large(kPage, 0x200000);
  w.memory->write_value(PhysAddr{0x405000}, std::uint32_t{4});
  ASSERT_TRUE(w.read<std::uint32_t>(kPage + 0x5000));
  w.tables.map_large(kPage, 0x400000);
  w.mmu.invalidate_page(LinearAddr{kPage});
  EXPECT_EQ(w.read<std::uint32_t>(kPage + 0x5000).value(), 4u);
}

TEST(SoftMmu, SetsAccessedAndDirtyOnce) {
  World w;
  w.tables.map(kPage, 0x200000);
  const std::uint64_t entry = w.tables.entry(kPage);
  test::WriteCounter counter(*w.memory);
  w.memory->watch(PhysAddr{entry});
  EXPECT_TRUE(w.read<std::uint8_t>(kPage));
  EXPECT_EQ(w.tables.get(entry) & (Tables::kA | Tables::kD), Tables::kA);
  EXPECT_TRUE(w.read<std::uint8_t>(kPage + 100));
  EXPECT_EQ(counter.writes, 1u);
  EXPECT_TRUE(w.write<std::uint8_t>(kPage, 1));
  EXPECT_EQ(w.tables.get(entry) & (Tables::kA | Tables::kD), Tables::kA | Tables::kD);
  EXPECT_TRUE(w.write<std::uint8_t>(kPage + 100, 1));
  EXPECT_EQ(counter.writes, 2u);
}

TEST(SoftMmu, PageTablesInRomAreNotWritten) {
  World w;
  const std::uint64_t entry = 0x200000 | Tables::kP | Tables::kW;
  w.tables.put(w.tables.entry(kPage, 21), kRom | Tables::kP | Tables::kW);
  w.memory->write_rom(PhysAddr{kRom}, bytes_of(entry));
  EXPECT_TRUE(w.write<std::uint8_t>(kPage, 9));
  EXPECT_EQ(w.physical<std::uint64_t>(kRom), entry);
  EXPECT_EQ(w.physical<std::uint8_t>(0x200000), 9u);
}

TEST(SoftMmu, AnAccessAcrossPagesHappensWhollyOrNotAtAll) {
  World w;
  w.tables.map(kPage, 0x200000);
  EXPECT_EQ(w.write<std::uint64_t>(kPage + 4092, ~0ull).error(), page_fault(kPage + 4096, 2));
  EXPECT_EQ(w.physical<std::uint32_t>(0x200ffc), 0u);
  w.tables.map(kPage + 4096, 0x300000);
  ASSERT_TRUE(w.write<std::uint64_t>(kPage + 4092, 0x1122334455667788));
  EXPECT_EQ(w.physical<std::uint32_t>(0x200ffc), 0x55667788u);
  EXPECT_EQ(w.physical<std::uint32_t>(0x300000), 0x11223344u);
  EXPECT_EQ(w.read<std::uint64_t>(kPage + 4092).value(), 0x1122334455667788u);
}

TEST(SoftMmu, CheckWriteFaultsWhereTheWriteWould) {
  World w;
  w.tables.map(kPage, 0x200000);
  w.tables.map(kPage + 4096, 0x201000, Tables::kP);
  EXPECT_TRUE(w.mmu.check_write(LinearAddr{kPage}, 4096, kSupervisor));
  EXPECT_TRUE(w.mmu.check_write(LinearAddr{kPage + 4096}, 0, kSupervisor));
  EXPECT_EQ(w.mmu.check_write(LinearAddr{kPage + 1}, 4096, kSupervisor).error(),
            page_fault(kPage + 4096, 3));
  EXPECT_EQ(w.mmu.check_write(LinearAddr{kPage + 8192}, 1, kSupervisor).error(),
            page_fault(kPage + 8192, 2));
}

TEST(SoftMmu, LinearAddressesWrapAt4GiBOutsideLongMode) {
  World w;
  w.cpu->state = {};
  w.cpu->state.cr0 = x86::cr0::kPe;
  w.mmu.refresh_mode();
  w.machine.log.clear();
  ASSERT_TRUE(w.write<std::uint32_t>(0xfffffffe, 0x11223344));
  EXPECT_EQ(w.machine.log, std::vector<std::string>{"write2 0xfffffffe 0x3344"});
  EXPECT_EQ(w.physical<std::uint16_t>(0), 0x1122u);
}

TEST(SoftMmu, DevicesGetTheirBytesInPowersOfTwo) {
  World w;
  w.tables.map(kPage, kDevice);
  const std::array<std::byte, 10> data{std::byte{1}};
  ASSERT_TRUE(w.mmu.write(LinearAddr{kPage + 8}, data, kSupervisor));
  EXPECT_EQ(w.machine.log,
            (std::vector<std::string>{"write8 0x3000008 0x1", "write2 0x3000010 0x0"}));
  w.machine.log.clear();
  EXPECT_EQ(w.read<std::uint32_t>(kPage + 4).value(), 0x07060504u);
  EXPECT_EQ(w.machine.log, std::vector<std::string>{"read4 0x3000004"});
  EXPECT_TRUE(w.mmu.is_device(LinearAddr{kPage}));
  EXPECT_FALSE(w.mmu.is_device(LinearAddr{kPage + 4096}));  // a fault
}

TEST(SoftMmu, AnAccessAcrossMemoryAndADeviceIsSplit) {
  World w;
  w.tables.map(kPage, 0x200000);
  w.tables.map(kPage + 4096, kDevice);
  ASSERT_TRUE(w.write<std::uint64_t>(kPage + 4094, 0x1122334455667788));
  EXPECT_EQ(w.physical<std::uint16_t>(0x200ffe), 0x7788u);
  EXPECT_EQ(w.machine.log,
            (std::vector<std::string>{"write4 0x3000000 0x33445566", "write2 0x3000004 0x1122"}));
}

TEST(SoftMmu, AWatchedPageIsWrittenSlowlyAndTold) {
  World w;
  w.tables.map(kPage, 0x200000);
  w.memory->watch(PhysAddr{0x200000});
  test::WriteCounter counter(*w.memory);
  ASSERT_TRUE(store<std::uint32_t>(w.cpu.get(), kPage + 8, 5));
  EXPECT_EQ(w.mmu.direct(LinearAddr{kPage + 8}, 4, true), nullptr);
  EXPECT_NE(w.mmu.direct(LinearAddr{kPage + 8}, 4, false), nullptr);
  w.tables.map(kPage, 0x201000);  // no walk from here on
  ASSERT_TRUE(store<std::uint32_t>(w.cpu.get(), kPage + 12, 6));
  EXPECT_TRUE(
      update<std::uint32_t>(w.cpu.get(), kPage + 8, x86::kDs, [](auto n) { return n + 1; }));
  EXPECT_EQ(w.physical<std::uint32_t>(0x200008), 6u);
  EXPECT_EQ(w.physical<std::uint32_t>(0x20000c), 6u);
  EXPECT_EQ(counter.writes, 3u);
}

TEST(SoftMmu, APageThatIsNoLongerWatchedIsWrittenDirectlyAgain) {
  World w;
  w.tables.map(kPage, 0x200000);
  w.memory->watch(PhysAddr{0x200000});
  ASSERT_TRUE(store<std::uint32_t>(w.cpu.get(), kPage, 5));
  w.memory->unwatch(PhysAddr{0x200000});
  EXPECT_EQ(w.mmu.direct(LinearAddr{kPage}, 4, true), nullptr);
  ASSERT_TRUE(store<std::uint32_t>(w.cpu.get(), kPage, 6));
  EXPECT_NE(w.mmu.direct(LinearAddr{kPage}, 4, true), nullptr);
}

TEST(SoftMmu, RomIsReadAndNotWritten) {
  World w;
  w.tables.map(kPage, kRom);
  w.memory->write_rom(PhysAddr{kRom}, bytes_of(std::uint32_t{7}));
  ASSERT_TRUE(w.write<std::uint32_t>(kPage, 1));
  EXPECT_EQ(w.read<std::uint32_t>(kPage).value(), 7u);
}

TEST(SoftMmu, AFaultingStoreIsRaisedAndLoadsNothing) {
  World w;
  std::uint32_t data = 5;
  EXPECT_FALSE(load(w.cpu.get(), kPage, data));
  EXPECT_TRUE(w.cpu->fault_pending);
  EXPECT_EQ(w.cpu->fault, page_fault(kPage, 0));
  EXPECT_FALSE(update<std::uint32_t>(w.cpu.get(), kPage, x86::kDs, [](auto n) { return n; }));
  EXPECT_EQ(w.cpu->fault, page_fault(kPage, 2));
}

TEST(SoftMmu, AnAddressThatIsNotCanonicalIsAStackFaultThroughSs) {
  World w;
  std::uint64_t data;
  EXPECT_FALSE(load(w.cpu.get(), 0x7ffffffffffc, data, x86::kDs));
  EXPECT_EQ(w.cpu->fault.vector, x86::Vector::kGP);
  EXPECT_FALSE(store(w.cpu.get(), 0x800000000000, data, x86::kSs));
  EXPECT_EQ(w.cpu->fault.vector, x86::Vector::kSS);
}

TEST(SoftMmu, SmapHoldsForAccessesThatDoNotSuspendIt) {
  World w;
  w.tables.map(kPage, 0x200000, Tables::kP | Tables::kW | Tables::kU);
  w.cpu->state.cr4 |= x86::cr4::kSmap;
  w.cpu->state.rflags |= x86::rflags::kAc;
  w.mmu.refresh_mode();
  EXPECT_EQ(w.mmu.current(), TlbIndex::kSmapSuspended);
  ASSERT_TRUE(store<std::uint8_t>(w.cpu.get(), kPage, 1));
  EXPECT_EQ(w.write<std::uint8_t>(kPage, 1, kSupervisor).error(), page_fault(kPage, 3));
  w.cpu->state.rflags &= ~x86::rflags::kAc;
  w.mmu.refresh_mode();
  EXPECT_FALSE(store<std::uint8_t>(w.cpu.get(), kPage, 1));
}

TEST(SoftMmu, UserAndSupervisorTranslationsAreApart) {
  World w;
  w.tables.map(kPage, 0x200000);
  ASSERT_TRUE(w.read<std::uint8_t>(kPage, kSupervisor));
  EXPECT_EQ(w.read<std::uint8_t>(kPage, kUser).error(), page_fault(kPage, 5));
}

TEST(SoftMmu, WriteProtectionTakesEffectWhenItIsTurnedOn) {
  World w;
  w.tables.map(kPage, 0x200000, Tables::kP);
  w.cpu->state.cr0 &= ~x86::cr0::kWp;
  w.mmu.refresh_mode();
  ASSERT_TRUE(store<std::uint8_t>(w.cpu.get(), kPage, 1));
  w.cpu->state.cr0 |= x86::cr0::kWp;
  w.mmu.refresh_mode();
  EXPECT_FALSE(store<std::uint8_t>(w.cpu.get(), kPage, 2));
}

TEST(SoftMmu, ProtectionKeysTakeEffectWhenTheyChange) {
  World w;
  w.tables.map(kPage, 0x200000, Tables::kP | Tables::kW | Tables::kU | 3ull << 59);
  w.cpu->state.cr4 |= x86::cr4::kPke;
  w.cpu->state.segment[x86::kSs].access |= 0x60;
  w.mmu.refresh_mode();
  ASSERT_EQ(w.mmu.current(), kUser);
  ASSERT_TRUE(store<std::uint8_t>(w.cpu.get(), kPage, 1));
  w.cpu->state.pkru = 2u << 6;  // key 3: no writes
  w.mmu.refresh_mode();
  std::uint8_t data;
  EXPECT_FALSE(store<std::uint8_t>(w.cpu.get(), kPage, 2));
  EXPECT_EQ(w.cpu->fault, page_fault(kPage, 0x27));
  EXPECT_TRUE(load(w.cpu.get(), kPage, data));
  w.cpu->state.pkru = 1u << 6;
  w.mmu.refresh_mode();
  EXPECT_FALSE(load(w.cpu.get(), kPage, data));
}

TEST(SoftMmu, NewPageTablesKeepGlobalPagesOnly) {
  World w;
  w.cpu->state.cr4 |= x86::cr4::kPge;
  w.mmu.refresh_mode();
  w.tables.map(kPage, 0x200000, Tables::kP | Tables::kW | Tables::kG);
  w.tables.map(kPage + 4096, 0x201000);
  ASSERT_TRUE(w.read<std::uint8_t>(kPage));
  ASSERT_TRUE(w.read<std::uint8_t>(kPage + 4096));
  w.cpu->state.cr3 = 0x800000;  // an empty root
  w.mmu.refresh_mode();
  EXPECT_TRUE(w.read<std::uint8_t>(kPage));
  EXPECT_FALSE(w.read<std::uint8_t>(kPage + 4096));
  w.mmu.flush(x86::TlbFlush::kAll);
  EXPECT_FALSE(w.read<std::uint8_t>(kPage));
}

TEST(SoftMmu, KeepsTheTranslationOfCodeUntilItsPageIsInvalidated) {
  World w;
  w.tables.map(kPage, 0x200000);
  ASSERT_EQ(w.mmu.translate_code(LinearAddr{kPage + 5}), PhysAddr{0x200005});
  w.tables.map(kPage, 0x201000);
  EXPECT_EQ(w.mmu.translate_code(LinearAddr{kPage + 6}), PhysAddr{0x200006});
  w.mmu.invalidate_page(LinearAddr{kPage + 0x1000});
  EXPECT_EQ(w.mmu.translate_code(LinearAddr{kPage}), PhysAddr{0x200000});
  w.mmu.invalidate_page(LinearAddr{kPage});
  EXPECT_EQ(w.mmu.translate_code(LinearAddr{kPage}), PhysAddr{0x201000});
}

TEST(SoftMmu, CodeOfUserAndSupervisorIsTranslatedApart) {
  World w;
  w.cpu->state.cr4 |= x86::cr4::kSmep;
  w.mmu.refresh_mode();
  w.tables.map(kPage, 0x200000, Tables::kP | Tables::kU);
  auto& ss = w.cpu->state.segment[x86::kSs];
  ss.access |= 0x60;
  w.mmu.refresh_mode();
  EXPECT_TRUE(w.mmu.translate_code(LinearAddr{kPage}));
  ss.access &= ~0x60u;
  w.mmu.refresh_mode();
  EXPECT_FALSE(w.mmu.translate_code(LinearAddr{kPage}));
}

/// Whether code looked up at `linear` is stale after `change`: then the block has to be left.
bool makes_stale(World& w, std::uint64_t linear, auto change) {
  EXPECT_TRUE(w.mmu.translate_code(LinearAddr{linear}));
  const std::uint64_t tag = w.cpu->jump_tag;
  w.cpu->leave_block = false;
  change(w.mmu);
  EXPECT_TRUE(w.cpu->leave_block || tag == w.cpu->jump_tag);
  return tag != w.cpu->jump_tag;
}

TEST(SoftMmu, BranchesAreStaleWhenAPageWithLookedUpCodeIsInvalidated) {
  const auto invalidate = [](std::uint64_t linear) {
    return [=](SoftMmu& mmu) { mmu.invalidate_page(LinearAddr{linear}); };
  };
  World w;
  w.tables.map(kPage, 0x200000);
  EXPECT_FALSE(makes_stale(w, kPage, invalidate(kPage + 0x1000)));
  EXPECT_TRUE(makes_stale(w, kPage, invalidate(kPage + 0xfff)));
  EXPECT_TRUE(makes_stale(w, kPage, invalidate(kPage)));  // from the cached translation too
  w.mmu.invalidate_page(LinearAddr{kPage});
  w.tables.map(kPage + 0x1000, 0x200000);
  ASSERT_TRUE(w.mmu.translate_code(LinearAddr{kPage + 0x1000}));
  EXPECT_TRUE(makes_stale(w, kPage, invalidate(kPage + 0x1000)));
  EXPECT_TRUE(makes_stale(w, kPage, invalidate(kPage)));
  constexpr std::uint64_t kLarge = 0x60000000;
  w.tables.map_large(kLarge, 0x200000);
  EXPECT_FALSE(makes_stale(w, kLarge, invalidate(kLarge + 0x400000)));
  EXPECT_TRUE(makes_stale(w, kLarge, invalidate(kLarge + 0x1ff000)));
}

TEST(SoftMmu, AlignmentIsCheckedAtEveryAccess) {
  World w;
  w.tables.map(kPage, 0x200000, Tables::kP | Tables::kW | Tables::kU);
  w.cpu->state.cr0 |= x86::cr0::kAm;
  w.cpu->state.rflags |= x86::rflags::kAc;
  w.cpu->state.segment[x86::kSs].access |= 0x60;
  w.mmu.refresh_mode();
  ASSERT_EQ(w.mmu.current(), TlbIndex::kAlignmentChecked);
  std::uint32_t data;
  EXPECT_TRUE(load(w.cpu.get(), kPage + 4, data));
  EXPECT_FALSE(load(w.cpu.get(), kPage + 6, data));
  EXPECT_EQ(w.cpu->fault, (x86::Fault{x86::Vector::kAC}));
  EXPECT_TRUE(w.read<std::uint32_t>(kPage + 6, kSupervisor));  // a descriptor table, say
}

TEST(SoftMmu, DataBreakpointsSeeAccessesToCachedPagesToo) {
  World w;
  w.tables.map(kPage, 0x200000);
  ASSERT_TRUE(store<std::uint32_t>(w.cpu.get(), kPage, 1));
  w.cpu->state.dr[1] = kPage + 4;
  w.cpu->state.dr7 = 1u << 2 | 1u << 20 | 3u << 22;  // L1, writes, 4 bytes
  w.mmu.refresh_mode();
  std::uint32_t data;
  EXPECT_TRUE(load(w.cpu.get(), kPage + 4, data));
  EXPECT_TRUE(store<std::uint32_t>(w.cpu.get(), kPage, 1));
  EXPECT_TRUE(store<std::uint8_t>(w.cpu.get(), kPage + 8, 1));
  EXPECT_EQ(w.cpu->state.pending_debug, 0u);
  EXPECT_TRUE(store<std::uint8_t>(w.cpu.get(), kPage + 7, 1));
  EXPECT_EQ(w.cpu->state.pending_debug, 2u);
  w.cpu->state.pending_debug = 0;
  EXPECT_TRUE(store<std::uint16_t>(w.cpu.get(), kPage + 3, 1));
  EXPECT_EQ(w.cpu->state.pending_debug, 2u);
}

TEST(SoftMmu, AnAccessThatFaultsHitsNoBreakpoint) {
  World w;
  w.cpu->state.dr[0] = kPage;
  w.cpu->state.dr7 = 1u | 3u << 16;
  w.mmu.refresh_mode();
  EXPECT_FALSE(w.read<std::uint8_t>(kPage));
  EXPECT_EQ(w.cpu->state.pending_debug, 0u);
}

TEST(SoftMmu, IoBreakpointsNeedDebugExtensions) {
  World w;
  w.cpu->state.dr[2] = 0x60;
  w.cpu->state.dr7 = 1u << 4 | 2u << 24 | 1u << 26;  // L2, I/O, 2 bytes
  w.mmu.note_io_access(0x62, 1);
  EXPECT_EQ(w.cpu->state.pending_debug, 0u);
  w.mmu.note_io_access(0x5d, 4);
  EXPECT_EQ(w.cpu->state.pending_debug, 4u);
  w.cpu->state.pending_debug = 0;
  w.cpu->state.cr4 &= ~x86::cr4::kDe;
  w.mmu.note_io_access(0x60, 1);
  EXPECT_EQ(w.cpu->state.pending_debug, 0u);
}

TEST(SoftMmu, CompareExchangeOfEveryWidthInRam) {
  World w;
  w.tables.map(kPage, 0x200000);
  const auto both_ways = [&]<class T>(T stored) {
    ASSERT_TRUE(w.write<T>(kPage + 16, stored));
    T expected{};
    EXPECT_FALSE(w.exchange<T>(kPage + 16, expected, T{}).value());
    EXPECT_EQ(std::memcmp(&expected, &stored, sizeof(T)), 0);
    EXPECT_TRUE(w.exchange<T>(kPage + 16, expected, T{}).value());
    const T after = w.physical<T>(0x200010), zero{};
    EXPECT_EQ(std::memcmp(&after, &zero, sizeof(T)), 0);
  };
  both_ways(std::uint8_t{0x12});
  both_ways(std::uint16_t{0x1234});
  both_ways(std::uint32_t{0x12345678});
  both_ways(std::uint64_t{0x123456789abcdef0});
  both_ways(std::array<std::uint64_t, 2>{1, 2});
}

TEST(SoftMmu, CompareExchangeTellsOfWritesToWatchedPages) {
  World w;
  w.tables.map(kPage, 0x200000);
  w.memory->watch(PhysAddr{0x200000});
  test::WriteCounter counter(*w.memory);
  std::uint32_t expected = 1;
  EXPECT_FALSE(w.exchange<std::uint32_t>(kPage, expected, 5).value());
  EXPECT_EQ(counter.writes, 0u);
  EXPECT_TRUE(w.exchange<std::uint32_t>(kPage, expected, 5).value());
  EXPECT_EQ(counter.writes, 1u);
}

TEST(SoftMmu, CompareExchangeInRomAndDevicesReadsComparesAndWrites) {
  World w;
  w.tables.map(kPage, kRom);
  w.tables.map(kPage + 4096, kDevice);
  std::uint32_t expected = 0;
  EXPECT_TRUE(w.exchange<std::uint32_t>(kPage, expected, 5).value());
  EXPECT_EQ(w.physical<std::uint32_t>(kRom), 0u);
  EXPECT_FALSE(w.exchange<std::uint32_t>(kPage + 4096, expected, 5).value());
  EXPECT_EQ(expected, 0x03020100u);
  EXPECT_TRUE(w.exchange<std::uint32_t>(kPage + 4096, expected, 5).value());
  EXPECT_EQ(w.machine.log.back(), "write4 0x3000000 0x5");
}

TEST(SoftMmu, CompareExchangeDoesNotWriteRomThatIsWatched) {
  World w;
  w.tables.map(kPage, kRom);
  w.memory->watch(PhysAddr{kRom});
  std::uint32_t expected = 0;
  EXPECT_TRUE(w.exchange<std::uint32_t>(kPage, expected, 5).value());
  EXPECT_EQ(w.physical<std::uint32_t>(kRom), 0u);
}

TEST(SoftMmu, CompareExchangeAcrossPagesIsWholeOrNothing) {
  World w;
  w.tables.map(kPage, 0x200000);
  w.tables.map(kPage + 4096, 0x300000, Tables::kP);
  std::uint32_t expected = 0;
  EXPECT_EQ(w.exchange<std::uint32_t>(kPage + 4094, expected, 0x11223344).error(),
            page_fault(kPage + 4096, 3));
  EXPECT_EQ(w.physical<std::uint16_t>(0x200ffe), 0u);
  w.tables.map(kPage + 4096, 0x300000);
  w.mmu.invalidate_page(LinearAddr{kPage + 4096});
  EXPECT_TRUE(w.exchange<std::uint32_t>(kPage + 4094, expected, 0x11223344).value());
  EXPECT_EQ(w.physical<std::uint16_t>(0x200ffe), 0x3344u);
  EXPECT_EQ(w.physical<std::uint16_t>(0x300000), 0x1122u);
  EXPECT_FALSE(w.exchange<std::uint32_t>(kPage + 4094, expected, 1).value());
  EXPECT_EQ(expected, 0x11223344u);
}

TEST(SoftMmu, DirectAccessNeedsACachedPageAndStaysInIt) {
  World w;
  w.tables.map(kPage, 0x200000);
  EXPECT_EQ(w.mmu.direct(LinearAddr{kPage}, 8, false), nullptr);
  ASSERT_TRUE(w.read<std::uint8_t>(kPage));
  EXPECT_EQ(w.mmu.direct(LinearAddr{kPage}, 8, true), nullptr);  // D is not set yet
  ASSERT_TRUE(w.write<std::uint8_t>(kPage, 1));
  std::byte* host = w.mmu.direct(LinearAddr{kPage + 4088}, 8, true);
  ASSERT_NE(host, nullptr);
  *host = std::byte{0x5a};
  EXPECT_EQ(w.physical<std::uint8_t>(0x200ff8), 0x5au);
  EXPECT_EQ(w.mmu.direct(LinearAddr{kPage + 4089}, 8, false), nullptr);
  EXPECT_EQ(w.mmu.direct(LinearAddr{kPage}, 4097, false), nullptr);
  EXPECT_EQ(w.mmu.direct(LinearAddr{kPage}, ~std::size_t{0}, false), nullptr);
}

TEST(SoftMmu, AnotherCodeBaseMakesLookedUpBranchesStale) {
  World w;
  w.cpu->state = {};
  w.mmu.refresh_mode();
  const std::uint64_t tag = w.cpu->jump_tag;
  w.mmu.refresh_mode();
  EXPECT_EQ(w.cpu->jump_tag, tag);
  w.cpu->state.segment[x86::kCs].base += 16;
  w.mmu.refresh_mode();
  EXPECT_NE(w.cpu->jump_tag, tag);
  w.cpu->state.segment[x86::kCs].base -= 16;
  w.mmu.refresh_mode();
  EXPECT_NE(w.cpu->jump_tag, tag);
}

}  // namespace
}  // namespace vireo::engine
