#pragma once
#include <atomic>
#include <concepts>
#include <cstdint>
#include <span>

#include "devices/virtio/driver_error.h"
#include "memory/guest_memory.h"

namespace vireo::devices::virtio {

/// The words of a ring in guest memory, each read and written in one access, in the order that the
/// driver on another CPU relies on: a load sees all that was written before the store it reads.
class RingMemory {
 public:
  explicit RingMemory(memory::GuestMemory& memory) : memory_(memory) {}

  template <std::unsigned_integral T>
  OrDriverError<T> load(std::uint64_t address) const {
    const std::byte* page = memory_.host_page(PhysAddr{address});
    if (page == nullptr || address % sizeof(T) != 0) return driver_error("a ring outside memory");
    return __atomic_load_n(pointer<const T>(page, address), __ATOMIC_ACQUIRE);
  }

  template <std::unsigned_integral T>
  OrDriverError<> store(std::uint64_t address, T number) {
    std::byte* page = memory_.host_page_for_write(PhysAddr{address});
    if (page == nullptr || address % sizeof(T) != 0) return driver_error("a ring outside memory");
    __atomic_store_n(pointer<T>(page, address), number, __ATOMIC_RELEASE);
    memory_.note_write(PhysAddr{address}, sizeof(T));
    return {};
  }

  /// Bytes that the driver no longer changes, at any address.
  OrDriverError<> read(std::uint64_t address, std::span<std::byte> data) const {
    if (!memory_.read(PhysAddr{address}, data)) return driver_error("a ring outside memory");
    return {};
  }

  /// Between a store and a load of another word: the driver does the same the other way round, so
  /// that at least one of both sees what the other has written.
  static void store_before_load() { std::atomic_thread_fence(std::memory_order_seq_cst); }

 private:
  template <class T, class Byte>
  static T* pointer(Byte* page, std::uint64_t address) {
    // SAFETY: aligned, so it lies within the page, which stays mapped; words of a ring are plain
    // numbers that both sides access atomically.
    return reinterpret_cast<T*>(page + (address & kPageMask));
  }

  memory::GuestMemory& memory_;
};

}  // namespace vireo::devices::virtio
