#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/direct/direct.h"
#include "engine/direct/direct_policy.h"
#include "engine/direct/guarded_pages.h"
#include "engine/direct/scanned_code.h"
#include "engine/direct/shadow_space.h"
#include "engine/direct/stub_process.h"
#include "engine/direct/trap_cause.h"
#include "engine/translator/translator_vcpu.h"

namespace vireo::engine::direct {

/// Runs user code that stays on the CPU natively, in a process of the host for each of a few
/// address spaces, and everything else as the translator does: whatever stops the process happens
/// again there, at the same instruction, with the guest's exact state.
class DirectVcpu final : public translator::TranslatorVcpu {
 public:
  DirectVcpu(const VcpuContext& context, memory::GuestMemory& memory, translator::CodeMemory code,
             const DirectOptions& options);
  ~DirectVcpu() override;

  Result<ExitReason> run() override;
  std::vector<Counter> counters() const override;

 protected:
  void execute() override;
  bool takes_user_code() override;
  void before_interrupt() override;

 private:
  /// An address space that user code has been seen to stay in.
  struct Space {
    std::uint64_t root = 0;  ///< of its page tables: CR3 without the PCID
    std::uint16_t pcid = 0;
    bool broken = false;  ///< the process's mappings are not the shadow's
    bool stale = false;   ///< the TLB has forgotten all of it since the shadow was true
    std::vector<std::uint64_t> suspects;  ///< and these pages
    std::uint64_t used = 0;               ///< when, by runs_
    DirectPolicy policy;
    std::unique_ptr<ShadowSpace> shadow;  ///< null: it has no process now
    GuardedPages guarded;                 ///< of the process
    TrappedPages trapped;                 ///< the same
    std::vector<std::byte> vectors;       ///< that the process has, as to_image() writes them
    std::optional<std::uint64_t> wanted;  ///< where the guest's kernel had to map something
    /// How often code has come to a page that is not clean, or kRefused.
    std::unordered_map<std::uint64_t, unsigned> visits;
  };
  static constexpr std::size_t kMostSpaces = 16;
  static constexpr unsigned kRefused = ~0u;  ///< it cannot be guarded
  static constexpr std::uint64_t kPcid = 0xfff;

  // MappingListener
  void mappings_flushed(x86::TlbFlush kind) override;
  void page_invalidated(std::uint64_t linear) override;
  void address_space_changed(std::uint16_t from, std::uint16_t to, bool keep) override;
  void address_space_forgotten(std::uint16_t pcid) override;
  void page_protected(PhysAddr page) override;
  void pages_moved() override;

  static std::uint64_t now_ns();
  std::uint64_t busy_ns() const;
  void make_stale(std::uint16_t pcid);
  Space* current();
  Space& enter_current();
  bool wants_process();
  void keep_returns_in_sight();
  void begin_window(std::uint64_t now);
  void open_window();
  void judge();
  void ensure_family();
  bool ensure_process(Space& space);
  void map_all(Space& space);
  void map_table(Space& space, PhysAddr table, unsigned shift, std::uint64_t linear,
                 std::size_t& left);
  std::optional<ShadowPage> page_for(const Space& space, std::uint64_t linear, bool executable);
  std::span<const std::byte> code_at(std::uint64_t linear);
  SensitiveCode::Neighbours neighbours_of(std::uint64_t linear);
  void bring_up_to_date(Space& space);
  bool resolve(Space& space, std::uint64_t address);
  void map_around(Space& space, std::uint64_t linear, bool executable);
  void map_now(Space& space, std::uint64_t address);
  void guard(Space& space, std::uint64_t linear);
  void trap(Space& space, std::uint64_t linear, PhysAddr page);
  void leave_unclean_page();
  void give_up(Space& space);
  void run_natively(Space& space);
  TrapCause cause_of_trap(const Space& space, const StubProcess::Event& event,
                          const StubProcess::Registers& registers);
  void take_back_trap(const Space& space, const StubProcess::Event& event,
                      StubProcess::Registers& registers);
  bool lacked_a_page(Space& space, const StubProcess::Event& event,
                     const StubProcess::Registers& registers);
  void take_rules();

  memory::GuestMemory& memory_;
  ScannedCode scanned_;
  std::unique_ptr<StubProcess> family_;  ///< whom the others are spawned from
  std::thread::id tracer_;               ///< which started them, and alone can use them
  const bool eager_;
  bool lost_ = false;  ///< a process has died, and with it the guest's state
  std::vector<std::unique_ptr<Space>> spaces_of_processes_;
  Space* current_ = nullptr;
  std::uint64_t current_cr3_ = ~0ull;  ///< `current_` is of that
  bool hold_ = false;  ///< what comes next is the translator's, until the guest's kernel has run
  std::optional<std::uint64_t> unclean_;  ///< the page that is the reason, if that is one
  std::uint64_t rules_xcr0_ = ~0ull, rules_fsgsbase_ = 0;
  bool rules_same_tsc_ = false;
  std::vector<std::byte> image_;

  // The window of time in which translated user code is judged.
  std::uint64_t window_start_ = 0, window_entries_ = 0, window_switches_ = 0, window_cr3_ = ~0ull;
  std::uint64_t switches_ = 0;
  // An interrupt may be long in coming: a timer ends the window.
  const std::shared_ptr<std::atomic<bool>> window_over_ = std::make_shared<std::atomic<bool>>();
  std::unique_ptr<Timer> window_timer_;  ///< null: only interrupts do
  bool window_open_ = false;             ///< the timer runs
  std::uint64_t next_window_ = 0;        ///< not before that

  std::uint64_t activations_ = 0, runs_ = 0, resolved_ = 0, native_ns_ = 0, reviews_ = 0;
  std::uint64_t guards_ = 0, traps_ = 0;
  std::uint64_t inside_ns_ = 0;  ///< waited for processes
};

}  // namespace vireo::engine::direct
