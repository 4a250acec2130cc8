#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "devices/virtio/queue_state.h"
#include "devices/virtio/virtio_bits.h"
#include "memory/guest_memory.h"

namespace vireo::devices::virtio {

/// A buffer as a driver describes it.
struct DriverBuffer {
  std::uint64_t address = 0;
  std::uint32_t length = 0;
  bool write = false;
};

/// Memory from 0 on, RAM but for one page of ROM, in which a test is the driver.
struct DriverMemory {
  static constexpr std::uint64_t kRom = 0x40000, kEnd = 0x100000;

  DriverMemory() {
    memory = std::move(*memory::GuestMemory::create(
        {{PhysAddr{0}, kRom, memory::RegionKind::kRam, "low"},
         {PhysAddr{kRom}, 0x1000, memory::RegionKind::kRom, "rom"},
         {PhysAddr{kRom + 0x1000}, kEnd - kRom - 0x1000, memory::RegionKind::kRam, "high"}}));
  }
  template <class T>
  T get(std::uint64_t address) const {
    T result{};
    EXPECT_TRUE(memory->read_value(PhysAddr{address}, result));
    return result;
  }
  template <class T>
  void put(std::uint64_t address, T value) {
    EXPECT_TRUE(memory->write_value(PhysAddr{address}, value));
  }
  // What the device may be writing or reading just now.
  std::uint16_t load(std::uint64_t address) const {
    return __atomic_load_n(word(address), __ATOMIC_ACQUIRE);
  }
  void store(std::uint64_t address, std::uint16_t value) {
    __atomic_store_n(word(address), value, __ATOMIC_SEQ_CST);
  }
  std::uint16_t* word(std::uint64_t address) const {
    // SAFETY: an aligned word of a page that stays mapped.
    return reinterpret_cast<std::uint16_t*>(memory->host_page(PhysAddr{address}) +
                                            (address & kPageMask));
  }
  std::unique_ptr<memory::GuestMemory> memory;
};

/// The driver's side of a queue, as plain as can be: descriptors are used in turn.
class RingDriver {
 public:
  struct Used {
    std::uint32_t id, length;
    bool operator==(const Used&) const = default;
  };

  RingDriver(DriverMemory& world, std::uint16_t size, std::uint64_t base)
      : world_(world),
        size_(size),
        table(base),
        driver_area(base + 0x1000),
        device_area(base + 0x2000) {}
  virtual ~RingDriver() = default;

  QueueState set_up() const {
    QueueState state;
    state.size = size_;
    state.descriptors = table;
    state.driver_area = driver_area;
    state.device_area = device_area;
    return state;
  }
  /// Puts a request into the queue; its id.
  virtual std::uint16_t offer(const std::vector<DriverBuffer>& buffers) = 0;
  /// The same with an indirect table at an address of the test's choice.
  virtual std::uint16_t offer_indirect(const std::vector<DriverBuffer>& buffers,
                                       std::uint64_t address) = 0;
  /// The next that the device gave back.
  virtual std::optional<Used> take_used() = 0;
  virtual void want_no_interrupts(bool none) = 0;
  /// With event indexes: an interrupt for the request that is given back after `more` others.
  virtual void want_interrupt_after(std::uint16_t more) = 0;
  /// Whether the device asked to be told of a request offered now.
  virtual bool notification_wanted(bool event_index) const = 0;

 protected:
  static std::uint16_t flags_of(const DriverBuffer& buffer) {
    return buffer.write ? descriptor::kWrite : std::uint16_t{0};
  }
  DriverMemory& world_;
  const std::uint16_t size_;

 public:
  const std::uint64_t table, driver_area, device_area;
};

class SplitDriver final : public RingDriver {
 public:
  using RingDriver::RingDriver;

  void describe(std::uint64_t at, const DriverBuffer& buffer, unsigned flags, std::uint16_t next) {
    world_.put(at, buffer.address);
    world_.put(at + 8, buffer.length);
    world_.put(at + 12, static_cast<std::uint16_t>(flags_of(buffer) | flags));
    world_.put(at + 14, next);
  }
  void make_available(std::uint16_t head) {
    world_.put(driver_area + 4 + 2 * (available_ % size_), head);
    world_.store(driver_area + 2, ++available_);
  }
  std::uint16_t offer(const std::vector<DriverBuffer>& buffers) override {
    const std::uint16_t head = next_;
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      const std::uint16_t at = next_;
      next_ = static_cast<std::uint16_t>((next_ + 1) % size_);
      const bool last = i + 1 == buffers.size();
      describe(table + 16u * at, buffers[i], last ? 0 : descriptor::kNext, next_);
    }
    make_available(head);
    return head;
  }
  std::uint16_t offer_indirect(const std::vector<DriverBuffer>& buffers,
                               std::uint64_t address) override {
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      const bool last = i + 1 == buffers.size();
      describe(address + 16 * i, buffers[i], last ? 0 : descriptor::kNext,
               static_cast<std::uint16_t>(i + 1));
    }
    const std::uint16_t head = next_;
    next_ = static_cast<std::uint16_t>((next_ + 1) % size_);
    describe(table + 16u * head, {address, static_cast<std::uint32_t>(16 * buffers.size())},
             descriptor::kIndirect, 0);
    make_available(head);
    return head;
  }
  std::optional<Used> take_used() override {
    if (world_.load(device_area + 2) == used_) return std::nullopt;
    const std::uint64_t entry = device_area + 4 + 8u * (used_++ % size_);
    return Used{world_.get<std::uint32_t>(entry), world_.get<std::uint32_t>(entry + 4)};
  }
  void want_no_interrupts(bool none) override {
    world_.put(driver_area, static_cast<std::uint16_t>(none));
  }
  void want_interrupt_after(std::uint16_t more) override {
    const auto now = world_.get<std::uint16_t>(device_area + 2);
    world_.put(driver_area + 4 + 2u * size_, static_cast<std::uint16_t>(now + more));
  }
  bool notification_wanted(bool event_index) const override {
    if (event_index) return world_.get<std::uint16_t>(device_area + 4 + 8u * size_) == available_;
    return world_.get<std::uint16_t>(device_area) == 0;
  }
  /// As if so many requests had come and gone.
  void start_at(std::uint16_t position) {
    next_ = 0;
    available_ = used_ = position;
    world_.put(driver_area + 2, position);
    world_.put(device_area + 2, position);
  }

 private:
  std::uint16_t next_ = 0, available_ = 0, used_ = 0;
};

class PackedDriver final : public RingDriver {
 public:
  using RingDriver::RingDriver;

  std::uint16_t offer(const std::vector<DriverBuffer>& buffers) override {
    const std::uint16_t id = id_++;
    const unsigned first = place_;
    const unsigned first_flags = owner_flags();
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      const bool last = i + 1 == buffers.size();
      put(buffers[i], id, flags_of(buffers[i]) | (last ? 0u : descriptor::kNext), i != 0);
    }
    hand_over(first, first_flags);
    slots_[id] = static_cast<unsigned>(buffers.size());
    return id;
  }
  std::uint16_t offer_indirect(const std::vector<DriverBuffer>& buffers,
                               std::uint64_t address) override {
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      const std::uint64_t at = address + 16 * i;
      world_.put(at, buffers[i].address);
      world_.put(at + 8, buffers[i].length);
      world_.put(at + 14, flags_of(buffers[i]));
    }
    const std::uint16_t id = id_++;
    const unsigned first = place_, flags = owner_flags();
    put({address, static_cast<std::uint32_t>(16 * buffers.size())}, id, descriptor::kIndirect,
        false);
    hand_over(first, flags);
    slots_[id] = 1;
    return id;
  }
  std::optional<Used> take_used() override {
    const std::uint64_t at = table + 16u * used_place_;
    const auto flags = world_.load(at + 14);
    const bool available = (flags & descriptor::kAvailable) != 0;
    const bool used = (flags & descriptor::kUsed) != 0;
    if (available != used || used != used_wrap_) return std::nullopt;
    const Used result{world_.get<std::uint16_t>(at + 12), world_.get<std::uint32_t>(at + 8)};
    used_place_ += slots_.at(result.id);
    if (used_place_ >= size_) used_place_ -= size_, used_wrap_ = !used_wrap_;
    return result;
  }
  void want_no_interrupts(bool none) override {
    world_.put(driver_area + 2, static_cast<std::uint16_t>(none));
  }
  void want_interrupt_after(std::uint16_t more) override {
    unsigned place = used_place_ + more;  // requests of one slot
    bool wrap = used_wrap_;
    if (place >= size_) place -= size_, wrap = !wrap;
    world_.put(driver_area, static_cast<std::uint16_t>(place | (wrap ? 0x8000u : 0u)));
    world_.put(driver_area + 2, std::uint16_t{2});
  }
  bool notification_wanted(bool event_index) const override {
    const auto flags = world_.get<std::uint16_t>(device_area + 2);
    const auto position = static_cast<std::uint16_t>(place_ | (wrap_ ? 0x8000u : 0u));
    if (event_index) return flags == 2 && world_.get<std::uint16_t>(device_area) == position;
    return flags == 0;
  }

 private:
  unsigned owner_flags() const { return wrap_ ? descriptor::kAvailable : descriptor::kUsed; }
  void put(const DriverBuffer& buffer, std::uint16_t id, unsigned flags, bool owned) {
    const std::uint64_t at = table + 16u * place_;
    world_.put(at, buffer.address);
    world_.put(at + 8, buffer.length);
    world_.put(at + 12, id);
    const unsigned owner = owned ? owner_flags() : owner_flags() ^ 0x8080u;
    world_.put(at + 14, static_cast<std::uint16_t>(flags | owner));
    if (++place_ == size_) place_ = 0, wrap_ = !wrap_;
  }
  void hand_over(unsigned first, unsigned owner) {
    const std::uint64_t at = table + 16u * first + 14;
    const unsigned flags = world_.get<std::uint16_t>(at) & ~0x8080u;
    world_.store(at, static_cast<std::uint16_t>(flags | owner));
  }
  std::uint16_t id_ = 0;
  unsigned place_ = 0, used_place_ = 0;
  bool wrap_ = true, used_wrap_ = true;
  std::vector<unsigned> slots_ = std::vector<unsigned>(0x10000, 1);
};

}  // namespace vireo::devices::virtio
