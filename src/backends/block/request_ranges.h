#pragma once
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>

namespace vireo::backends {

/// Who may use which part of a disk: many at a time, or one alone. First come, first served among
/// those that exclude each other. From any thread.
class RequestRanges {
 public:
  struct Range {
    std::uint64_t first = 0;
    std::uint64_t last = 0;  ///< included
    bool alone = false;
  };

 private:
  struct Claim {
    Range range;
    bool granted;
    std::function<void()> on_grant;
  };

 public:
  using Token = std::list<Claim>::iterator;
  using Post = std::function<void(std::function<void()>)>;

  /// `post` runs what had to wait, elsewhere.
  explicit RequestRanges(Post post) : post_(std::move(post)) {}

  /// `token` is written before anything else happens. True: granted at once, and `on_grant` is not
  /// called; else it is posted when the range is free.
  bool claim(const Range& range, Token& token, std::function<void()> on_grant);
  void release(Token token);

 private:
  bool excluded(Token claim) const;

  const Post post_;
  std::mutex mutex_;                 ///< guards all below
  mutable std::list<Claim> claims_;  ///< in the order they came
  std::size_t waiting_ = 0;
};

}  // namespace vireo::backends
