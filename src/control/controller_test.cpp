#include "control/controller.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "backends/character/memory_backend.h"
#include "machine/boot/test_images.h"
#include "machine/fake_engine.h"
#include "machine/machine_builder.h"

namespace vireo::control {
namespace {

using machine::test::FakeVcpu;

struct ControllerTest : ::testing::Test {
  ControllerTest() {
    char name[] = "/tmp/vireo-kernel-XXXXXX";
    const UniqueFd fd(::mkstemp(name));
    const auto file = machine::test::bzimage();
    std::ofstream(name, std::ios::binary)
        .write(reinterpret_cast<const char*>(file.data()),
               static_cast<std::streamsize>(file.size()));
    machine::MachineConfig config;
    config.kernel = name;
    config.memory_bytes = 16 << 20;
    config.cpu = "baseline";
    config.timeout_seconds = 60;
    config.balloon_bytes = 1 << 20;
    machine::HostParts parts;
    parts.serial = std::make_unique<backends::MemoryBackend>();
    parts.create_engine = [this](std::string_view, memory::GuestMemory&) {
      return Result<std::unique_ptr<engine::Engine>>(
          std::make_unique<machine::test::FakeEngine>([this](FakeVcpu& cpu) {
            ++lives;
            return cpu.spin();
          }));
    };
    machine = std::move(*machine::build_machine(config, std::move(parts)));
    ::unlink(name);
    thread = std::thread([this] { ending = machine->run(); });
    while (lives == 0) ::usleep(1000);
  }
  ~ControllerTest() override {
    machine->request_stop(machine::EndReason::kPowerOff);
    if (thread.joinable()) thread.join();
  }

  std::atomic<int> lives = 0;
  std::unique_ptr<machine::Machine> machine;
  machine::Ending ending;
  std::thread thread;
};

TEST_F(ControllerTest, StopsAMachine) {
  Controller controller(*machine);
  EXPECT_TRUE(controller.execute(*parse_command("stop")));
  thread.join();
  EXPECT_EQ(ending.reason, machine::EndReason::kStopped);
}

TEST_F(ControllerTest, ResetsAMachine) {
  Controller controller(*machine);
  const int before = lives;
  EXPECT_TRUE(controller.execute(*parse_command("reset")));
  while (lives == before) ::usleep(1000);
  while (machine->statistics().resets == 0) ::usleep(1000);
}

TEST_F(ControllerTest, PausingTwiceAndResumingTwiceAreMistakes) {
  Controller controller(*machine);
  EXPECT_FALSE(controller.execute(Resume{}));
  EXPECT_TRUE(controller.execute(*parse_command("pause")));
  EXPECT_FALSE(controller.execute(Pause{}));
  EXPECT_TRUE(controller.execute(*parse_command("resume")));
  EXPECT_FALSE(controller.execute(Resume{}));
}

TEST_F(ControllerTest, TellsStatistics) {
  Controller controller(*machine);
  const auto reply = controller.execute(*parse_command("stats"));
  ASSERT_TRUE(reply);
  const auto* statistics = std::get_if<machine::MachineStatistics>(&*reply);
  ASSERT_NE(statistics, nullptr);
  EXPECT_EQ(statistics->engine, "fake");
}

TEST_F(ControllerTest, TheBalloonIsMadeLarger) {
  Controller controller(*machine);
  EXPECT_TRUE(controller.execute(SetBalloon{4 << 20}));
  EXPECT_FALSE(controller.execute(SetBalloon{16 << 20})) << "nothing would be left";
  const auto reply = controller.execute(*parse_command("balloon"));
  ASSERT_TRUE(reply);
  const auto* report = std::get_if<machine::BalloonReport>(&*reply);
  ASSERT_NE(report, nullptr);
  EXPECT_EQ(report->wanted_bytes, 4u << 20);
  EXPECT_EQ(report->actual_bytes, 0u) << "there is no driver";
}

TEST(Command, UnknownNamesAreRefused) {
  EXPECT_FALSE(parse_command("explode"));
  EXPECT_TRUE(parse_command("power-button"));
}

}  // namespace
}  // namespace vireo::control
