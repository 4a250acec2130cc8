#include "backends/block/request_ranges.h"

#include <utility>
#include <vector>

namespace vireo::backends {
namespace {

bool exclude(const RequestRanges::Range& a, const RequestRanges::Range& b) {
  return (a.alone || b.alone) && a.first <= b.last && b.first <= a.last;
}

}  // namespace

bool RequestRanges::excluded(Token claim) const {
  for (auto earlier = claims_.begin(); earlier != claim; ++earlier)
    if (exclude(earlier->range, claim->range)) return true;
  return false;
}

bool RequestRanges::claim(const Range& range, Token& token, std::function<void()> on_grant) {
  const std::lock_guard lock(mutex_);
  token = claims_.insert(claims_.end(), Claim{range, false, {}});
  token->granted = !excluded(token);
  if (token->granted) return true;
  token->on_grant = std::move(on_grant);
  ++waiting_;
  return false;
}

void RequestRanges::release(Token token) {
  std::vector<std::function<void()>> granted;
  {
    const std::lock_guard lock(mutex_);
    claims_.erase(token);
    if (waiting_ == 0) return;
    for (auto claim = claims_.begin(); claim != claims_.end(); ++claim) {
      if (claim->granted || excluded(claim)) continue;
      claim->granted = true;
      --waiting_;
      granted.push_back(std::move(claim->on_grant));
    }
  }
  for (auto& on_grant : granted) post_(std::move(on_grant));
}

}  // namespace vireo::backends
