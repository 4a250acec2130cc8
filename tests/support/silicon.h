#pragma once
#include "x86/cpuid/host_features.h"

namespace vireo::test {

/// Whether the silicon below us is Intel's. Where the manuals leave a result open, or those of two
/// vendors differ, engines do as Intel's does, or as the host does: other silicon cannot judge it.
inline bool intel_silicon() {
  static const bool result = x86::host_vendor() == x86::Vendor::kIntel;
  return result;
}

}  // namespace vireo::test
