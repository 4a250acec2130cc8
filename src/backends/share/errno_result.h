#pragma once
#include "base/result.h"

namespace vireo::backends {

/// What a system call answered: an error number of Linux.
struct Errno {
  int number;
};

/// A value, or the error that a guest is told.
template <class T = Unit>
using OrErrno = Result<T, Errno>;

[[nodiscard]] inline tl::unexpected<Errno> failed_with(int number) {
  return tl::unexpected(Errno{number});
}

}  // namespace vireo::backends
