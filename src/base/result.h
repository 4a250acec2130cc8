#pragma once
#include <fmt/format.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace vireo {

/// Who is at fault for a host-side failure; it decides the exit status of the program.
enum class Blame : std::uint8_t {
  kUsage,  ///< the request makes no sense; exit status 2
  kHost,   ///< this host cannot do it; exit status 3
};

/// A host-side failure, worded for the person who will read it: one sentence that says what was
/// wrong and what to do.
struct Error {
  std::string message;
  Blame blame = Blame::kHost;
};

struct Unit {};

/// A value, or the reason there is none.
template <class T = Unit, class E = Error>
using Result = tl::expected<T, E>;

template <class... Args>
[[nodiscard]] tl::unexpected<Error> host_error(fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected(Error{fmt::format(format, std::forward<Args>(args)...), Blame::kHost});
}

template <class... Args>
[[nodiscard]] tl::unexpected<Error> usage_error(fmt::format_string<Args...> format,
                                                Args&&... args) {
  return tl::unexpected(Error{fmt::format(format, std::forward<Args>(args)...), Blame::kUsage});
}

/// The value of `expression`, or return its error from the enclosing function.
#define TRY(expression)                                                       \
  ({                                                                          \
    auto try_result_ = (expression);                                          \
    if (!try_result_) [[unlikely]]                                            \
      return ::tl::unexpected(std::move(try_result_).error());                \
    std::move(*try_result_);                                                  \
  })

}  // namespace vireo
