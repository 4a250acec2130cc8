#include "machine/paravirt_cpu.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <string_view>

namespace vireo::machine {
namespace {

constexpr std::uint32_t kTsc = 0x10, kWallClock = 0x4b564d00, kSystemTime = 0x4b564d01,
                        kStealTime = 0x4b564d03;
constexpr std::uint64_t kEnabled = 1, kStealReserved = 0x3e, kStealAddress = ~std::uint64_t{0x3f};
constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
/// Shorter than the ticks of most guests, and so long that to ask the host costs nothing.
constexpr std::uint64_t kRefreshNs = 3'000'000;

struct WallClock {
  std::uint32_t version, seconds, nanoseconds;
};
struct SystemTime {
  std::uint32_t version = 0, padding0 = 0;
  std::uint64_t tsc_timestamp = 0, system_time = 0;
  std::uint32_t tsc_to_system_mul = 0;
  std::int8_t tsc_shift = 0;
  std::uint8_t flags = 0;
  std::array<std::uint8_t, 2> padding{};
};
static_assert(sizeof(SystemTime) == 32);

constexpr std::uint8_t kTscStable = 1;  // all CPUs' clocks tell the same time
// In the structure for steal time.
constexpr std::uint64_t kStealVersion = 8, kPreempted = 16;
constexpr std::byte kIsPreempted{1}, kFlushTlb{2};

/// Ticks shifted left by the one, multiplied by the other and divided by 2^32 are nanoseconds.
struct Scale {
  std::int8_t shift;
  std::uint32_t multiplier;
};
Scale nanoseconds_per_tick(std::uint64_t hz) {
  const auto multiplier = [hz](int shift) {
    return (static_cast<unsigned __int128>(kNsPerSecond) << (32 + 32 - shift)) / hz >> 32;
  };
  int shift = 31;
  while (shift > -31 && multiplier(shift) < (1u << 31)) --shift;
  return {static_cast<std::int8_t>(shift), static_cast<std::uint32_t>(multiplier(shift))};
}

/// Whoever reads the structure sees that its version is odd while it changes.
template <class Structure>
void publish(memory::GuestMemory& memory, PhysAddr address, Structure structure) {
  std::uint32_t version = 0;
  if (!memory.read_value(address, version)) return;
  version |= 1;
  if (!memory.write_value(address, version)) return;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  structure.version = version;
  memory.write_value(address, structure);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  memory.write_value(address, version + 1);
}

}  // namespace

bool ParavirtCpu::owns_msr(std::uint32_t index) {
  return index == kTsc || index == kWallClock || index == kSystemTime || index == kStealTime;
}

std::optional<std::uint64_t> ParavirtCpu::read_msr(std::uint32_t index) const {
  if (index == kWallClock) return state_.wall_clock;
  if (index == kSystemTime) return state_.system_time;
  if (index == kStealTime) return state_.steal_time;
  return std::nullopt;
}

bool ParavirtCpu::write_msr(std::uint32_t index, std::uint64_t value) {
  switch (index) {
    case kTsc:
      state_.tsc_offset = value;
      write_clock();
      return true;
    case kWallClock:
      state_.wall_clock = value;
      write_wall_clock();
      return true;
    case kSystemTime:
      state_.system_time = value;
      write_clock();
      return true;
    case kStealTime:
      if ((value & kStealReserved) != 0) return false;
      state_.steal_time = value;
      last_waited_ns_ = thread_waited_ns();
      if (steal_time_on()) write_steal_time(0);
      return true;
    default:
      return false;
  }
}

void ParavirtCpu::write_wall_clock() {
  const auto epoch = static_cast<std::uint64_t>(clock_.epoch_at_start());
  publish(memory_, PhysAddr{state_.wall_clock}, WallClock{0, static_cast<std::uint32_t>(epoch), 0});
}

/// The clock's TSC and its nanoseconds begin together and stop together, so that one structure is
/// true forever, and on all CPUs alike.
void ParavirtCpu::write_clock() {
  if ((state_.system_time & kEnabled) == 0) return;
  const Scale scale = nanoseconds_per_tick(clock_.tsc_hz());
  SystemTime time;
  time.tsc_timestamp = state_.tsc_offset;
  time.tsc_to_system_mul = scale.multiplier;
  time.tsc_shift = scale.shift;
  time.flags = kTscStable;
  publish(memory_, PhysAddr{state_.system_time & ~kEnabled}, time);
}

std::byte* ParavirtCpu::steal_page() const {
  return memory_.host_page_for_write(PhysAddr{state_.steal_time & kStealAddress});
}

void ParavirtCpu::write_steal_time(std::uint64_t waited_ns) {
  const PhysAddr address{state_.steal_time & kStealAddress};
  const PhysAddr version_at{value(address) + kStealVersion};
  std::uint64_t steal = 0;
  std::uint32_t version = 0;
  if (!memory_.read_value(address, steal) || !memory_.read_value(version_at, version)) return;
  version |= 1;
  memory_.write_value(version_at, version);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  memory_.write_value(address, steal + waited_ns);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  memory_.write_value(version_at, version + 1);
}

/// How long the thread could have run while others did: the second number of its schedstat.
std::uint64_t ParavirtCpu::thread_waited_ns() {
  if (!schedstat_ && !schedstat_missing_) {
    schedstat_ = UniqueFd(::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC));
    schedstat_missing_ = !schedstat_;
  }
  std::array<char, 96> text{};
  const ssize_t size = schedstat_ ? ::pread(schedstat_.get(), text.data(), text.size(), 0) : 0;
  if (size <= 0) return 0;
  const std::string_view line(text.data(), static_cast<std::size_t>(size));
  const std::size_t first = line.find(' ');
  std::uint64_t waited = 0;
  if (first != std::string_view::npos)
    std::from_chars(line.data() + first + 1, line.data() + line.size(), waited);
  return waited;
}

void ParavirtCpu::refresh_steal_time() {
  if (!steal_time_on()) return;
  const std::uint64_t now = clock_.now_ns();
  if (now - refreshed_ns_ < kRefreshNs) return;
  refreshed_ns_ = now;
  const std::uint64_t waited = thread_waited_ns();
  if (waited > last_waited_ns_) write_steal_time(waited - last_waited_ns_);
  last_waited_ns_ = waited;
}

void ParavirtCpu::leave() {
  if (!steal_time_on()) return;
  const std::uint64_t at = (state_.steal_time & kStealAddress) + kPreempted;
  std::byte* const page = steal_page();
  if (page == nullptr) return;
  std::atomic_ref(page[at & kPageMask]).store(kIsPreempted, std::memory_order_release);
  memory_.note_write(PhysAddr{at}, 1);
  left_ = true;
}

bool ParavirtCpu::enter() {
  if (!left_) return false;
  left_ = false;
  if (!steal_time_on()) return false;
  const std::uint64_t at = (state_.steal_time & kStealAddress) + kPreempted;
  std::byte* const page = steal_page();
  if (page == nullptr) return false;
  const std::byte before =
      std::atomic_ref(page[at & kPageMask]).exchange(std::byte{0}, std::memory_order_acq_rel);
  memory_.note_write(PhysAddr{at}, 1);
  if ((before & kFlushTlb) == std::byte{0}) return false;
  flushes_.store(flushes_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return true;
}

void ParavirtCpu::reset() {
  state_ = {};
  left_ = false;
}

}  // namespace vireo::machine
