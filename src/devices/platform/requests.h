#pragma once
#include <functional>

namespace vireo::devices {

/// A device asks the machine for something that ends or restarts it. Called on a vCPU thread, in
/// the middle of the guest's access, with no lock of the device held; the machine only takes note.
using ResetRequest = std::function<void()>;
using PowerOffRequest = std::function<void()>;

}  // namespace vireo::devices
