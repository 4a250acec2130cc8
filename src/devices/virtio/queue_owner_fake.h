#pragma once
#include <string>

#include "devices/virtio/virtqueue.h"

namespace vireo::devices::virtio {

/// Counts what a queue tells its owner, for tests.
struct RecordingOwner final : QueueOwner {
  void on_interrupt(unsigned) override { ++interrupts; }
  void on_driver_error(const DriverError& what) override { error = what.what; }
  void on_unfinished(unsigned) override { ++unfinished; }
  int interrupts = 0, unfinished = 0;
  std::string error;
};

}  // namespace vireo::devices::virtio
