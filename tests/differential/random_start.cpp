#include "differential/random_start.h"

#include <array>
#include <cstring>

#include "support/silicon.h"

namespace vireo::test {
namespace {

std::uint64_t random_integer(std::mt19937_64& random) {
  static constexpr std::array<std::uint64_t, 12> kEdges{0,
                                                        1,
                                                        2,
                                                        0x7f,
                                                        0x80,
                                                        0xff,
                                                        0x7fff,
                                                        0x8000,
                                                        0x7fffffff,
                                                        0x80000000,
                                                        0x7fffffffffffffff,
                                                        0x8000000000000000};
  switch (random() % 4) {
    case 0:
      return kEdges[random() % kEdges.size()];
    case 1:
      return ~kEdges[random() % kEdges.size()];
    case 2:
      return random() >> (random() % 64);
    default:
      return random();
  }
}

/// Eight bytes that often look like floating-point numbers of one size or another.
std::uint64_t random_vector_word(std::mt19937_64& random) {
  static constexpr std::array<std::uint64_t, 12> kDoubles{0,
                                                          1ull << 63,
                                                          0x3ff0000000000000,
                                                          0xbff0000000000000,
                                                          0x7ff0000000000000,
                                                          0xfff0000000000000,
                                                          0x7ff8000000000000,
                                                          0x7ff4000000000001,
                                                          1,
                                                          0x000fffffffffffff,
                                                          0x7fefffffffffffff,
                                                          0x4008000000000000};
  static constexpr std::array<std::uint32_t, 10> kFloats{
      0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f800000,
      0x7fc00000, 0x7fa00001, 1,          0x7f7fffff, 0x40490fdb};
  switch (random() % 4) {
    case 0:
      return kDoubles[random() % kDoubles.size()];
    case 1:
      return kFloats[random() % kFloats.size()] | std::uint64_t{kFloats[random() % kFloats.size()]}
                                                      << 32;
    case 2:
      return random_integer(random);
    default:
      return random();
  }
}

void random_fpu(std::mt19937_64& random, x86::FpuState& fpu) {
  for (auto& lane : fpu.xmm)
    for (auto& word : lane) word = random_vector_word(random);
  for (auto& lane : fpu.ymm_high)
    for (auto& word : lane) word = random_vector_word(random);
  for (auto& st : fpu.st) {
    const bool odd = random() % 4 == 0;
    st[0] = random_vector_word(random) | (odd ? 0 : 1ull << 63);
    st[1] = (odd ? random() : 0x3ff0 + random() % 32) & 0xffff;
    if (random() % 2 == 0) st[1] ^= 0x8000;
  }
  fpu.tag = static_cast<std::uint8_t>(random() % 3 == 0 ? random() : 0xff);
  fpu.status = static_cast<std::uint16_t>((random() & 7) << 11 | (random() & 0x4700));
  if (random() % 4 == 0) fpu.control = static_cast<std::uint16_t>(0x7f | (random() & 0xf00));
  if (random() % 4 == 0) fpu.mxcsr = static_cast<std::uint32_t>(0x1f80 | (random() & 0xe07f));
  if (random() % 32 == 0)
    fpu.mxcsr =
        static_cast<std::uint32_t>((random() & 0xffc0) | (random() & 0x3f) * (random() & 1));
  // A pending unmasked SIMD flag does not fault by itself; a pending x87 one does and is rare.
  if (random() % 64 == 0) fpu.control = static_cast<std::uint16_t>(0x340 | (random() & 0x3f));
}

}  // namespace

Start random_start(Mode mode, const x86::CpuState& base, std::mt19937_64& random,
                   std::uint64_t address) {
  Start start{base, {}, {}};
  x86::CpuState& state = start.state;
  const bool wide = code_width(mode) == 8;
  for (unsigned i = 0; i < (wide ? 16u : 8u); ++i)
    state.gpr[i] = random_integer(random) & (wide ? ~0ull : 0xffffffffull);
  state.gpr[x86::kRsp] = kActiveStack + 0x1000;
  state.rip = address;
  state.rflags = 0x202 | (random() & x86::rflags::kArithmetic);
  if (random() % 16 == 0) state.rflags |= x86::rflags::kDf;
  if (random() % 64 == 0) state.rflags |= random() & (x86::rflags::kNt | x86::rflags::kId);
  // Whose alignment is checked depends on the vendor.
  if (random() % 64 == 0 && intel_silicon()) state.rflags |= x86::rflags::kAc;
  random_fpu(random, state.fpu);
  const auto fill = [&](std::vector<std::uint8_t>& bytes, std::uint64_t size) {
    bytes.resize(size);
    for (std::size_t i = 0; i < size; i += 8) {
      const std::uint64_t word = random_vector_word(random);
      std::memcpy(&bytes[i], &word, 8);
    }
  };
  fill(start.data, kActiveDataSize);
  fill(start.stack, kActiveStackSize);
  return start;
}

}  // namespace vireo::test
