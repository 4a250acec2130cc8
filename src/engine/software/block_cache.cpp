#include "engine/software/block_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <new>
#include <utility>

#include "base/assert.h"
#include "engine/software/host_stub.h"
#include "engine/software/soft_mmu.h"

namespace vireo::engine {
namespace {

constexpr std::size_t kChunk = std::size_t{2} << 20;  // a large page of the host's
/// What others ask for is listed up to this: a vCPU that sleeps serves nobody.
constexpr std::size_t kMaxRemote = 4096;
/// No block has more bytes.
constexpr std::size_t kMaxBlockBytes = kPageSize;
/// The parts of no block are larger.
constexpr std::size_t kMaxParts =
    kMaxBlockBytes + (kMaxBlockInstructions + 2) * (sizeof(Op) + sizeof(x86::Insn) + 16);

/// The vCPU whose code this thread runs: while it waits for another, that one may wait for it.
thread_local BlockCache* own_cache = nullptr;

bool overlaps(const Block& block, std::uint64_t first, std::uint64_t last) {
  const std::uint64_t start = value(block.start);
  if (!block.straddles) return start <= last && first < start + block.relied_on;
  const std::uint64_t in_first = kPageSize - (start & kPageMask);
  const std::uint64_t second = value(block.second_page);
  return (start <= last && first < start + in_first) ||
         (second <= last && first < second + block.relied_on - in_first);
}

}  // namespace

BlockCache::BlockCache(Cpu& cpu, memory::GuestMemory& memory, OpHandler leave, OpHandler stale,
                       std::size_t bytes)
    : cpu_(cpu), memory_(memory), leave_(leave), stale_(stale), max_chunks_(bytes / kChunk) {
  VIREO_ASSERT(max_chunks_ >= 2);
  memory_.add_listener(*this);
}

BlockCache::~BlockCache() { memory_.remove_listener(*this); }

Block* BlockCache::find(PhysAddr start, std::uint32_t mode) {
  Recent& last = recent(start);
  if (last.start == start && last.block != nullptr && last.block->mode == mode && last.block->valid)
    return last.block;
  Page* const where = page(number_of(start));
  if (where == nullptr) return nullptr;
  for (Block* block = where->list(start); block != nullptr; block = block->next)
    if (block->start == start && block->mode == mode) {
      last = {start, block};
      return block;
    }
  return nullptr;
}

/// Null: it is not watched.
BlockCache::Page* BlockCache::page(std::uint64_t number) {
  if (last_page_ != nullptr && last_number_ == number) return last_page_;
  const auto found = pages_.find(number);
  if (found == pages_.end()) return nullptr;
  last_number_ = number;
  return last_page_ = &found->second;
}

void BlockCache::FreeChunk::operator()(std::byte* chunk) const { std::free(chunk); }

void BlockCache::begin_block() {
  if (!arena_.empty() && arena_used_ + kMaxParts <= kChunk) return;
  Memory chunk(static_cast<std::byte*>(std::aligned_alloc(kChunk, kChunk)));
  if (chunk == nullptr) throw std::bad_alloc();
  // Of small pages the host has to bring one for every dozen blocks, which costs as much as they.
  ::madvise(chunk.get(), kChunk, MADV_HUGEPAGE);
  arena_.push_back({std::move(chunk), {}});
  arena_used_ = 0;
}

Block& BlockCache::allocate_block() {
  VIREO_ASSERT(!arena_.empty());
  Block& block = arena_.back().blocks.add();
  block.chunk = oldest_chunk_ + arena_.size() - 1;
  return block;
}

void* BlockCache::allocate(std::size_t bytes) {
  VIREO_ASSERT(!arena_.empty() && arena_used_ + bytes <= kChunk);
  void* result = arena_.back().memory.get() + arena_used_;
  arena_used_ += (bytes + 15) & ~std::size_t{15};
  return result;
}

Op* BlockCache::allocate_ops(std::size_t count) {
  Op* ops = static_cast<Op*>(allocate(count * sizeof(Op)));
  std::uninitialized_default_construct_n(ops, count);
  return ops;
}

x86::Insn* BlockCache::allocate_insn(const x86::Insn& insn) {
  return new (allocate(sizeof(x86::Insn))) x86::Insn(insn);
}

std::uint8_t* BlockCache::allocate_code(std::span<const std::uint8_t> bytes) {
  auto* const result = static_cast<std::uint8_t*>(allocate(bytes.size()));
  std::ranges::copy(bytes, result);
  return result;
}

void BlockCache::insert(Block& block) {
  // Setting an accessed bit in the page may have retired its last block, and with it the watch.
  watch(block.start);
  Page& first = *page(number_of(block.start));
  block.next = std::exchange(first.list(block.start), &block);
  ++first.blocks;
  if (!block.straddles) return;
  watch(block.second_page);
  Page& second = *page(number_of(block.second_page));
  second.from_previous.push_back(&block);
  ++second.blocks;
}

void BlockCache::link(Op* branch, Block& target) {
  branch->target = target.ops;
  target.incoming.push_back({branch, branch->block->chunk});
}

void BlockCache::unlink(Op* branch) {
  if (branch->target == nullptr) return;
  const Op& entry = *std::exchange(branch->target, nullptr);
  std::erase_if(entry.block->incoming,
                [branch](const auto& each) { return each.branch == branch; });
}

bool BlockCache::full() const {
  return arena_.size() >= max_chunks_ || (cpu_.stubs != nullptr && cpu_.stubs->nearly_full()) ||
         (derived_ != nullptr && derived_->nearly_full());
}

void BlockCache::trim() {
  if (cpu_.stubs != nullptr && cpu_.stubs->nearly_full()) return flush();
  while (arena_.size() >= max_chunks_) evict_oldest();
  if (derived_ != nullptr && derived_->nearly_full()) derived_->trim();
}

/// Branches out of it stay in the lists of blocks that they are linked to: see Block::Link.
void BlockCache::evict_oldest() {
  ++cpu_.counters.code_evictions;
  Chunk& oldest = arena_.front();
  const auto drop_if_unused = [this](PhysAddr where) {
    const std::uint64_t number = number_of(where);
    const Page* const left = page(number);
    if (left != nullptr && !in_use(number, *left)) unwatch(number);
  };
  for (std::size_t i = 0; i < oldest.blocks.size(); ++i) {
    Block& block = oldest.blocks[i];
    if (!block.valid) continue;
    take_out(block);
    drop_if_unused(block.start);
    if (block.straddles) drop_if_unused(block.second_page);
  }
  recent_.fill({});
  const auto* const begin = oldest.memory.get();
  for (JumpCacheEntry& each : cpu_.jump_cache) {
    const auto* const entry = reinterpret_cast<const std::byte*>(each.entry);
    if (!std::less{}(entry, begin) && std::less{}(entry, begin + kChunk)) each = {};
  }
  arena_.pop_front();
  ++oldest_chunk_;
}

void BlockCache::flush() {
  ++cpu_.counters.code_flushes;
  for (const auto& [page, code] : pages_) memory_.unwatch(PhysAddr{page << kPageShift});
  recent_.fill({});
  pages_.clear();
  used_.forget_all();
  last_page_ = nullptr;
  oldest_chunk_ += arena_.size();
  arena_.clear();
  if (derived_ != nullptr) derived_->flush();
  if (cpu_.stubs != nullptr) cpu_.stubs->clear();
  cpu_.jump_cache.fill({});
}

void BlockCache::enter_guest() {
  owner_ = std::this_thread::get_id();
  own_cache = this;
  in_guest_.store(true);
}

void BlockCache::leave_guest() {
  in_guest_.store(false);
  own_cache = nullptr;
}

void BlockCache::watch(PhysAddr where) {
  if (page(number_of(where)) != nullptr) return;
  pages_.try_emplace(number_of(where));
  used_.announce(where);
  memory_.watch(PhysAddr{value(where) & ~kPageMask});
}

void BlockCache::serve_others() {
  serve_watches();
  std::vector<Range> writes;
  bool overflow = false;
  {
    const std::lock_guard lock(remote_mutex_);
    writes.swap(remote_writes_);
    overflow = std::exchange(remote_overflow_, false);
  }
  if (overflow) flush();
  for (const Range& range : writes) invalidate(range.address, range.size);
}

void BlockCache::serve_watches() {
  const std::lock_guard lock(remote_mutex_);
  if (std::exchange(remote_move_, false) || remote_watches_.size() >= kMaxRemote)
    protect_all();
  else
    for (const PhysAddr page : remote_watches_) protect(page);
  remote_watches_.clear();
  watches_served_.store(watches_asked_.load());
}

void BlockCache::protect_all() {
  for (Tlb& tlb : cpu_.tlbs) tlb.clear();
  cpu_.close_window();
  if (cpu_.mapping_listener != nullptr) cpu_.mapping_listener->pages_moved();
}

void BlockCache::protect(PhysAddr page) {
  for (Tlb& tlb : cpu_.tlbs) tlb.protect(page);
  cpu_.close_window();
  if (cpu_.mapping_listener != nullptr) cpu_.mapping_listener->page_protected(page);
}

bool BlockCache::on_watch(PhysAddr page) {
  if (!cpu_.directly_written.announced(page)) return false;
  if (std::this_thread::get_id() == owner_) {
    protect(page);
    return false;
  }
  {
    const std::lock_guard lock(remote_mutex_);
    if (remote_watches_.size() < kMaxRemote) remote_watches_.push_back(page);
    ++watches_asked_;
  }
  cpu_.events.raise(PendingEvents::kStaleCode);
  return true;
}

bool BlockCache::on_move() {
  if (std::this_thread::get_id() == owner_) {
    protect_all();
    return false;
  }
  {
    const std::lock_guard lock(remote_mutex_);
    remote_move_ = true;
    ++watches_asked_;
  }
  cpu_.events.raise(PendingEvents::kStaleCode);
  return true;
}

void BlockCache::settle() {
  const std::uint64_t ticket = watches_asked_.load();
  // A vCPU that is not running guest code serves before it runs any.
  while (in_guest_.load() && watches_served_.load() < ticket) {
    if (own_cache != nullptr) own_cache->serve_watches();
    std::this_thread::yield();
  }
}

/// Whether code of this vCPU may be among the bytes.
bool BlockCache::uses_any(PhysAddr address, std::size_t size) const {
  const std::uint64_t last = value(address) + size - 1;
  for (std::uint64_t page = value(address) & ~kPageMask; page <= last; page += kPageSize)
    if (used_.announced(PhysAddr{page})) return true;
  return false;
}

void BlockCache::on_watched_write(PhysAddr address, std::size_t size) {
  if (std::this_thread::get_id() == owner_) {
    invalidate(address, size);
    return;
  }
  if (!uses_any(address, size)) return;
  {
    const std::lock_guard lock(remote_mutex_);
    if (remote_writes_.size() < kMaxRemote)
      remote_writes_.push_back({address, size});
    else
      remote_overflow_ = true;
  }
  cpu_.events.raise(PendingEvents::kStaleCode);
}

void BlockCache::invalidate(PhysAddr address, std::size_t size) {
  if (size == 0) return;
  const std::uint64_t first = value(address), last = first + size - 1;
  for (std::uint64_t number = first >> kPageShift; number <= last >> kPageShift; ++number)
    forget_if_idle(number);
  if (derived_ != nullptr) derived_->invalidate(first, last);
  for (std::uint64_t number = first >> kPageShift; number <= last >> kPageShift; ++number)
    if (Page* const where = page(number); where != nullptr && where->blocks != 0)
      invalidate_in_page(*where, first, last);
}

/// Whether the block stands for the bytes that are there now, perhaps because it was mended.
bool BlockCache::survives(Block& block) {
  if (block.code == nullptr) return false;
  std::array<std::uint8_t, kMaxBlockBytes> bytes;
  const auto now = std::span(bytes).first(block.bytes);
  if (!memory_.read(block.start, std::as_writable_bytes(now))) return false;
  if (std::ranges::equal(now, std::span(block.code, block.bytes))) return true;
  return mender_ != nullptr && mender_->mend(block, now);
}

void BlockCache::invalidate_in_page(Page& page, std::uint64_t first, std::uint64_t last) {
  const std::vector<Block*> before = page.from_previous;
  for (Block* block : before)
    if (overlaps(*block, first, last)) retire(*block);
  for (Block* block : page.lists) {
    while (block != nullptr) {
      Block* const next = block->next;
      if (overlaps(*block, first, last) && !survives(*block)) retire(*block);
      block = next;
    }
  }
}

void BlockCache::retire(Block& block) {
  ++cpu_.counters.blocks_invalidated;
  block.valid = false;
  block.ops[0].run = stale_;
  for (std::size_t i = 1; i < block.op_count; ++i) block.ops[i].run = leave_;
  take_out(block);
}

/// Nothing finds it or leads to it from now on, but what was found lately.
void BlockCache::take_out(Block& block) {
  for (const Block::Link& each : block.incoming)
    if (each.chunk >= oldest_chunk_) each.branch->target = nullptr;
  block.incoming.clear();
  Page& first = *page(number_of(block.start));
  Block** place = &first.list(block.start);
  while (*place != &block) place = &(*place)->next;
  *place = block.next;
  --first.blocks;
  if (!block.straddles) return;
  Page& second = *page(number_of(block.second_page));
  std::erase(second.from_previous, &block);
  --second.blocks;
}

void BlockCache::note_patch(PhysAddr where) {
  constexpr std::size_t kMost = 64;
  Page* const found = page(number_of(where));
  if (found == nullptr) return;
  const auto offset = static_cast<std::uint16_t>(value(where) & kPageMask);
  const auto known = std::ranges::find(found->patched, offset, &Patched::offset);
  if (known != found->patched.end())
    ++known->times;
  else if (found->patched.size() < kMost)
    found->patched.push_back({offset, 1});
}

bool BlockCache::patched_often(PhysAddr where) {
  constexpr unsigned kOften = 4;
  const Page* const found = page(number_of(where));
  if (found == nullptr) return false;
  const auto offset = static_cast<std::uint16_t>(value(where) & kPageMask);
  const auto known = std::ranges::find(found->patched, offset, &Patched::offset);
  return known != found->patched.end() && known->times >= kOften;
}

/// The watch ends when writes again and again find no code: to watch costs a search of the TLBs,
/// and who patches code runs it and patches it again.
void BlockCache::forget_if_idle(std::uint64_t number) {
  constexpr unsigned kPatience = 16;
  Page* const where = page(number);
  if (where == nullptr) return;
  where->idle_writes = in_use(number, *where) ? 0 : where->idle_writes + 1;
  if (where->idle_writes > kPatience) unwatch(number);
}

bool BlockCache::in_use(std::uint64_t number, const Page& page) const {
  return page.blocks != 0 || (derived_ != nullptr && derived_->uses_page(number));
}

void BlockCache::unwatch(std::uint64_t number) {
  last_page_ = nullptr;
  pages_.erase(number);
  memory_.unwatch(PhysAddr{number << kPageShift});
}

}  // namespace vireo::engine
