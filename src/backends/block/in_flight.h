#pragma once
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>

namespace vireo::backends {

/// Counts the requests under way, and waits for those that began before a moment.
class InFlight {
 public:
  using Era = std::uint64_t;

  /// What end() must be called with.
  Era begin();
  void end(Era era);
  /// Until every begin() before has had its end().
  void drain();

 private:
  std::mutex mutex_;  ///< guards all below
  std::condition_variable changed_;
  Era now_ = 0;
  std::map<Era, std::uint64_t> running_;
};

}  // namespace vireo::backends
