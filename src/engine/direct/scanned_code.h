#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/direct/sensitive_code.h"
#include "engine/software/pending_events.h"
#include "memory/guest_memory.h"

namespace vireo::engine::direct {

/// Which pages of guest memory hold code that may run natively, as long as nobody writes to them:
/// they are watched. Belongs to one vCPU; writes come from any thread.
class ScannedCode final : public memory::PageListener {
 public:
  /// `events` hears of writes to such pages. All outlive it.
  ScannedCode(memory::GuestMemory& memory, PendingEvents& events);
  ~ScannedCode() override;

  /// Another question is asked from now on: nothing is known.
  void set_rules(const SensitiveCode::Rules& rules);
  /// Whether the page may be executed; from now on it cannot be written to directly. False too if
  /// there is no memory. What is not clean while a neighbour is not known may be so later.
  bool clean(PhysAddr page, const SensitiveCode::Neighbours& neighbours);
  /// Where in a page that was found not to be clean, and has not been written to since, the reasons
  /// are (SensitiveCode::places). Empty as there, or if it is not known to be one.
  std::optional<std::vector<std::size_t>> places(PhysAddr page,
                                                 const SensitiveCode::Neighbours& neighbours,
                                                 std::size_t most);
  /// The same, SensitiveCode::sure_places.
  std::optional<std::vector<std::size_t>> sure_places(PhysAddr page,
                                                      const SensitiveCode::Neighbours& neighbours,
                                                      std::size_t most);
  /// Pages that have been written to since they were said to be clean, or not to be: nothing is
  /// known of them any more.
  std::vector<PhysAddr> take_written();
  /// Before they are taken: they are written directly from now on, as far as this is concerned.
  /// Cheap if there are none.
  void unwatch_written();

  // memory::PageListener
  bool on_watch(PhysAddr) override { return false; }
  void on_watched_write(PhysAddr address, std::size_t size) override;
  bool on_move() override { return false; }

 private:
  void unwatch(std::span<const PhysAddr> pages);
  template <class Look>
  std::optional<std::vector<std::size_t>> look_at(PhysAddr page, Look look);

  memory::GuestMemory& memory_;
  PendingEvents& events_;
  SensitiveCode::Rules rules_;
  std::optional<SensitiveCode> code_;  ///< made when it is needed: that takes a while
  std::mutex mutex_;                   // guards what follows; a leaf
  std::unordered_map<std::uint64_t, std::optional<bool>> known_;  ///< by page number
  std::vector<PhysAddr> written_;
  std::atomic<std::size_t> watched_ = 0;  ///< the last of `written_` that still are
};

}  // namespace vireo::engine::direct
