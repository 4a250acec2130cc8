#include "x86/paging/page_walk.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <map>
#include <tuple>

#include "x86/paging/page_table_entry.h"

namespace vireo::x86 {
namespace {

using Kind = PagingMode::Kind;
constexpr std::uint64_t kP = pte::kPresent, kW = pte::kWritable, kU = pte::kUser,
                        kA = pte::kAccessed, kD = pte::kDirty, kPs = pte::kPageSize,
                        kG = pte::kGlobal, kXd = pte::kExecuteDisable;
constexpr std::uint32_t kPresentFault = page_fault::kProtection;

/// Sparse memory of 32-bit words; all ones where nothing was put, as beyond RAM.
class FakeMemory : public PhysicalMemory {
 public:
  std::uint64_t read(PhysAddr address, std::size_t size) override {
    std::uint64_t result = word(value(address));
    if (size == 8) result |= std::uint64_t{word(value(address) + 4)} << 32;
    return result;
  }
  bool compare_exchange(PhysAddr address, std::size_t size, std::uint64_t expected,
                        std::uint64_t desired) override {
    if (before_exchange) std::exchange(before_exchange, nullptr)();
    if (read(address, size) != expected) return false;
    put(value(address), desired, size);
    return true;
  }
  void put(std::uint64_t address, std::uint64_t entry, std::size_t size = 8) {
    words_[address] = static_cast<std::uint32_t>(entry);
    if (size == 8) words_[address + 4] = static_cast<std::uint32_t>(entry >> 32);
  }
  std::uint64_t get(std::uint64_t address, std::size_t size = 8) {
    return read(PhysAddr{address}, size);
  }
  std::map<std::uint64_t, std::uint32_t> words() const { return words_; }

  std::function<void()> before_exchange;

 private:
  std::uint32_t word(std::uint64_t address) const {
    const auto found = words_.find(address);
    return found == words_.end() ? ~0u : found->second;
  }
  std::map<std::uint64_t, std::uint32_t> words_;
};

/// Tables at 0x5000 (PML5), 0x4000, 0x3000, 0x2000 and 0x1000 (PT) that map kAddress to 0x7654000.
class WalkTest : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kAddress = 0x123'4567'8abc, kFrame = 0x765'4000;
  // Where the entries of kAddress stand, from its index at each level.
  static constexpr std::uint64_t kPte = 0x1000 + 0x078 * 8, kPde = 0x2000 + 0x02b * 8,
                                 kPdpte = 0x3000 + 0x08d * 8, kPml4e = 0x4000 + 0x002 * 8,
                                 kPml5e = 0x5000;

  void SetUp() override {
    mode.kind = Kind::k4Level;
    mode.cr3 = 0x4000;
    mode.execute_disable = mode.write_protect = mode.huge_pages = mode.global_pages = true;
    mode.attributes = true;
    memory.put(kPml5e, 0x4000 | kP | kW | kU);
    memory.put(kPml4e, 0x3000 | kP | kW | kU);
    memory.put(kPdpte, 0x2000 | kP | kW | kU);
    memory.put(kPde, 0x1000 | kP | kW | kU);
    memory.put(kPte, kFrame | kP | kW | kU);
  }
  OrFault<Translation> walk(Access access = Access::kRead, bool user = false, bool ac = false,
                            std::uint64_t address = kAddress) {
    return walk_pages(mode, memory, {LinearAddr{address}, access, user, ac});
  }
  /// The error code of the page fault, or -1 if there is none.
  std::int64_t code(Access access = Access::kRead, bool user = false, bool ac = false) {
    const auto result = walk(access, user, ac);
    if (result) return -1;
    EXPECT_EQ(result.error().vector, Vector::kPF);
    EXPECT_EQ(result.error().address, kAddress);
    return result.error().error_code;
  }

  PagingMode mode;
  FakeMemory memory;
};

TEST_F(WalkTest, WithoutPagingAddressesAreTheirOwnTranslation) {
  mode = {};
  const auto result = walk(Access::kWrite, true);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->page, PhysAddr{kAddress & ~0xfffull});
  EXPECT_EQ(result->rights, PageRights{});
}

TEST_F(WalkTest, WithoutPagingEverythingIsPermitted) {
  mode = {};
  mode.smep = mode.smap = true;  // CR4 may have them already
  for (const auto access : {Access::kRead, Access::kWrite, Access::kExecute})
    EXPECT_TRUE(permitted(mode, {}, {LinearAddr{0}, access, false, false}));
}

TEST_F(WalkTest, EntriesThatAreMarkedAlreadyAreNotWrittenAgain) {
  ASSERT_TRUE(walk(Access::kWrite));
  bool written = false;
  memory.before_exchange = [&] { written = true; };
  ASSERT_TRUE(walk(Access::kWrite));
  EXPECT_FALSE(written);
}

TEST_F(WalkTest, FourLevelsLeadToASmallPage) {
  const auto result = walk();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->page, PhysAddr{kFrame});
  EXPECT_EQ(result->page_shift, 12);
  EXPECT_FALSE(result->global);
  EXPECT_EQ(result->rights, (PageRights{true, true, true, false, 0}));
}

TEST_F(WalkTest, FiveLevelsStartOneTableHigher) {
  mode.kind = Kind::k5Level;
  mode.cr3 = 0x5000;
  ASSERT_TRUE(walk());
  EXPECT_EQ(memory.get(kPml5e) & kA, kA);
  memory.put(kPml5e, 0);
  EXPECT_EQ(code(), 0);
}

TEST_F(WalkTest, LargePagesGiveThe4KibPageInsideThem) {
  memory.put(kPde, 0x4020'0000 | kP | kW | kPs | kG);
  auto result = walk();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->page, PhysAddr{0x4020'0000 | (kAddress & 0x1f'f000)});
  EXPECT_EQ(result->page_shift, 21);
  EXPECT_TRUE(result->global);
  memory.put(kPdpte, 0x8000'0000 | kP | kW | kPs | kG);
  mode.global_pages = false;
  result = walk();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->page, PhysAddr{0x8000'0000 | (kAddress & 0x3fff'f000)});
  EXPECT_EQ(result->page_shift, 30);
  EXPECT_FALSE(result->global);
}

TEST_F(WalkTest, ThePatBitOfALargePageIsNotPartOfItsAddress) {
  memory.put(kPde, 0x4020'0000 | 1u << 12 | kP | kPs);
  EXPECT_EQ(walk()->page, PhysAddr{0x4020'0000 | (kAddress & 0x1f'f000)});
}

TEST_F(WalkTest, AMissingEntryAtAnyLevelIsANotPresentFault) {
  for (const auto entry : {kPte, kPde, kPdpte, kPml4e}) {
    SetUp();
    memory.put(entry, memory.get(entry) & ~kP);
    EXPECT_EQ(code(Access::kRead, true), page_fault::kUser);
    EXPECT_EQ(code(Access::kWrite), page_fault::kWrite);
    EXPECT_EQ(code(Access::kExecute), page_fault::kFetch);
  }
}

TEST_F(WalkTest, ReadsSetAccessedEverywhereAndWritesDirtyInTheLeaf) {
  ASSERT_TRUE(walk());
  for (const auto entry : {kPte, kPde, kPdpte, kPml4e})
    EXPECT_EQ(memory.get(entry) & (kA | kD), kA);
  const auto written = walk(Access::kWrite);
  ASSERT_TRUE(written);
  EXPECT_TRUE(written->rights.dirty);
  EXPECT_EQ(memory.get(kPte) & (kA | kD), kA | kD);
  EXPECT_EQ(memory.get(kPde) & (kA | kD), kA);
  EXPECT_TRUE(walk()->rights.dirty);
}

TEST_F(WalkTest, AFaultingWalkChangesNoMemory) {
  memory.put(kPte, kFrame | kP);
  const auto before = memory.words();
  EXPECT_EQ(code(Access::kWrite, true), kPresentFault | page_fault::kWrite | page_fault::kUser);
  EXPECT_EQ(memory.words(), before);
}

TEST_F(WalkTest, AnEntryThatChangesMeanwhileIsReadAgain) {
  memory.before_exchange = [&] { memory.put(kPml4e, 0); };
  EXPECT_EQ(code(), 0);
  SetUp();
  memory.before_exchange = [&] { memory.put(kPte, 0x9000 | kP | kA); };
  EXPECT_EQ(walk()->page, PhysAddr{0x9000});
}

TEST_F(WalkTest, EveryLevelMustAllowUserAccess) {
  for (const auto entry : {kPte, kPde, kPdpte, kPml4e}) {
    SetUp();
    memory.put(entry, memory.get(entry) & ~kU);
    EXPECT_EQ(code(Access::kRead, true), kPresentFault | page_fault::kUser);
    EXPECT_FALSE(walk()->rights.user);
  }
}

TEST_F(WalkTest, EveryLevelMustAllowWritingUnlessWpIsClearForTheSupervisor) {
  for (const auto entry : {kPte, kPde, kPdpte, kPml4e}) {
    SetUp();
    memory.put(entry, memory.get(entry) & ~kW);
    EXPECT_EQ(code(Access::kWrite), kPresentFault | page_fault::kWrite);
    EXPECT_EQ(code(Access::kRead, true), -1);
    mode.write_protect = false;
    EXPECT_EQ(code(Access::kWrite), -1);
    EXPECT_EQ(code(Access::kWrite, true), kPresentFault | page_fault::kWrite | page_fault::kUser);
  }
}

TEST_F(WalkTest, EveryLevelMustAllowExecution) {
  for (const auto entry : {kPte, kPde, kPdpte, kPml4e}) {
    SetUp();
    memory.put(entry, memory.get(entry) | kXd);
    EXPECT_EQ(code(Access::kExecute), kPresentFault | page_fault::kFetch);
    EXPECT_EQ(code(Access::kRead), -1);
    EXPECT_FALSE(walk()->rights.executable);
    mode.execute_disable = false;
    EXPECT_EQ(code(Access::kRead), kPresentFault | page_fault::kReserved);
    EXPECT_EQ(code(Access::kExecute), kPresentFault | page_fault::kReserved);
  }
}

TEST_F(WalkTest, SmepForbidsTheSupervisorToExecuteUserPages) {
  mode.smep = true;
  EXPECT_EQ(code(Access::kExecute), kPresentFault | page_fault::kFetch);
  EXPECT_EQ(code(Access::kExecute, true), -1);
  memory.put(kPde, memory.get(kPde) & ~kU);
  EXPECT_EQ(code(Access::kExecute), -1);
  mode.execute_disable = false;  // SMEP alone makes fetches visible in the error code
  EXPECT_EQ(code(Access::kExecute, true), kPresentFault | page_fault::kUser | page_fault::kFetch);
}

TEST_F(WalkTest, WithoutNxAndSmepFetchesLookLikeReads) {
  mode.execute_disable = false;
  memory.put(kPte, 0);
  EXPECT_EQ(code(Access::kExecute, true), page_fault::kUser);
}

TEST_F(WalkTest, SmapForbidsTheSupervisorToAccessUserPagesUnlessSuspended) {
  mode.smap = true;
  EXPECT_EQ(code(Access::kRead), kPresentFault);
  EXPECT_EQ(code(Access::kWrite), kPresentFault | page_fault::kWrite);
  mode.write_protect = false;
  EXPECT_EQ(code(Access::kWrite), kPresentFault | page_fault::kWrite);
  EXPECT_EQ(code(Access::kRead, false, true), -1);
  EXPECT_EQ(code(Access::kRead, true), -1);
  EXPECT_EQ(code(Access::kExecute), -1);
  memory.put(kPte, kFrame | kP | kW);
  EXPECT_EQ(code(Access::kRead), -1);
}

TEST_F(WalkTest, ReservedBitsFaultAtEveryLevel) {
  for (const auto entry : {kPte, kPde, kPdpte, kPml4e}) {
    for (const unsigned bit : {40u, 45u, 51u}) {
      SetUp();
      memory.put(entry, memory.get(entry) | 1ull << bit);
      EXPECT_EQ(code(), kPresentFault | page_fault::kReserved) << bit;
    }
  }
  SetUp();  // the highest address bit there is, and ignored bits
  memory.put(kPte, memory.get(kPte) | 1ull << 39 | 1ull << 52 | 1ull << 58);
  EXPECT_EQ(code(), -1);
}

TEST_F(WalkTest, ReservedBitsOfLargePagesFault) {
  memory.put(kPml4e, memory.get(kPml4e) | kPs);
  EXPECT_EQ(code(), kPresentFault | page_fault::kReserved);
  SetUp();
  for (unsigned bit = 13; bit <= 20; ++bit) {
    memory.put(kPde, 0x4020'0000 | kP | kPs | 1ull << bit);
    EXPECT_EQ(code(), kPresentFault | page_fault::kReserved) << bit;
  }
  for (unsigned bit = 13; bit <= 29; ++bit) {
    memory.put(kPdpte, 0x4000'0000 | kP | kPs | 1ull << bit);
    EXPECT_EQ(code(), kPresentFault | page_fault::kReserved) << bit;
  }
  memory.put(kPdpte, 0x4000'0000 | kP | kPs);
  EXPECT_EQ(code(), -1);
  mode.huge_pages = false;
  EXPECT_EQ(code(), kPresentFault | page_fault::kReserved);
}

TEST_F(WalkTest, WithoutPageAttributesTheirBitIsReserved) {
  const std::tuple<std::uint64_t, std::uint64_t, unsigned> leaves[] = {
      {kPte, kFrame, 7}, {kPde, 0x4020'0000 | kPs, 12}, {kPdpte, 0x4000'0000 | kPs, 12}};
  for (const auto& [address, leaf, bit] : leaves) {
    memory.put(address, leaf | kP | 1ull << bit);
    mode.attributes = true;
    EXPECT_EQ(code(), -1) << bit;
    mode.attributes = false;
    EXPECT_EQ(code(), kPresentFault | page_fault::kReserved) << bit;
    memory.put(address, leaf | kP);
    EXPECT_EQ(code(), -1) << bit;
  }
}

TEST_F(WalkTest, ProtectionKeysGovernDataAccessesToUserPages) {
  mode.protection_keys = true;
  memory.put(kPte, memory.get(kPte) | 5ull << 59);
  EXPECT_EQ(walk()->rights.protection_key, 5);
  mode.pkru = 1u << 10;  // access disable
  const auto key = kPresentFault | page_fault::kProtectionKey;
  EXPECT_EQ(code(Access::kRead), key);
  EXPECT_EQ(code(Access::kRead, true), key | page_fault::kUser);
  EXPECT_EQ(code(Access::kExecute, true), -1);
  mode.pkru = 2u << 10;  // write disable
  EXPECT_EQ(code(Access::kRead, true), -1);
  EXPECT_EQ(code(Access::kWrite, true), key | page_fault::kUser | page_fault::kWrite);
  EXPECT_EQ(code(Access::kWrite), key | page_fault::kWrite);
  mode.write_protect = false;
  EXPECT_EQ(code(Access::kWrite), -1);
  EXPECT_EQ(code(Access::kWrite, true), key | page_fault::kUser | page_fault::kWrite);
  mode.pkru = ~(3u << 10);  // every other key
  EXPECT_EQ(code(Access::kWrite, true), -1);
  mode.pkru = 3u << 10;
  memory.put(kPml4e, memory.get(kPml4e) & ~kU);  // no longer a user page
  EXPECT_EQ(code(Access::kWrite), -1);
}

TEST_F(WalkTest, TheKeyBitIsReportedBesideOtherViolations) {
  mode.protection_keys = true;
  mode.pkru = ~0u;
  memory.put(kPte, kFrame | kP | kU);
  EXPECT_EQ(code(Access::kWrite, true),
            kPresentFault | page_fault::kWrite | page_fault::kUser | page_fault::kProtectionKey);
  memory.put(kPte, 0);
  EXPECT_EQ(code(Access::kRead, true), page_fault::kUser);
}

TEST_F(WalkTest, PaeStartsAtTheLoadedPdptes) {
  constexpr std::uint64_t kLow = kAddress & 0xffff'ffff;  // PDPTE 1
  mode.kind = Kind::kPae;
  mode.cr3 = ~0ull;
  mode.pdpte[1] = 0x2000 | kP;  // it has neither U/S nor R/W
  const auto result = walk(Access::kWrite, true, false, kLow);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->page, PhysAddr{kFrame});
  mode.pdpte[1] = 0x2000;
  EXPECT_EQ(walk(Access::kRead, true, false, kLow).error().error_code, page_fault::kUser);
  mode.pdpte[1] = 0x2000 | kP;
  memory.put(kPde, memory.get(kPde) | 1ull << 52);
  EXPECT_EQ(walk(Access::kRead, false, false, kLow).error().error_code,
            kPresentFault | page_fault::kReserved);
}

class Walk32Test : public WalkTest {
 protected:
  static constexpr std::uint64_t kLinear = 0x8040'3abc;
  static constexpr std::uint64_t kPde32 = 0x4000 + 0x201 * 4, kPte32 = 0x1000 + 3 * 4;
  void SetUp() override {
    mode.kind = Kind::k32Bit;
    mode.cr3 = 0x4018;  // PCD and PWT are not part of the address
    mode.attributes = true;
    memory.put(kPde32, 0x1000 | kP | kW | kU, 4);
    memory.put(kPte32, 0xfff0'0000 | kP | kW | kU | kPs, 4);
  }
  OrFault<Translation> walk32(Access access = Access::kRead) {
    return walk(access, true, false, kLinear);
  }
};

TEST_F(Walk32Test, TwoLevelsLeadToASmallPageAndMarkIt) {
  EXPECT_EQ(walk32(Access::kWrite)->page, PhysAddr{0xfff0'0000});
  EXPECT_EQ(memory.get(kPde32, 4) & (kA | kD), kA);
  EXPECT_EQ(memory.get(kPte32, 4) & (kA | kD), kA | kD);
  mode.execute_disable = true;  // means nothing here
  memory.put(kPte32, 0, 4);
  EXPECT_EQ(walk32(Access::kExecute).error().error_code, page_fault::kUser);
  memory.put(kPde32, 0x1000 | kW | kU, 4);
  memory.put(kPte32, 0x1000 | kP, 4);
  EXPECT_EQ(walk32().error().error_code, page_fault::kUser);
}

TEST_F(Walk32Test, LargePagesNeedPseAndReach40Bits) {
  memory.put(kPde32, 0x1000 | kP | kW | kU | kPs, 4);
  EXPECT_EQ(walk32()->page_shift, 12);  // PS is ignored without CR4.PSE
  mode.large_pages = mode.pse36 = true;
  memory.put(kPde32, 0x8040'0000 | 0xabu << 13 | kP | kU | kPs, 4);
  EXPECT_EQ(walk32()->page, PhysAddr{0xab'8040'3000});
  EXPECT_EQ(walk32()->page_shift, 22);
}

TEST_F(Walk32Test, WithoutPageAttributesTheirBitIsReserved) {
  mode.attributes = false;
  EXPECT_EQ(walk32().error().error_code, kPresentFault | page_fault::kReserved | page_fault::kUser);
  memory.put(kPte32, 0xfff0'0000 | kP | kU, 4);
  EXPECT_TRUE(walk32());
}

TEST_F(Walk32Test, LargePagesHaveReservedBits) {
  mode.large_pages = true;
  mode.attributes = false;
  const auto reserved = kPresentFault | page_fault::kReserved | page_fault::kUser;
  const auto fault_of_bit = [&](unsigned bit) {
    memory.put(kPde32, 0x8040'0000 | 1u << bit | kP | kU | kPs, 4);
    const auto result = walk32();
    return result ? 0u : result.error().error_code;
  };
  EXPECT_EQ(fault_of_bit(13), reserved);
  EXPECT_EQ(fault_of_bit(12), reserved);
  mode.attributes = true;
  EXPECT_EQ(fault_of_bit(12), 0u);
  mode.pse36 = true;
  EXPECT_EQ(fault_of_bit(13), 0u);
  EXPECT_EQ(fault_of_bit(20), 0u);
  EXPECT_EQ(fault_of_bit(21), reserved);
  mode.physical_address_bits = 36;
  EXPECT_EQ(fault_of_bit(16), 0u);
  EXPECT_EQ(fault_of_bit(17), reserved);
}

}  // namespace
}  // namespace vireo::x86
