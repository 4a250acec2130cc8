#pragma once
#include <system_error>

#include "base/result.h"

namespace vireo::backends {

/// What a step of a request comes to: a value, or the error that the guest's disk reports.
template <class T = Unit>
using Outcome = Result<T, std::error_code>;

[[nodiscard]] inline Outcome<> outcome(std::error_code error) {
  if (error) return tl::unexpected(error);
  return Unit{};
}
[[nodiscard]] inline tl::unexpected<std::error_code> failure(std::errc error) {
  return tl::unexpected(std::make_error_code(error));
}
/// The image contradicts itself.
[[nodiscard]] inline tl::unexpected<std::error_code> damaged() {
  return failure(std::errc::io_error);
}

}  // namespace vireo::backends
