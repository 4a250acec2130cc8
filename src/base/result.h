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

/// The value of `expression`, or return its error from the enclosing function. May be nested.
#define TRY(expression) VIREO_TRY_NUMBERED(expression, __COUNTER__)
#define VIREO_TRY_NUMBERED(expression, number) VIREO_TRY_PASTED(expression, number)
#define VIREO_TRY_PASTED(expression, number) VIREO_TRY_NAMED(expression, try_result_##number)
#define VIREO_TRY_NAMED(expression, name)               \
  ({                                                    \
    auto name = (expression);                           \
    if (!name) [[unlikely]]                             \
      return ::tl::unexpected(std::move(name).error()); \
    std::move(*name);                                   \
  })

}  // namespace vireo
