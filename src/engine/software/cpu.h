#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "engine/engine.h"
#include "engine/software/announced_pages.h"
#include "engine/software/block.h"
#include "engine/software/pending_events.h"
#include "engine/software/tlb.h"
#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/fault.h"
#include "x86/semantics/host_flags.h"

namespace vireo::engine {

class SoftMmu;
class HostStubs;

/// The translation cache in use, by who accesses. Supervisor accesses while EFLAGS.AC suspends SMAP
/// have their own; so have user accesses under alignment checking, which always miss, and fetches
/// of code.
enum class TlbIndex : std::uint8_t {
  kSupervisor,
  kSmapSuspended,
  kUser,
  kAlignmentChecked,
  kSupervisorCode,
  kUserCode,
  kCount
};

/// A branch target that has been looked up before.
struct JumpCacheEntry {
  std::uint64_t rip = 0;
  std::uint64_t tag = 0;  ///< Cpu::jump_tag when it was entered
  const Op* entry = nullptr;
};

/// Told when linear addresses may lead elsewhere than before.
class MappingListener {
 public:
  virtual ~MappingListener() = default;
  virtual void mappings_flushed(x86::TlbFlush kind) = 0;
  virtual void page_invalidated(std::uint64_t linear) = 0;
  /// CR3 has another PCID: what is known of the old one holds again when that comes back, unless
  /// address_space_forgotten() or mappings_flushed(kAll) came in between. `keep`: so does what is
  /// known of the new one.
  virtual void address_space_changed(std::uint16_t from, std::uint16_t to, bool keep) = 0;
  virtual void address_space_forgotten(std::uint16_t pcid) = 0;
  /// Nobody may write to the page directly any more; or nothing that GuestMemory answered holds.
  virtual void page_protected(PhysAddr page) = 0;
  virtual void pages_moved() = 0;
};

/// Counted by cause; shown by `--stats`.
struct CpuCounters {
  std::uint64_t instructions = 0;
  std::uint64_t blocks_decoded = 0;
  std::uint64_t blocks_invalidated = 0;
  std::uint64_t code_flushes = 0;
  std::uint64_t code_evictions = 0;  ///< chunks of decoded code
  std::uint64_t tlb_misses = 0;
  std::uint64_t tlb_flushes = 0;
  std::uint64_t mmio_accesses = 0;
  std::uint64_t pio_accesses = 0;
  std::uint64_t handler_calls = 0;
  std::uint64_t interrupts = 0;
  std::uint64_t block_lookups = 0;
  std::array<std::uint64_t, 32> faults{};
};

/// One virtual CPU as the software engines keep it while it runs. Everything that generated or
/// threaded code touches is at a fixed offset here. Owned and used by one thread.
///
/// Between operations of a block `state.rip` is where the block starts and the arithmetic flags
/// live in `flags`; those bits of `state.rflags` are stale. bring_out_flags() makes it whole.
struct alignas(64) Cpu : Zeroed {
  static constexpr std::size_t kJumpCacheEntries = 16384;

  x86::CpuState state;
  std::uint64_t zero = 0;  ///< the register of operands that have none
  x86::HostFlags flags;
  bool fault_pending = false;   ///< `fault` is to be delivered at state.rip
  bool leave_block = false;     ///< a handler changed what the rest of the block relies on
  bool stepping = false;        ///< one instruction is being run: no block follows it
  bool interrupt_hint = false;  ///< the irqchip may have a vector for us
  TlbIndex current_tlb = TlbIndex::kSupervisor;  ///< who accesses data now
  Tlb* tlb = nullptr;                            ///< of current data accesses
  std::uint64_t jump_tag = 0;                    ///< of targets that hold now; see JumpTags
  PendingEvents events;
  x86::Fault fault{};
  std::array<JumpCacheEntry, kJumpCacheEntries> jump_cache{};
  std::array<Tlb, static_cast<std::size_t>(TlbIndex::kCount)> tlbs;

  SoftMmu* mmu = nullptr;
  x86::CpuPort* port = nullptr;
  HostStubs* stubs = nullptr;
  EngineVcpu* vcpu = nullptr;                   ///< whose state this is
  MappingListener* mapping_listener = nullptr;  ///< null: nobody asks
  /// Host address of a page that generated code may use as stack without asking the TLB, as long as
  /// the TLB would let it; otherwise `no_window`, a page of nobody's, which a guest comes to only
  /// by a stack pointer that leads nowhere.
  std::uint64_t stack_window = 0;
  std::uint64_t no_window = 0;
  std::uint64_t window_epoch = 0;  ///< another when the TLB would no longer let what it did let

  /// The TLB has changed.
  void close_window() {
    stack_window = no_window;
    ++window_epoch;
  }
  /// Finds or makes the block at state.rip; null if there is a fault to deliver instead.
  const Op* (*find_block)(Cpu* cpu) = nullptr;
  /// The same for a branch whose target is fixed: links the branch to it where that is allowed.
  const Op* (*find_linked)(const Op* branch, Cpu* cpu) = nullptr;
  CpuCounters counters;
  AnnouncedPages directly_written;  ///< pages that it may write to without telling anybody

  void bring_out_flags() { state.rflags = x86::merge_flags(state.rflags, flags); }
  void take_in_flags() { flags = x86::to_host_flags(state.rflags); }
  void raise(const x86::Fault& what) {
    fault = what;
    fault_pending = true;
  }
  JumpCacheEntry& jump_entry(std::uint64_t rip) {
    return jump_cache[(rip ^ (rip >> 14)) & (kJumpCacheEntries - 1)];
  }
};

}  // namespace vireo::engine
