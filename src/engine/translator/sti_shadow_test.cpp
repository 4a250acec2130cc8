#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "engine/software/vcpu_world.h"
#include "engine/translator/translator.h"

namespace vireo::engine::translator {
namespace {

struct World : engine::test::VcpuWorld {
  World() : VcpuWorld([](auto& memory) { return make_translator(memory, {.warm_after = 1}); }) {}
};

/// The instruction behind STI is one that translated code begins, finds that it cannot do, since
/// its operand is on two pages, and leaves to the interpreter: what came meanwhile still waits for
/// it.
TEST(StiShadow, LastsForAnInstructionThatIsLeftToTheInterpreter) {
  World w;
  constexpr std::uint64_t kEarly = World::kData, kAll = World::kData + 8;
  w.state.gpr[x86::kRdi] = World::kData + 2 * kPageSize - 2;
  std::vector<std::uint8_t> loop{0xfa};                                      // cli
  for (int i = 0; i < 40; ++i) loop.insert(loop.end(), {0x48, 0xff, 0xc0});  // inc rax
  loop.push_back(0xfb);                                                      // sti
  const auto behind_sti = static_cast<std::uint8_t>(loop.size());
  loop.insert(loop.end(), {0x0f, 0x44, 0x1f});                                  // cmovz ebx, [rdi]
  loop.insert(loop.end(), {0xeb, static_cast<std::uint8_t>(-behind_sti - 5)});  // jmp
  w.code(World::kCode, loop);
  constexpr std::uint64_t kHandler = World::kCode + 0x1000;
  w.set_handler(2, kHandler);
  w.code(kHandler, {0x48, 0x81, 0x3c, 0x24, behind_sti, 0x00, 0x01, 0x00,  // cmp qword [rsp], ...
                    0x75, 0x08,                                            // jne +8
                    0x48, 0xff, 0x04, 0x25, 0x00,       0x00, 0x04, 0x00,  // inc qword [kEarly]
                    0x48, 0xff, 0x04, 0x25, 0x08,       0x00, 0x04, 0x00,  // inc qword [kAll]
                    0x48, 0xcf});                                          // iretq
  std::jthread sender([&w] {
    for (int i = 0; i < 3000; ++i) {
      w.vcpu->notify_nmi();
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
    w.vcpu->kick();
  });
  EXPECT_EQ(w.run(), ExitReason::kKicked);
  EXPECT_GT(w.get<std::uint64_t>(kAll), 100u);
  EXPECT_EQ(w.get<std::uint64_t>(kEarly), 0u);
}

}  // namespace
}  // namespace vireo::engine::translator
