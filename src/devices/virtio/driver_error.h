#pragma once
#include "base/result.h"

namespace vireo::devices::virtio {

/// What a driver did wrong: the guest's mistake, which ends in DEVICE_NEEDS_RESET and never
/// further. `what` is a constant, for those who inspect the device.
struct DriverError {
  const char* what;
};

template <class T = Unit>
using OrDriverError = Result<T, DriverError>;

[[nodiscard]] inline tl::unexpected<DriverError> driver_error(const char* what) {
  return tl::unexpected(DriverError{what});
}

}  // namespace vireo::devices::virtio
