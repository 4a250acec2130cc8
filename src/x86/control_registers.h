#pragma once
#include <cstdint>

namespace vireo::x86 {

// SDM vol. 3A, 2.5.
namespace cr0 {
inline constexpr std::uint64_t kPe = 1u << 0, kMp = 1u << 1, kEm = 1u << 2, kTs = 1u << 3,
                               kEt = 1u << 4, kNe = 1u << 5, kWp = 1u << 16, kAm = 1u << 18,
                               kNw = 1u << 29, kCd = 1u << 30, kPg = 1u << 31;
}
namespace cr4 {
inline constexpr std::uint64_t kVme = 1u << 0, kPvi = 1u << 1, kTsd = 1u << 2, kDe = 1u << 3,
                               kPse = 1u << 4, kPae = 1u << 5, kMce = 1u << 6, kPge = 1u << 7,
                               kPce = 1u << 8, kOsfxsr = 1u << 9, kOsxmmexcpt = 1u << 10,
                               kUmip = 1u << 11, kLa57 = 1u << 12, kFsgsbase = 1u << 16,
                               kPcide = 1u << 17, kOsxsave = 1u << 18, kSmep = 1u << 20,
                               kSmap = 1u << 21, kPke = 1u << 22;
}
namespace efer {
inline constexpr std::uint64_t kSce = 1u << 0, kLme = 1u << 8, kLma = 1u << 10, kNxe = 1u << 11;
}
namespace xcr0 {
inline constexpr std::uint64_t kX87 = 1u << 0, kSse = 1u << 1, kAvx = 1u << 2, kPkru = 1u << 9;
}
namespace dr6 {
inline constexpr std::uint64_t kFixed1 = 0xffff0ff0, kBd = 1u << 13, kBs = 1u << 14, kBt = 1u << 15;
}
namespace dr7 {
inline constexpr std::uint64_t kFixed1 = 1u << 10, kGd = 1u << 13;
}

}  // namespace vireo::x86
