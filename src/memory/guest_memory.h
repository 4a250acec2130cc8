#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace vireo::memory {

enum class RegionKind : std::uint8_t {
  kRam,  ///< readable and writable
  kRom,  ///< guest writes are ignored
};

/// A range of guest-physical addresses backed by memory. Page aligned.
struct Region {
  PhysAddr base;
  std::uint64_t size;
  RegionKind kind;
  std::string name;
};

/// What one guest-physical page is for an engine that wants to cache a pointer to it.
struct PageView {
  std::byte* host = nullptr;  ///< null: no memory here; the access goes to the bus
  bool writable = false;      ///< false for ROM and for watched pages: writes must use write()
};

/// Told when something that an engine may have cached about a page is no longer true.
/// Called on the thread that made the change, with no lock of GuestMemory held. Who runs guest code
/// on another thread cannot let go of a page at once: all listeners are told before the first of
/// them is waited for.
class PageListener {
 public:
  virtual ~PageListener() = default;
  /// The page got watched, or became ROM: cached permission to write it directly must go. True: it
  /// will be gone when settle() returns.
  [[nodiscard]] virtual bool on_watch(PhysAddr page) = 0;
  /// Bytes of a watched page were (or are being) written: what was derived from them is stale.
  virtual void on_watched_write(PhysAddr address, std::size_t size) = 0;
  /// Pages are no longer where they were: cached pointers, to read and to write, must go. True:
  /// they will be gone when settle() returns.
  [[nodiscard]] virtual bool on_move() = 0;
  /// Waits until what it was told before has happened.
  virtual void settle() {}
};

/// Guest-physical memory, and the only source of host pointers to it. RAM is one memfd mapped
/// shared. Reading and writing are thread safe as on hardware: racing accesses see some mix of
/// bytes. Addresses are the guest's and may be anything.
class GuestMemory {
 public:
  /// Regions must not overlap. Memory reads as zero until it is written. `device_bytes`, whole
  /// pages, are the memory of a device, which is nowhere until it is placed.
  static Result<std::unique_ptr<GuestMemory>> create(std::vector<Region> regions,
                                                     std::uint64_t device_bytes = 0);
  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;

  const std::vector<Region>& regions() const { return regions_; }

  /// Copies; false if any byte is outside memory (then some bytes may have been copied). For DMA
  /// and firmware: write() also writes ROM if `rom` says so.
  bool read(PhysAddr address, std::span<std::byte> data) const;
  bool write(PhysAddr address, std::span<const std::byte> data);
  bool write_rom(PhysAddr address, std::span<const std::byte> data);
  /// write() of the low `size` bytes of a number, 1, 2, 4 or 8, within a page. If they are aligned
  /// and already what is there, nobody is told of it.
  bool write_changes(PhysAddr address, std::uint64_t data, std::size_t size);

  template <class T>
  bool read_value(PhysAddr address, T& result) const {
    return read(address, std::as_writable_bytes(std::span(&result, 1)));
  }
  template <class T>
  bool write_value(PhysAddr address, const T& data) {
    return write(address, std::as_bytes(std::span(&data, 1)));
  }

  /// Makes pages of RAM ROM, or RAM again, as a chipset does with shadow RAM; none that was created
  /// as ROM or is not there. Whole pages. When it returns no listener writes to ROM directly.
  void set_rom(PhysAddr base, std::uint64_t size, bool rom);
  /// Whether the guest's writes to the page are dropped.
  bool is_rom(PhysAddr address) const { return (table_word(address) & kRomBit) != 0; }

  /// For engines: the page that holds the address.
  PageView view(PhysAddr address) const {
    const std::uint64_t word = table_word(address);
    return {host_of(word), word != 0 && (word & kNotWritable) == 0};
  }
  /// The host address of one RAM or ROM page whatever its watch; null if there is none. For loads
  /// and for the slow path of a store, which must call note_write() after it has written.
  std::byte* host_page(PhysAddr address) const { return host_of(table_word(address)); }
  /// For DMA that goes around write(): the same, null for ROM. note_write() must follow.
  std::byte* host_page_for_write(PhysAddr address) const {
    const std::uint64_t word = table_word(address);
    return (word & kRomBit) == 0 ? host_of(word) : nullptr;
  }

  /// For engines that map guest memory into other processes: the file that all of it is in, to be
  /// mapped shared, and where in it the page is that holds an address. Empty: there is none.
  int file() const { return fd_.get(); }
  std::optional<std::uint64_t> file_offset(PhysAddr address) const {
    const std::byte* host = host_page(address);
    if (host == nullptr) return {};
    return static_cast<std::uint64_t>(host - base_);
  }

  /// The device's memory as the host sees it, wherever the guest does. The guest may write to it at
  /// any moment.
  std::span<std::byte> device_memory() const { return {base_ + ram_size_, size_ - ram_size_}; }
  /// Where the guest finds the device's memory: below 4 GiB, whole pages; pages where a region is
  /// already stay what they are. Nothing: nowhere. When this returns nobody uses the place before.
  /// From any thread, with no lock held that a vCPU may wait for.
  void place_device_memory(std::optional<PhysAddr> base);
  /// Makes it zeroes, and gives the host back what lay behind.
  void clear_device_memory();
  /// How often pages have been taken from where they were.
  std::uint64_t moves() const { return moves_.load(); }

  /// From now on every write to the page, by whomever, tells the listeners; until as many calls of
  /// unwatch(). The listeners have been told of the watch when this returns.
  void watch(PhysAddr page);
  void unwatch(PhysAddr page);
  bool watched(PhysAddr page) const;
  /// A write that went around write(): tells the listeners if the page is watched.
  void note_write(PhysAddr address, std::size_t size);

  /// Gives the host back what lies behind whole pages of RAM, which read as zero from then on;
  /// those of other kinds, or where nothing is, stay as they are. Returns how many bytes were pages
  /// of RAM.
  std::uint64_t discard(PhysAddr base, std::uint64_t size);
  /// Bytes that the host keeps for it by now.
  std::uint64_t resident_bytes() const;

  void add_listener(PageListener& listener);
  /// A call that another thread has begun may still arrive: remove when the engine is at rest.
  void remove_listener(PageListener& listener);

 private:
  // A word of the table: the page-aligned host address with these bits below it; 0: nothing there.
  static constexpr std::uint64_t kRomBit = 1, kWatchedBit = 2, kNotWritable = kRomBit | kWatchedBit;
  using Listeners = std::vector<PageListener*>;
  struct Watch {
    unsigned count = 0;  ///< calls of watch()
    bool told = false;   ///< to all listeners: nobody can have entered permission to write since
  };

  GuestMemory() = default;
  Result<> map_pages(std::uint64_t device_bytes);
  void enter_device_pages(PhysAddr base, bool there);
  bool copy_in(PhysAddr address, std::span<const std::byte> data, bool rom);
  template <class Tell>
  void tell_and_wait(Tell tell) const;
  std::shared_ptr<const Listeners> listeners() const;

  std::atomic<std::uint64_t>* entry(PhysAddr address) const {
    const std::uint64_t page = value(address) >> kPageShift;
    return page < table_pages_ ? table_ + page : nullptr;
  }
  std::uint64_t table_word(PhysAddr address) const {
    const auto* word = entry(address);
    return word != nullptr ? word->load(std::memory_order_relaxed) : 0;
  }
  static std::byte* host_of(std::uint64_t word) {
    // SAFETY: a word holds nothing but the address of a page inside base_ .. base_ + size_.
    return reinterpret_cast<std::byte*>(word & ~kPageMask);
  }

  std::vector<Region> regions_;
  UniqueFd fd_;
  std::byte* base_ = nullptr;
  std::uint64_t size_ = 0, ram_size_ = 0;        // all there is, and what regions have of it
  std::atomic<std::uint64_t>* table_ = nullptr;  // one word per page of the covered range
  std::uint64_t table_pages_ = 0;
  std::mutex device_mutex_;  // guards device_base_ and the words of its pages
  std::optional<PhysAddr> device_base_;
  std::atomic<std::uint64_t> moves_ = 0;
  std::mutex watches_mutex_;  // guards watches_ and changes of the watched bits; taken last
  std::unordered_map<std::uint64_t, Watch> watches_;  // by page number
  mutable std::mutex listeners_mutex_;
  std::shared_ptr<const Listeners> listeners_ = std::make_shared<Listeners>();
};

}  // namespace vireo::memory
