#pragma once
#include <time.h>

#include <cstdint>

namespace vireo {

/// What a clock of the host shows; 0 if there is none with that number (any more).
inline std::uint64_t host_ns(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(time.tv_nsec);
}

}  // namespace vireo
