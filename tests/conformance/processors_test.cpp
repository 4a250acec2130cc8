// What the CPUs of a whole machine send each other: processors/*.asm, each a kernel that ends the
// machine with 0 when all is as the manuals say.
#include <gtest/gtest.h>

#include "backends/character/memory_backend.h"
#include "engine/engines.h"
#include "machine/machine_builder.h"

namespace vireo::machine {
namespace {

struct Program {
  const char* name;
  unsigned cpus;
};

constexpr Program kPrograms[] = {{"nmi", 4}, {"clusters", 18}, {"broadcast", 4}, {"startup", 4}};

class Processors : public testing::TestWithParam<std::tuple<std::string, Program>> {};

TEST_P(Processors, HearWhatIsSentToThem) {
  const auto& [engine, program] = GetParam();
  MachineConfig config;
  config.engine = engine;
  config.kernel = std::string(VIREO_PROCESSORS_DIRECTORY "/") + program.name + ".bin";
  config.cpus = program.cpus;
  config.memory_bytes = 16 << 20;
  config.debug_exit = true;
  config.timeout_seconds = 120;
  HostParts parts;
  parts.create_engine = [](std::string_view name, memory::GuestMemory& memory) {
    return engine::create_engine(name, memory);
  };
  parts.serial = std::make_unique<backends::MemoryBackend>();
  auto machine = build_machine(config, std::move(parts));
  ASSERT_TRUE(machine) << machine.error().message;
  const Ending ending = (*machine)->run();
  EXPECT_EQ(ending.reason, EndReason::kDebugExit) << describe(ending);
  EXPECT_EQ(ending.debug_value, 0u) << "the number of the check that failed; or from 64 on an "
                                       "exception";
}

std::vector<std::string> available_engines() {
  std::vector<std::string> names;
  for (const engine::EngineInfo& info : engine::engines())
    if (info.available) names.emplace_back(info.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Conformance, Processors,
                         testing::Combine(testing::ValuesIn(available_engines()),
                                          testing::ValuesIn(kPrograms)),
                         [](const auto& test) {
                           return std::get<0>(test.param) + "_" + std::get<1>(test.param).name;
                         });

}  // namespace
}  // namespace vireo::machine
