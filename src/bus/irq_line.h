#pragma once

namespace vireo::bus {

/// An input of an interrupt controller. The device says what the level is, always; whether that is
/// level or edge triggered is the controller's business. Callable from any thread; the receiver
/// takes its own lock and never calls back into the caller.
class IrqLine {
 public:
  virtual ~IrqLine() = default;
  virtual void set_level(bool high) = 0;
};

}  // namespace vireo::bus
