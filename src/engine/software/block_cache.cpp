#include "engine/software/block_cache.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/assert.h"
#include "engine/software/host_stub.h"
#include "engine/software/soft_mmu.h"

namespace vireo::engine {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 20;
constexpr std::size_t kMaxChunks = 192;
/// What others ask for is listed up to this: a vCPU that sleeps serves nobody.
constexpr std::size_t kMaxRemote = 4096;

/// The vCPU whose code this thread runs: while it waits for another, that one may wait for it.
thread_local BlockCache* own_cache = nullptr;

bool overlaps(const Block& block, std::uint64_t first, std::uint64_t last) {
  const std::uint64_t start = value(block.start);
  if (!block.straddles) return start <= last && first < start + block.bytes;
  const std::uint64_t in_first = kPageSize - (start & kPageMask);
  const std::uint64_t second = value(block.second_page);
  return (start <= last && first < start + in_first) ||
         (second <= last && first < second + block.bytes - in_first);
}

}  // namespace

BlockCache::BlockCache(Cpu& cpu, memory::GuestMemory& memory, OpHandler leave, OpHandler stale)
    : cpu_(cpu), memory_(memory), leave_(leave), stale_(stale) {
  memory_.add_listener(*this);
}

BlockCache::~BlockCache() { memory_.remove_listener(*this); }

Block* BlockCache::find(PhysAddr start, std::uint32_t mode) {
  Block*& last = recent(start);
  if (last != nullptr && last->start == start && last->mode == mode && last->valid) return last;
  const auto found = blocks_.find(key(start, mode));
  if (found == blocks_.end()) return nullptr;
  last = found->second.get();
  return last;
}

void* BlockCache::allocate(std::size_t bytes) {
  VIREO_ASSERT(bytes <= kChunk);
  if (arena_.empty() || arena_used_ + bytes > kChunk) {
    arena_.push_back(std::make_unique_for_overwrite<std::byte[]>(kChunk));
    arena_used_ = 0;
  }
  void* result = arena_.back().get() + arena_used_;
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

Block* BlockCache::insert(std::unique_ptr<Block> block) {
  Block* result = block.get();
  // Setting an accessed bit in the page may have retired its last block, and with it the watch.
  watch(block->start);
  pages_[value(block->start) >> kPageShift].blocks.push_back(result);
  if (block->straddles) {
    watch(block->second_page);
    pages_[value(block->second_page) >> kPageShift].blocks.push_back(result);
  }
  const auto [place, fresh] =
      blocks_.insert_or_assign(key(block->start, block->mode), std::move(block));
  VIREO_ASSERT(fresh);
  return result;
}

void BlockCache::link(Op* branch, Block& target) {
  branch->target = target.ops;
  target.incoming.push_back(branch);
}

bool BlockCache::full() const {
  return arena_.size() >= kMaxChunks || (cpu_.stubs != nullptr && cpu_.stubs->nearly_full()) ||
         (derived_ != nullptr && derived_->nearly_full());
}

void BlockCache::trim() {
  if (full()) flush();
}

void BlockCache::flush() {
  ++cpu_.counters.code_flushes;
  for (const auto& [page, code] : pages_) memory_.unwatch(PhysAddr{page << kPageShift});
  blocks_.clear();
  recent_.fill(nullptr);
  retired_.clear();
  pages_.clear();
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

void BlockCache::watch(PhysAddr page) {
  const auto [place, fresh] = pages_.try_emplace(value(page) >> kPageShift);
  if (fresh) memory_.watch(PhysAddr{value(page) & ~kPageMask});
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
  if (remote_watches_.size() >= kMaxRemote)
    protect_all();
  else
    for (const PhysAddr page : remote_watches_) protect(page);
  remote_watches_.clear();
  watches_served_.store(watches_asked_.load());
}

void BlockCache::protect_all() {
  for (Tlb& tlb : cpu_.tlbs) tlb.clear();
  cpu_.close_window();
}

void BlockCache::protect(PhysAddr page) {
  for (Tlb& tlb : cpu_.tlbs) tlb.protect(page);
  cpu_.close_window();
}

void BlockCache::on_watch(PhysAddr page) {
  if (std::this_thread::get_id() == owner_) {
    protect(page);
    return;
  }
  std::uint64_t ticket;
  {
    const std::lock_guard lock(remote_mutex_);
    if (remote_watches_.size() < kMaxRemote) remote_watches_.push_back(page);
    ticket = ++watches_asked_;
  }
  cpu_.events.raise(PendingEvents::kStaleCode);
  // A vCPU that is not running guest code serves before it runs any.
  while (in_guest_.load() && watches_served_.load() < ticket) {
    if (own_cache != nullptr) own_cache->serve_watches();
    std::this_thread::yield();
  }
}

void BlockCache::on_watched_write(PhysAddr address, std::size_t size) {
  if (std::this_thread::get_id() == owner_) {
    invalidate(address, size);
    return;
  }
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
  for (std::uint64_t page = first >> kPageShift; page <= last >> kPageShift; ++page)
    forget_if_idle(page);
  if (derived_ != nullptr) derived_->invalidate(first, last);
  for (std::uint64_t page = first >> kPageShift; page <= last >> kPageShift; ++page) {
    const auto found = pages_.find(page);
    if (found == pages_.end()) continue;
    std::vector<Block*> hit;
    std::ranges::copy_if(found->second.blocks, std::back_inserter(hit),
                         [&](const Block* block) { return overlaps(*block, first, last); });
    // A block whose two pages are one is there twice.
    for (Block* block : hit)
      if (block->valid) retire(*block);
  }
}

void BlockCache::retire(Block& block) {
  ++cpu_.counters.blocks_invalidated;
  block.valid = false;
  block.ops[0].run = stale_;
  for (std::size_t i = 1; i < block.op_count; ++i) block.ops[i].run = leave_;
  for (Op* branch : block.incoming) branch->target = nullptr;
  block.incoming.clear();
  forget_in_page(value(block.start) >> kPageShift, &block);
  if (block.straddles) forget_in_page(value(block.second_page) >> kPageShift, &block);
  auto node = blocks_.extract(key(block.start, block.mode));
  VIREO_ASSERT(!node.empty());
  // Its operations may be running; the arena keeps them until the next flush.
  retired_.push_back(std::move(node.mapped()));
}

void BlockCache::forget_in_page(std::uint64_t page, const Block* block) {
  if (const auto found = pages_.find(page); found != pages_.end())
    std::erase(found->second.blocks, block);
}

/// The watch ends when writes again and again find no code: to watch costs a search of the TLBs,
/// and who patches code runs it and patches it again.
void BlockCache::forget_if_idle(std::uint64_t page) {
  constexpr unsigned kPatience = 16;
  const auto found = pages_.find(page);
  if (found == pages_.end()) return;
  const bool idle =
      found->second.blocks.empty() && (derived_ == nullptr || !derived_->uses_page(page));
  found->second.idle_writes = idle ? found->second.idle_writes + 1 : 0;
  if (found->second.idle_writes <= kPatience) return;
  pages_.erase(found);
  memory_.unwatch(PhysAddr{page << kPageShift});
}

}  // namespace vireo::engine
