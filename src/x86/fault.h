#pragma once
#include <cstdint>

#include "base/result.h"

namespace vireo::x86 {

/// Exception vectors. SDM vol. 3A, table 6-1.
enum class Vector : std::uint8_t {
  kDE = 0,
  kDB = 1,
  kNMI = 2,
  kBP = 3,
  kOF = 4,
  kBR = 5,
  kUD = 6,
  kNM = 7,
  kDF = 8,
  kTS = 10,
  kNP = 11,
  kSS = 12,
  kGP = 13,
  kPF = 14,
  kMF = 16,
  kAC = 17,
  kMC = 18,
  kXM = 19,
};

/// An exception for the guest: #PF, #GP, ... Ordinary control flow, hence a value.
struct Fault {
  Vector vector;
  std::uint32_t error_code = 0;  ///< pushed only for the vectors that have one
  std::uint64_t address = 0;     ///< CR2, for a page fault
  std::uint64_t dr6 = 0;         ///< bits to set in DR6, for #DB

  bool operator==(const Fault&) const = default;
};

template <class T = Unit>
using OrFault = Result<T, Fault>;

/// Whether the vector pushes an error code. SDM vol. 3A, table 6-1.
constexpr bool has_error_code(Vector vector) {
  switch (vector) {
    case Vector::kDF:
    case Vector::kTS:
    case Vector::kNP:
    case Vector::kSS:
    case Vector::kGP:
    case Vector::kPF:
    case Vector::kAC:
      return true;
    default:
      return false;
  }
}

/// `return fault(Vector::kGP, 0);` from any function that returns OrFault.
constexpr tl::unexpected<Fault> fault(Vector vector, std::uint32_t error_code = 0) {
  return tl::unexpected(Fault{vector, error_code});
}
constexpr tl::unexpected<Fault> general_protection(std::uint32_t error_code = 0) {
  return fault(Vector::kGP, error_code);
}
constexpr tl::unexpected<Fault> undefined_opcode() { return fault(Vector::kUD); }

}  // namespace vireo::x86
