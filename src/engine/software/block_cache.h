#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/chunked_list.h"
#include "engine/software/announced_pages.h"
#include "engine/software/block.h"
#include "engine/software/cpu.h"
#include "memory/guest_memory.h"

namespace vireo::engine {

/// What else was made from the bytes of guest code and goes with the blocks. Called on the vCPU's
/// thread, between blocks or inside a write.
class DerivedCode {
 public:
  virtual ~DerivedCode() = default;
  virtual bool uses_page(std::uint64_t page_number) const = 0;
  /// Guest-physical bytes `first` to `last` are about to be or have been written.
  virtual void invalidate(std::uint64_t first, std::uint64_t last) = 0;
  virtual void flush() = 0;
  virtual bool nearly_full() const = 0;
  /// Makes room by dropping what was made first. Only between blocks.
  virtual void trim() = 0;
};

/// What made the blocks, and can mend them.
class BlockMender {
 public:
  virtual ~BlockMender() = default;
  /// The block's bytes have changed. True: only numbers in them have, and its operations are now
  /// what they would be if it were made anew. It may be running.
  virtual bool mend(Block& block, std::span<const std::uint8_t> now) = 0;
};

/// Decoded guest code, keyed by guest-physical address and mode. Pages that code was decoded from
/// are watched; a write that changes a block's bytes makes every one of its operations leave the
/// block, the next one included when the block is running, unless the block can be mended. Belongs
/// to one vCPU. When memory is full the oldest blocks give way, a chunk at a time. Other threads
/// only tell it what they watch and write, if it is concerned with the page; what they ask for
/// happens between blocks, and whoever watches a page waits until no vCPU can write to it unseen
/// any more.
class BlockCache final : public memory::PageListener {
 public:
  static constexpr std::size_t kBytes = std::size_t{192} << 20;

  /// `bytes` of memory for decoded code, 4 MiB at least.
  BlockCache(Cpu& cpu, memory::GuestMemory& memory, OpHandler leave, OpHandler stale,
             std::size_t bytes = kBytes);
  ~BlockCache() override;

  /// Before the first block is made. Null: there is none.
  void set_derived(DerivedCode* derived) { derived_ = derived; }
  void set_mender(BlockMender* mender) { mender_ = mender; }

  Block* find(PhysAddr start, std::uint32_t mode);
  /// find() will be asked for the place soon.
  void prefetch(PhysAddr start) { __builtin_prefetch(&recent(start)); }
  /// Before the first part of a block is allocated: its parts are to live and go together.
  void begin_block();
  /// Memory for parts of a block; lives until trim() or flush() drop the block.
  Op* allocate_ops(std::size_t count);
  x86::Insn* allocate_insn(const x86::Insn& insn);
  std::uint8_t* allocate_code(std::span<const std::uint8_t> bytes);
  /// A block to be filled in.
  Block& allocate_block();
  /// Enters a complete block, whose pages are watched. There is none of its start and mode.
  void insert(Block& block);
  /// Makes `branch` go straight to the block.
  static void link(Op* branch, Block& target);
  /// Makes it look again where it leads. It may lead nowhere.
  static void unlink(Op* branch);

  /// Takes a block out. It stays in memory until trim() or flush() drop it, but every operation of
  /// it leaves.
  void retire(Block& block);
  /// Whether trim() would drop something: whoever makes blocks has to let it come soon.
  bool full() const;
  /// Makes room, if so much has gathered that it is worth it. Only between blocks.
  void trim();
  void flush();
  /// Does what other threads asked for. Only between blocks.
  void serve_others();
  /// The calling thread runs guest code from now on, until leave_guest().
  void enter_guest();
  void leave_guest();
  /// Before code is read from a page: from now on no write to it goes unseen.
  void watch(PhysAddr where);
  /// Numbers in the instruction, in a watched page, were written.
  void note_patch(PhysAddr where);
  /// They are again and again.
  bool patched_often(PhysAddr where);

  // memory::PageListener
  bool on_watch(PhysAddr page) override;
  void on_watched_write(PhysAddr address, std::size_t size) override;
  bool on_move() override;
  void settle() override;

 private:
  struct Range {
    PhysAddr address;
    std::size_t size;
  };
  static constexpr std::size_t kRecent = 8192;
  /// What find() found. Knows the start itself, for the block may not have been touched for long.
  struct Recent {
    PhysAddr start{};
    Block* block = nullptr;  ///< null: none; it may be retired
  };
  Recent& recent(PhysAddr start) {
    const std::uint64_t at = value(start);
    return recent_[(at ^ (at >> 12)) & (kRecent - 1)];
  }
  /// An instruction whose numbers are written.
  struct Patched {
    std::uint16_t offset = 0;  ///< in its page
    unsigned times = 0;
  };
  /// A watched page.
  struct Page {
    std::array<Block*, 32> lists{};     ///< of the blocks that start here; see list()
    std::vector<Block*> from_previous;  ///< blocks that only end here
    std::size_t blocks = 0;             ///< in both
    unsigned idle_writes = 0;           ///< since there was code
    std::vector<Patched> patched;
    Block*& list(PhysAddr start) {
      return lists[(value(start) ^ value(start) >> 5) % lists.size()];
    }
  };
  static std::uint64_t number_of(PhysAddr address) { return value(address) >> kPageShift; }
  struct FreeChunk {
    void operator()(std::byte* chunk) const;
  };
  using Memory = std::unique_ptr<std::byte[], FreeChunk>;
  struct Chunk {
    Memory memory;
    ChunkedList<Block> blocks;  ///< retired ones too: their operations may be running
  };
  void evict_oldest();
  void take_out(Block& block);
  bool in_use(std::uint64_t number, const Page& page) const;
  void unwatch(std::uint64_t number);
  Page* page(std::uint64_t number);
  void* allocate(std::size_t bytes);
  void invalidate(PhysAddr address, std::size_t size);
  bool survives(Block& block);
  void invalidate_in_page(Page& page, std::uint64_t first, std::uint64_t last);
  void forget_if_idle(std::uint64_t number);
  void protect(PhysAddr page);
  void protect_all();
  void serve_watches();
  bool uses_any(PhysAddr address, std::size_t size) const;

  Cpu& cpu_;
  memory::GuestMemory& memory_;
  DerivedCode* derived_ = nullptr;
  BlockMender* mender_ = nullptr;
  const OpHandler leave_;  ///< put in place of the operations of a block that is gone
  const OpHandler stale_;  ///< and of its entry
  std::atomic<std::thread::id> owner_ = std::this_thread::get_id();
  std::array<Recent, kRecent> recent_{};
  std::unordered_map<std::uint64_t, Page> pages_;
  std::uint64_t last_number_ = 0;  ///< of the page that was asked for last
  Page* last_page_ = nullptr;      ///< null: it is not there, or is not known to be
  const std::size_t max_chunks_;
  std::deque<Chunk> arena_;         ///< the oldest first
  std::uint64_t oldest_chunk_ = 0;  ///< its number; they are counted for ever
  std::size_t arena_used_ = 0;      ///< of the newest

  AnnouncedPages used_;  ///< pages that it watches, and others that it once did
  std::atomic<bool> in_guest_ = false;
  std::mutex remote_mutex_;  // guards what follows
  std::vector<Range> remote_writes_;
  std::vector<PhysAddr> remote_watches_;
  bool remote_overflow_ = false;                  ///< too much to list: everything may be stale
  bool remote_move_ = false;                      ///< no cached pointer may be kept
  std::atomic<std::uint64_t> watches_asked_ = 0;  // changed under the mutex
  std::atomic<std::uint64_t> watches_served_ = 0;
};

}  // namespace vireo::engine
