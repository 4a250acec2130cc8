#include "engine/software/x87_host.h"

#include <array>
#include <cstddef>
#include <cstring>

namespace vireo::engine {
namespace {

constexpr std::size_t kX87Registers = offsetof(x86::FpuState, st);
constexpr std::size_t kX87RegistersSize = sizeof(x86::FpuState::st);
constexpr std::uint32_t kHostMxcsr = 0x1f80;

/// FXSAVE's image. Only its x87 parts matter.
struct alignas(16) Image {
  std::array<std::byte, 512> bytes;
};

}  // namespace

void HostX87::load(x86::CpuState& state) {
  if (owner_) store();
  Image image{};
  std::memcpy(image.bytes.data(), &state.fpu, offsetof(x86::FpuState, opcode));
  std::memcpy(&image.bytes[offsetof(x86::FpuState, mxcsr)], &kHostMxcsr, sizeof kHostMxcsr);
  std::memcpy(&image.bytes[kX87Registers], state.fpu.st.data(), kX87RegistersSize);
  // SAFETY: the image is aligned and its MXCSR is valid. The pointers are zero and not used.
  asm volatile("fxrstor64 %0"
               :
               : "m"(image)
               : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                 "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory");
  set_owner(&state);
}

void HostX87::store() {
  Image image;
  // SAFETY: neither instruction waits for a pending exception of the guest's.
  asm volatile("fxsave64 %0\n\tfninit" : "=m"(image) : : "memory");
  x86::FpuState& fpu = owner_->fpu;
  std::memcpy(&fpu, image.bytes.data(), offsetof(x86::FpuState, reserved0));
  std::memcpy(fpu.st.data(), &image.bytes[kX87Registers], kX87RegistersSize);
  set_owner(nullptr);
}

void HostX87::discard() {
  if (!owner_) return;
  asm volatile("fninit");
  set_owner(nullptr);
}

std::uint64_t HostX87::read_mmx(x86::CpuState& state, unsigned number) {
  ensure_loaded(state);
  std::uint64_t result = 0;
  switch (number & 7) {
    case 0:
      asm volatile("movq %%mm0, %0" : "=m"(result));
      break;
    case 1:
      asm volatile("movq %%mm1, %0" : "=m"(result));
      break;
    case 2:
      asm volatile("movq %%mm2, %0" : "=m"(result));
      break;
    case 3:
      asm volatile("movq %%mm3, %0" : "=m"(result));
      break;
    case 4:
      asm volatile("movq %%mm4, %0" : "=m"(result));
      break;
    case 5:
      asm volatile("movq %%mm5, %0" : "=m"(result));
      break;
    case 6:
      asm volatile("movq %%mm6, %0" : "=m"(result));
      break;
    default:
      asm volatile("movq %%mm7, %0" : "=m"(result));
      break;
  }
  asm volatile("fnstsw %0" : "=m"(state.fpu.status));
  return result;
}

}  // namespace vireo::engine
