#include "engine/translator/translator_vcpu.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <unordered_map>

#include "engine/software/vcpu_world.h"

namespace vireo::engine::translator {
namespace {

struct World : engine::test::VcpuWorld {
  World() : VcpuWorld([](auto& memory) { return make_translator(memory, {.warm_after = 1}); }) {}
};

/// STI holds off even an NMI that came while the code before it ran, which asks for none.
TEST(TranslatorVcpu, NothingIsDeliveredBetweenStiAndTheNextInstruction) {
  World w;
  std::vector<std::uint8_t> loop{0xfa};                                      // cli
  for (int i = 0; i < 40; ++i) loop.insert(loop.end(), {0x48, 0xff, 0xc0});  // inc rax
  loop.push_back(0xfb);                                                      // sti
  const auto behind_sti = static_cast<std::uint8_t>(loop.size());
  loop.insert(loop.end(), {0x90, 0xeb, static_cast<std::uint8_t>(-behind_sti - 3)});  // nop; jmp
  w.code(World::kCode, loop);
  constexpr std::uint64_t kHandler = World::kCode + 0x1000;
  w.set_handler(2, kHandler);
  w.code(kHandler, {0x48, 0x81, 0x3c, 0x24, behind_sti, 0x00, 0x01, 0x00,  // cmp qword [rsp], ...
                    0x75, 0x08,                                            // jne +8
                    0x48, 0xff, 0x04, 0x25, 0x00,       0x00, 0x04, 0x00,  // inc qword [kData]
                    0x48, 0xff, 0x04, 0x25, 0x08,       0x00, 0x04, 0x00,  // inc qword [kData + 8]
                    0x48, 0xcf});                                          // iretq
  std::jthread sender([&w] {
    for (int i = 0; i < 3000; ++i) {
      w.vcpu->notify_nmi();
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
    w.vcpu->kick();
  });
  EXPECT_EQ(w.run(), ExitReason::kKicked);
  EXPECT_GT(w.get<std::uint64_t>(World::kData + 8), 100u);
  EXPECT_EQ(w.get<std::uint64_t>(World::kData), 0u);
}

/// A loop that copies between pages which have one slot of the TLB.
TEST(TranslatorVcpu, AccessesThatFightForASlotOfTheTlbAreKeptApart) {
  World w;
  constexpr std::uint64_t kOther = World::kData + Tlb::kEntries * kPageSize;
  w.tables.map(kOther, World::kData + kPageSize);
  constexpr std::uint32_t kRounds = 20'000;
  w.state.gpr[x86::kRsi] = World::kData;
  w.state.gpr[x86::kRdi] = kOther;
  w.state.gpr[x86::kRcx] = kRounds;
  w.code(World::kCode, {0x48, 0x8b, 0x06,              // mov rax, [rsi]
                        0x48, 0x83, 0xc0, 0x01,        // add rax, 1
                        0x48, 0x89, 0x07,              // mov [rdi], rax
                        0x48, 0x83, 0x2f, 0x00,        // sub qword [rdi], 0
                        0x48, 0xff, 0xc9, 0x75, 0xed,  // dec rcx; jnz
                        0xf4});                        // hlt
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.get<std::uint64_t>(World::kData + kPageSize), 1u);
  EXPECT_GT(w.counter("translations_retired"), 0u);
  EXPECT_LT(w.counter("access_misses"), kRounds / 10);
}

/// With more virtual CPUs than the host has, whom a loop waits for may wait for its thread.
TEST(TranslatorVcpu, EachPauseLetsOthersHaveTheHostsCpu) {
  World w;
  constexpr std::uint64_t kRounds = 1000;
  w.state.gpr[x86::kRcx] = kRounds;
  w.code(World::kCode,
         {0xf3, 0x90, 0x48, 0xff, 0xc9, 0x75, 0xf9, 0xf4});  // pause; dec rcx; jnz; hlt
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_GT(w.counter("calls_pause"), kRounds / 2);
}

/// A loop that reads and writes the fields of a structure, which share a look into the TLB.
struct Fields : World {
  static constexpr std::uint64_t kRounds = 1000;

  Fields() {
    code(kCode, {0x48, 0x8b, 0x07,              // mov rax, [rdi]
                 0x48, 0x03, 0x47, 0x08,        // add rax, [rdi + 8]
                 0x48, 0x85, 0xdb, 0x74, 0x04,  // test rbx, rbx; jz over
                 0x48, 0x89, 0x47, 0x10,        // mov [rdi + 16], rax
                 0x48, 0xff, 0xc9, 0x75, 0xeb,  // over: dec rcx; jnz
                 0xf4});                        // hlt
  }
  void loop(std::uint64_t structure, bool write) {
    state.rip = kCode;
    state.activity = static_cast<std::uint8_t>(x86::Activity::kRunning);
    state.gpr[x86::kRdi] = structure;
    state.gpr[x86::kRbx] = write;
    state.gpr[x86::kRcx] = kRounds;
    EXPECT_EQ(run(), ExitReason::kHalted);
  }
};

TEST(TranslatorVcpu, FieldsThatLieOnTwoPagesAreFound) {
  Fields w;
  w.tables.map(World::kData + kPageSize, 0x60000);  // not the page behind the first
  for (const std::uint64_t behind : {24u, 20u, 16u, 12u, 8u, 4u}) {
    const std::uint64_t structure = World::kData + kPageSize - behind;
    w.put<std::uint64_t>(World::kData + kPageSize - 8, 0), w.put<std::uint64_t>(0x60000, 0);
    w.loop(World::kData, true);
    w.loop(structure, true);
    EXPECT_EQ(w.state.gpr[x86::kRcx], 0u) << behind;
  }
  w.put<std::uint64_t>(World::kData + kPageSize - 16, 7);
  w.put<std::uint64_t>(World::kData + kPageSize - 8, 9);
  w.loop(World::kData + kPageSize - 16, true);
  EXPECT_EQ(w.get<std::uint64_t>(0x60000), 16u);
}

TEST(TranslatorVcpu, AFaultOfOneFieldIsItsOwn) {
  Fields w;
  w.put<std::uint64_t>(w.tables.entry(World::kData + kPageSize), 0);
  const std::uint64_t structure = World::kData + kPageSize - 16;
  w.loop(World::kData, true);
  w.loop(structure, false);  // does not get there
  EXPECT_EQ(w.state.gpr[x86::kRcx], 0u);
  w.loop(structure, true);
  EXPECT_EQ(w.vector(), 14u);
  EXPECT_EQ(w.pushed_rip(true), World::kCode + 12);
  EXPECT_EQ(w.state.cr2, World::kData + kPageSize);
}

TEST(TranslatorVcpu, AFieldThatIsNotWrittenMayBeReadOnly) {
  Fields w;
  w.state.cr0 |= x86::cr0::kWp;
  w.tables.map(World::kData, World::kData, engine::test::PageTables::kP);
  w.loop(World::kData, false);
  EXPECT_EQ(w.state.gpr[x86::kRcx], 0u);
  w.loop(World::kData, true);
  EXPECT_EQ(w.vector(), 14u);
  EXPECT_EQ(w.pushed_rip(true), World::kCode + 12);
}

TEST(TranslatorVcpu, FieldsOfDevicesAreReadOneByOne) {
  Fields w;
  w.tables.map(0x80000, engine::test::kDevice);
  w.loop(0x80000, false);
  EXPECT_EQ(w.state.gpr[x86::kRcx], 0u);
  EXPECT_EQ(w.machine.log.size(), 2 * Fields::kRounds);
}

/// Two addresses that share a place in the branch table, at the same distance from a code base
/// each: the base that control comes from does not say which of them is there.
TEST(TranslatorVcpu, CodeAtTheSameDistanceFromAnotherBaseIsNotTakenForTheTarget) {
  World w;
  constexpr std::uint64_t kTag = 0x12345000, kCaller = 0x2222000;
  const auto at = [](std::uint64_t base, std::uint64_t tag) { return base << 30 | tag; };
  std::unordered_map<std::size_t, std::uint64_t> seen;
  std::uint64_t first = 0, second = 8;
  for (;; ++second) {
    const auto [place, fresh] =
        seen.try_emplace(TranslatorCpu::branch_hash(at(second, kTag)), second);
    if (!fresh) {
      first = place->second;
      break;
    }
  }
  w.tables.map(at(first, kTag), 0x50000);
  w.tables.map(at(second, kTag), 0x60000);
  w.tables.map(at(second, kCaller), 0x70000);
  w.code(0x50000, {0xb8, 1, 0, 0, 0, 0xff, 0xe1});     // mov eax, 1; jmp rcx
  w.code(0x60000, {0xb8, 2, 0, 0, 0, 0xff, 0xe1});     // mov eax, 2; jmp rcx
  w.code(0x70000, {0x48, 0x8d, 0x0d, 2,    0,   0, 0,  // lea rcx, [rip + 2]
                   0xff, 0xe6, 0x01, 0xc3,             // jmp rsi; add ebx, eax
                   0x48, 0x8d, 0x0d, 2,    0,   0, 0,  // lea rcx, [rip + 2]
                   0xff, 0xe2, 0x01, 0xc5,             // jmp rdx; add ebp, eax
                   0xff, 0xcf, 0x75, 0xe6, 0xf4});     // dec edi; jnz; hlt
  w.state.rip = at(second, kCaller);
  w.state.gpr[x86::kRsi] = at(first, kTag);
  w.state.gpr[x86::kRdx] = at(second, kTag);
  w.state.gpr[x86::kRdi] = 100;
  w.state.gpr[x86::kRbx] = w.state.gpr[x86::kRbp] = 0;
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.state.gpr[x86::kRbx], 100u);
  EXPECT_EQ(w.state.gpr[x86::kRbp], 200u);
}

/// What a PCID knew of pages, code and stack is there again when it comes back.
TEST(TranslatorVcpu, APcidThatComesBackFindsItsPages) {
  World w;
  constexpr std::uint64_t kRounds = 1000, kKeep = 1ull << 63;
  w.state.cr4 |= x86::cr4::kPcide;
  w.state.gpr[x86::kRax] = w.state.cr3 | 1 | kKeep;
  w.state.gpr[x86::kRbx] = w.state.cr3 | kKeep;
  w.state.gpr[x86::kRcx] = kRounds;
  w.state.gpr[x86::kRdi] = World::kData;
  w.code(World::kCode, {0x0f, 0x22, 0xd8,              // mov cr3, rax
                        0x48, 0x83, 0x07, 0x01,        // add qword [rdi], 1
                        0x0f, 0x22, 0xdb,              // mov cr3, rbx
                        0x48, 0x83, 0x07, 0x01,        // add qword [rdi], 1
                        0x48, 0xff, 0xc9, 0x75, 0xed,  // dec rcx; jnz
                        0xf4});                        // hlt
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.get<std::uint64_t>(World::kData), 2 * kRounds);
  EXPECT_LT(w.counter("tlb_misses"), 50u);
}

/// The first part of an array is in the page of the stack window, the rest elsewhere in memory, or
/// not there.
TEST(TranslatorVcpu, AnArrayOnTheStackMayLeaveTheWindow) {
  for (const bool there : {true, false}) {
    World w;
    constexpr std::uint64_t kPage = World::kStack - kPageSize, kPlace = kPage + 0xf00;
    there ? w.tables.map(World::kStack, 0x60000) : w.tables.put(w.tables.entry(World::kStack), 0);
    w.put<std::uint64_t>(0x60000 + 0x10, 0);
    w.state.gpr[x86::kRsp] = kPlace;
    w.state.gpr[x86::kRcx] = 0;
    w.state.gpr[x86::kRbx] = 0;
    w.code(World::kCode, {0x51, 0x58,                          // push rcx; pop rax
                          0x48, 0x89, 0x4c, 0xcc, 0x10,        // mov [rsp + rcx * 8 + 16], rcx
                          0x48, 0x03, 0x5c, 0xcc, 0x10,        // add rbx, [rsp + rcx * 8 + 16]
                          0x48, 0xff, 0xc1,                    // inc rcx
                          0x48, 0x83, 0xf9, 0x60, 0x75, 0xeb,  // cmp rcx, 96; jne
                          0xf4});                              // hlt
    EXPECT_EQ(w.run(), ExitReason::kHalted);
    constexpr std::uint64_t kFirstOutside = (World::kStack - kPlace - 16) / 8;
    EXPECT_EQ(w.state.gpr[x86::kRcx], there ? 96u : kFirstOutside);
    if (there) {
      EXPECT_EQ(w.state.gpr[x86::kRbx], 95u * 96 / 2);
      EXPECT_EQ(w.get<std::uint64_t>(0x60010), kFirstOutside + 2);
    } else {
      EXPECT_EQ(w.vector(), 14u);
      EXPECT_EQ(w.state.cr2, World::kStack);
    }
  }
}

/// A loop whose stack is now in one page, now in another.
struct TwoStacks : World {
  static constexpr std::uint64_t kRounds = 1000;

  TwoStacks() {
    code(kCode, {0x48, 0x89, 0xf4, 0x51, 0x58,  // mov rsp, rsi; push rcx; pop rax
                 0x48, 0x89, 0xfc, 0x50, 0x5b,  // mov rsp, rdi; push rax; pop rbx
                 0x48, 0x01, 0xda,              // add rdx, rbx
                 0x48, 0xff, 0xc9, 0x75, 0xee,  // dec rcx; jnz
                 0xf4});                        // hlt
  }
  void loop(std::uint64_t a, std::uint64_t b) {
    state.rip = kCode;
    state.activity = static_cast<std::uint8_t>(x86::Activity::kRunning);
    state.gpr[x86::kRsi] = a + 0x800;
    state.gpr[x86::kRdi] = b + 0x800;
    state.gpr[x86::kRdx] = 0;
    state.gpr[x86::kRcx] = kRounds;
    EXPECT_EQ(run(), ExitReason::kHalted);
    EXPECT_EQ(state.gpr[x86::kRdx], kRounds * (kRounds + 1) / 2);
  }
};

TEST(TranslatorVcpu, AStackThatGoesToAndFroHasTwoWindows) {
  TwoStacks w;
  w.loop(0x50000, 0x60000);
  EXPECT_LT(w.counter("stack_windows"), TwoStacks::kRounds / 10);
  EXPECT_EQ(w.get<std::uint64_t>(0x607f8), 1u);
}

/// Neither window is where its page was once the mapping is another.
TEST(TranslatorVcpu, AWindowThatWasLeftFollowsTheMapping) {
  TwoStacks w;
  w.loop(0x50000, 0x60000);
  w.tables.map(0x50000, 0x70000);
  w.tables.map(0x60000, 0x71000);
  w.put<std::uint64_t>(0x507f8, 77), w.put<std::uint64_t>(0x607f8, 78);
  w.loop(0x50000, 0x60000);
  EXPECT_EQ(w.get<std::uint64_t>(0x507f8), 77u);
  EXPECT_EQ(w.get<std::uint64_t>(0x607f8), 78u);
  EXPECT_EQ(w.get<std::uint64_t>(0x707f8), 1u);
  EXPECT_EQ(w.get<std::uint64_t>(0x717f8), 1u);
}

/// A loop around an instruction that begins in one page and ends in the next.
struct TwoPages : World {
  static constexpr std::uint64_t kFirst = 0x50000, kSecond = 0x60000, kOther = 0x70000;
  static constexpr std::uint64_t kRounds = 1000;

  TwoPages() {
    for (const std::uint64_t second : {kSecond, kOther}) {
      code(second, {static_cast<std::uint8_t>(second == kOther), 0, 0,  // the rest of the number
                    0x48, 0x01, 0xc3,                                   // add rbx, rax
                    0x48, 0xff, 0xc9, 0x75, 0xf3,                       // dec rcx; jnz
                    0xf4});                                             // hlt
    }
    code(kFirst + kPageSize - 2, {0xb8, 0x05});  // mov eax, ...
    tables.map(kFirst + kPageSize, kSecond);
  }
  /// What one round adds.
  std::uint64_t loop() {
    state.rip = kFirst + kPageSize - 2;
    state.activity = static_cast<std::uint8_t>(x86::Activity::kRunning);
    state.gpr[x86::kRbx] = 0;
    state.gpr[x86::kRcx] = kRounds;
    EXPECT_EQ(run(), ExitReason::kHalted);
    return state.gpr[x86::kRbx] / kRounds;
  }
};

TEST(TranslatorVcpu, AnInstructionOnTwoPagesIsTranslated) {
  TwoPages w;
  EXPECT_EQ(w.loop(), 5u);
  EXPECT_LT(w.counter("instructions"), 100u);
}

TEST(TranslatorVcpu, AnInstructionOnTwoPagesFollowsWritesToBoth) {
  TwoPages w;
  w.loop();
  w.code(w.kSecond, {0x02});
  EXPECT_EQ(w.loop(), 0x205u);
  w.code(w.kFirst + kPageSize - 1, {0x07});
  EXPECT_EQ(w.loop(), 0x207u);
}

TEST(TranslatorVcpu, AnInstructionOnTwoPagesFollowsTheMappingOfItsEnd) {
  TwoPages w;
  w.loop();
  w.tables.map(w.kFirst + kPageSize, w.kOther);
  EXPECT_EQ(w.loop(), 0x105u);
  w.tables.map(w.kFirst + kPageSize, w.kSecond);
  EXPECT_EQ(w.loop(), 5u);
}

TEST(TranslatorVcpu, AnInstructionMayEndInThePhysicalPageItBeginsIn) {
  TwoPages w;
  std::array<std::uint8_t, 12> rest{};
  w.memory->read(PhysAddr{w.kSecond}, std::as_writable_bytes(std::span(rest)));
  w.code(w.kFirst, {rest.begin(), rest.end()});
  w.tables.map(w.kFirst + kPageSize, w.kFirst);
  EXPECT_EQ(w.loop(), 5u);
  w.code(w.kFirst, {0x03});
  EXPECT_EQ(w.loop(), 0x305u);
}

}  // namespace
}  // namespace vireo::engine::translator
