#include "memory/guest_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace vireo::memory {
namespace {

// The page table of a guest has one word per page below this; 64 TiB is what 46 address bits reach.
constexpr std::uint64_t kHighestAddress = std::uint64_t{1} << 46;
constexpr std::uint64_t kDeviceEnd = std::uint64_t{1} << 32;  // below it a device's memory may be

Result<> check(const std::vector<Region>& regions) {
  std::uint64_t end = 0;
  for (const Region& region : regions) {  // sorted
    const std::uint64_t base = value(region.base);
    if ((base & kPageMask) != 0 || (region.size & kPageMask) != 0 || region.size == 0) {
      return usage_error("memory region {} is not made of whole pages", region.name);
    }
    if (base >= kHighestAddress || region.size > kHighestAddress - base) {
      return usage_error("memory region {} lies above the highest guest address", region.name);
    }
    if (base < end) return usage_error("memory region {} overlaps another one", region.name);
    end = base + region.size;
  }
  return {};
}

/// Guest memory is shared with code that races as hardware does: what of a racing access is seen is
/// the guest's business.
void copy(std::byte* to, const std::byte* from, std::size_t size) {
#if __has_feature(thread_sanitizer)
  // SAFETY: bytes as integers, which alias everything.
  auto* target = reinterpret_cast<unsigned char*>(to);
  const auto* source = reinterpret_cast<const unsigned char*>(from);
  for (std::size_t i = 0; i < size; ++i) {
    __atomic_store_n(target + i, __atomic_load_n(source + i, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
  }
#else
  std::memcpy(to, from, size);
#endif
}

}  // namespace

Result<std::unique_ptr<GuestMemory>> GuestMemory::create(std::vector<Region> regions,
                                                         std::uint64_t device_bytes) {
  std::sort(regions.begin(), regions.end(),
            [](const Region& a, const Region& b) { return value(a.base) < value(b.base); });
  TRY(check(regions));
  std::unique_ptr<GuestMemory> memory(new GuestMemory);
  memory->regions_ = std::move(regions);
  TRY(memory->map_pages(device_bytes));
  return memory;
}

Result<> GuestMemory::map_pages(std::uint64_t device_bytes) {
  if (regions_.empty()) return {};
  for (const Region& region : regions_) ram_size_ += region.size;
  size_ = ram_size_ + device_bytes;
  fd_ = UniqueFd(::memfd_create("guest-memory", MFD_CLOEXEC));
  if (!fd_ || ::ftruncate(fd_.get(), static_cast<off_t>(size_)) != 0) {
    const int error = errno;
    return host_error("cannot reserve {} MiB of guest memory: {}{}", size_ >> 20,
                      std::generic_category().message(error),
                      error == EFBIG ? "; raise the limit on the size of files (ulimit -f)" : "");
  }
  // SAFETY: a fresh mapping of our own memfd, nobody else's; unmapped by the destructor only.
  void* ram =
      ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd_.get(), 0);
  if (ram == MAP_FAILED) {
    return host_error("cannot map {} MiB of guest memory: {}", size_ >> 20,
                      std::generic_category().message(errno));
  }
  base_ = static_cast<std::byte*>(ram);
  ::madvise(ram, size_, MADV_HUGEPAGE);  // a hint: hosts that refuse it lose only speed
  ::madvise(ram, size_, MADV_DONTDUMP);

  const std::uint64_t end = value(regions_.back().base) + regions_.back().size;
  table_pages_ = std::max(end, device_bytes != 0 ? kDeviceEnd : 0) >> kPageShift;
  // SAFETY: zero pages of our own; zero is a valid std::atomic<uint64_t>. Left lazily populated, so
  // that the hole below 4 GiB and sparse layouts cost nothing.
  void* table = ::mmap(nullptr, table_pages_ * sizeof(*table_), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (table == MAP_FAILED) {
    return host_error("cannot map the guest page table: {}",
                      std::generic_category().message(errno));
  }
  table_ = static_cast<std::atomic<std::uint64_t>*>(table);

  std::byte* host = base_;
  for (const Region& region : regions_) {
    const std::uint64_t bits = region.kind == RegionKind::kRom ? kRomBit : 0;
    for (std::uint64_t offset = 0; offset < region.size; offset += kPageSize, host += kPageSize) {
      // SAFETY: the address of a mapped page as a number; host_of() turns it back.
      const auto number = reinterpret_cast<std::uint64_t>(host);
      entry(region.base + offset)->store(number | bits, std::memory_order_relaxed);
    }
  }
  return {};
}

GuestMemory::~GuestMemory() {
  // SAFETY: exactly the two mappings that map_pages() made.
  if (base_ != nullptr) ::munmap(base_, size_);
  if (table_ != nullptr) ::munmap(table_, table_pages_ * sizeof(*table_));
}

bool GuestMemory::read(PhysAddr address, std::span<std::byte> data) const {
  while (!data.empty()) {
    const std::uint64_t offset = value(address) & kPageMask;
    const std::size_t size = std::min<std::size_t>(data.size(), kPageSize - offset);
    const std::byte* host = host_page(address);
    if (host == nullptr) return false;
    copy(data.data(), host + offset, size);
    data = data.subspan(size);
    address = address + size;
  }
  return true;
}

bool GuestMemory::write(PhysAddr address, std::span<const std::byte> data) {
  return copy_in(address, data, false);
}

bool GuestMemory::write_rom(PhysAddr address, std::span<const std::byte> data) {
  return copy_in(address, data, true);
}

bool GuestMemory::copy_in(PhysAddr address, std::span<const std::byte> data, bool rom) {
  while (!data.empty()) {
    const std::uint64_t offset = value(address) & kPageMask;
    const std::size_t size = std::min<std::size_t>(data.size(), kPageSize - offset);
    const std::uint64_t word = table_word(address);
    if (word == 0) return false;
    if (rom || (word & kRomBit) == 0) {
      copy(host_of(word) + offset, data.data(), size);
      note_write(address, size);
    }
    data = data.subspan(size);
    address = address + size;
  }
  return true;
}

namespace {

/// In one step, so that who changes the bytes meanwhile knows that they changed.
template <class T>
bool exchange(std::byte* place, std::uint64_t data) {
  // SAFETY: aligned, and mapped for as long as guest memory is.
  std::atomic_ref there(*reinterpret_cast<T*>(place));
  return there.exchange(static_cast<T>(data)) != static_cast<T>(data);
}

bool exchange(std::byte* place, std::uint64_t data, std::size_t size) {
  switch (size) {
    case 1:
      return exchange<std::uint8_t>(place, data);
    case 2:
      return exchange<std::uint16_t>(place, data);
    case 4:
      return exchange<std::uint32_t>(place, data);
    default:
      return exchange<std::uint64_t>(place, data);
  }
}

}  // namespace

bool GuestMemory::write_changes(PhysAddr address, std::uint64_t data, std::size_t size) {
  const std::uint64_t offset = value(address) & kPageMask, word = table_word(address);
  const bool simple = word != 0 && (word & kRomBit) == 0 && offset % size == 0;
  if (!simple) return write(address, std::as_bytes(std::span(&data, 1)).first(size));
  if (exchange(host_of(word) + offset, data, size)) note_write(address, size);
  return true;
}

void GuestMemory::set_rom(PhysAddr base, std::uint64_t size, bool rom) {
  for (const Region& region : regions_) {
    if (region.kind == RegionKind::kRom) continue;
    const std::uint64_t begin = std::max(value(base), value(region.base));
    const std::uint64_t end = std::min(value(base) + size, value(region.base) + region.size);
    for (std::uint64_t page = begin & ~kPageMask; page < end; page += kPageSize) {
      auto& word = *entry(PhysAddr{page});
      const std::uint64_t before = rom ? word.fetch_or(kRomBit) : word.fetch_and(~kRomBit);
      if (!rom || (before & kRomBit) != 0) continue;
      tell_and_wait([page](PageListener& listener) { return listener.on_watch(PhysAddr{page}); });
    }
  }
}

void GuestMemory::place_device_memory(std::optional<PhysAddr> base) {
  if (base && value(*base) > kDeviceEnd - device_memory().size()) base.reset();
  std::optional<PhysAddr> before;
  {
    const std::lock_guard lock(device_mutex_);
    if (base == device_base_) return;
    before = std::exchange(device_base_, base);
    if (before) enter_device_pages(*before, false);
    if (base) enter_device_pages(*base, true);
    if (before) ++moves_;
  }
  if (!before) return;
  // With no lock held: who is told may wait for others who are here, too.
  tell_and_wait([](PageListener& listener) { return listener.on_move(); });
  const auto receivers = listeners();
  for (PageListener* listener : *receivers)
    listener->on_watched_write(*before, device_memory().size());
}

void GuestMemory::clear_device_memory() {
  const auto memory = device_memory();
  if (memory.empty() ||
      ::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  static_cast<off_t>(ram_size_), static_cast<off_t>(memory.size())) == 0)
    return;
  std::ranges::fill(memory, std::byte{0});
}

void GuestMemory::enter_device_pages(PhysAddr base, bool there) {
  const auto memory = device_memory();
  // SAFETY: addresses of mapped pages as numbers; host_of() turns them back.
  const auto first = reinterpret_cast<std::uint64_t>(memory.data());
  const std::lock_guard lock(watches_mutex_);
  for (std::uint64_t offset = 0; offset < memory.size(); offset += kPageSize) {
    auto& word = *entry(base + offset);
    const std::uint64_t now = word.load() & ~kPageMask;
    const std::uint64_t page = value(base + offset) >> kPageShift;
    if (there && now == 0)
      word.store((first + offset) | (watches_.contains(page) ? kWatchedBit : 0));
    if (!there && now == first + offset) word.store(0);
  }
}

std::uint64_t GuestMemory::discard(PhysAddr base, std::uint64_t size) {
  const std::uint64_t first = (value(base) + kPageMask) & ~kPageMask;
  const std::uint64_t end = (value(base) + size) & ~kPageMask;
  if (value(base) + size < value(base) || first >= end) return 0;
  std::uint64_t discarded = 0;
  for (const Region& region : regions_) {
    const std::uint64_t begin = std::max(first, value(region.base));
    const std::uint64_t stop = std::min(end, value(region.base) + region.size);
    for (std::uint64_t at = begin; at < stop;) {
      // As much as is RAM at a stretch; a region is one in the host's memory, too.
      std::uint64_t next = at;
      while (next < stop && host_page_for_write(PhysAddr{next}) != nullptr) next += kPageSize;
      if (next == at) {
        at += kPageSize;
        continue;
      }
      const auto offset = host_page(PhysAddr{at}) - base_;
      if (::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                      static_cast<off_t>(next - at)) == 0) {
        discarded += next - at;
        note_write(PhysAddr{at}, next - at);
      }
      at = next;
    }
  }
  return discarded;
}

std::uint64_t GuestMemory::resident_bytes() const {
  constexpr std::uint64_t kBlock = 512;
  struct stat info = {};
  if (!fd_ || ::fstat(fd_.get(), &info) != 0) return 0;
  return static_cast<std::uint64_t>(info.st_blocks) * kBlock;
}

/// `tell(listener)` answers whether the listener is to be waited for.
template <class Tell>
void GuestMemory::tell_and_wait(Tell tell) const {
  std::atomic_thread_fence(std::memory_order_seq_cst);  // what they are told of has happened
  const auto receivers = listeners();
  std::vector<PageListener*> late;
  for (PageListener* listener : *receivers)
    if (tell(*listener)) late.push_back(listener);
  for (PageListener* listener : late) listener->settle();
}

void GuestMemory::watch(PhysAddr page) {
  auto* word = entry(page);
  if (word == nullptr || word->load(std::memory_order_relaxed) == 0) return;
  {
    const std::lock_guard lock(watches_mutex_);
    Watch& watch = watches_[value(page) >> kPageShift];
    ++watch.count;
    if (watch.told) return;
    // Sequentially consistent with note_write(): either the writer sees the bit or whoever watches
    // sees the written bytes.
    word->fetch_or(kWatchedBit);
  }
  // Also when somebody else is about to: nobody returns before everybody has been told.
  tell_and_wait([page](PageListener& listener) {
    return listener.on_watch(PhysAddr{value(page) & ~kPageMask});
  });
  const std::lock_guard lock(watches_mutex_);
  watches_[value(page) >> kPageShift].told = true;  // it is there: one of its count is ours
}

void GuestMemory::unwatch(PhysAddr page) {
  auto* word = entry(page);
  if (word == nullptr) return;
  const std::lock_guard lock(watches_mutex_);
  const auto found = watches_.find(value(page) >> kPageShift);
  if (found == watches_.end() || --found->second.count != 0) return;
  watches_.erase(found);
  word->fetch_and(~kWatchedBit);
}

bool GuestMemory::watched(PhysAddr page) const { return (table_word(page) & kWatchedBit) != 0; }

void GuestMemory::note_write(PhysAddr address, std::size_t size) {
  std::atomic_thread_fence(std::memory_order_seq_cst);  // the bytes were written before we look
  bool any = false;
  for (std::uint64_t at = value(address) & ~kPageMask; at < value(address) + size;
       at += kPageSize) {
    any |= watched(PhysAddr{at});
  }
  if (!any) return;
  const auto receivers = listeners();
  for (PageListener* listener : *receivers) listener->on_watched_write(address, size);
}

std::shared_ptr<const GuestMemory::Listeners> GuestMemory::listeners() const {
  const std::lock_guard lock(listeners_mutex_);
  return listeners_;
}

void GuestMemory::add_listener(PageListener& listener) {
  const std::lock_guard lock(listeners_mutex_);
  auto changed = std::make_shared<Listeners>(*listeners_);
  changed->push_back(&listener);
  listeners_ = std::move(changed);
}

void GuestMemory::remove_listener(PageListener& listener) {
  const std::lock_guard lock(listeners_mutex_);
  auto changed = std::make_shared<Listeners>(*listeners_);
  std::erase(*changed, &listener);
  listeners_ = std::move(changed);
}

}  // namespace vireo::memory
