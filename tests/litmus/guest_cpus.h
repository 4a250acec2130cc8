#pragma once
#include <xbyak/xbyak.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/host_clock.h"
#include "engine/engines.h"
#include "support/engine_fixture.h"

namespace vireo::test {

/// Some virtual CPUs of one engine in one memory, each on its own thread. They run 64-bit code at
/// CPL 0, with linear addresses equal to physical ones up to layout::kRamSize.
class GuestCpus {
 public:
  /// Memory that no code and no table is in.
  static constexpr std::uint64_t kFree = 0x100000, kFreeEnd = 0x200000;

  /// `engine`: also kEagerTranslator. Throws what a test may fail with.
  GuestCpus(std::string_view engine, unsigned cpus);
  ~GuestCpus();

  unsigned count() const { return static_cast<unsigned>(cpus_.size()); }
  /// One run of all of them. `write` makes each CPU's code, which ends in front of what halts it;
  /// RSP stands at the top of a stack of its own, and the other registers hold nothing. False: one
  /// did not come to its end within the time.
  bool run(const std::function<void(unsigned cpu, Xbyak::CodeGenerator& code)>& write,
           std::chrono::seconds limit = std::chrono::seconds(60));

  std::uint64_t read(std::uint64_t address) const;
  void write(std::uint64_t address, std::uint64_t value);
  void clear(std::uint64_t begin, std::uint64_t end);
  /// Where the entry of a page in the page table lies.
  static std::uint64_t page_entry(std::uint64_t page);

 private:
  struct Cpu;

  HostClock clock_;
  std::unique_ptr<memory::GuestMemory> memory_;
  std::unique_ptr<engine::Engine> engine_;
  std::vector<std::unique_ptr<Cpu>> cpus_;
};

/// Waits, in guest code, until all CPUs have come here: `at` is a word that was zero before. Spoils
/// RAX and the flags.
void meet(Xbyak::CodeGenerator& code, std::uint64_t at, unsigned cpus);

/// The engines that tests run on.
std::vector<std::string_view> software_engines();

}  // namespace vireo::test
