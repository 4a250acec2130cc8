#include "machine/boot/bios_environment.h"

#include <array>
#include <span>
#include <utility>

namespace vireo::machine {
namespace {

constexpr std::uint16_t kSegment = 0xf000;
constexpr unsigned kMasterVectors = 0x08, kSlaveVectors = 0x70, kLinesPerChip = 8;

// Where handlers begin in the segment. The first and the last are where the PC AT has them.
constexpr std::uint16_t kTimer = 0xfea5, kMasterIrq = 0xfee0, kSlaveIrq = 0xfef0, kReturn = 0xff53;

constexpr auto kTimerCode = std::to_array<std::uint8_t>({
    0x50,                                          // push ax
    0x1e,                                          // push ds
    0x31, 0xc0,                                    // xor ax, ax
    0x8e, 0xd8,                                    // mov ds, ax
    0x83, 0x06, kBiosTicks & 0xff,       0x04, 1,  // add word [kBiosTicks], 1
    0x83, 0x16, (kBiosTicks & 0xff) + 2, 4,    0,  // adc word [kBiosTicks + 2], 0
    0xcd, 0x1c,                                    // int 1ch
    0xb0, 0x20,                                    // mov al, 20h: end of interrupt
    0xe6, 0x20,                                    // out 20h, al
    0x1f,                                          // pop ds
    0x58,                                          // pop ax
    0xcf,                                          // iret
});
static_assert(kBiosTicks >> 8 == 4 && (kBiosTicks & 0xff) < 0xfe);

constexpr auto kMasterIrqCode = std::to_array<std::uint8_t>({
    0x50,        // push ax
    0xb0, 0x20,  // mov al, 20h
    0xe6, 0x20,  // out 20h, al
    0x58,        // pop ax
    0xcf,        // iret
});

constexpr auto kSlaveIrqCode = std::to_array<std::uint8_t>({
    0x50,        // push ax
    0xb0, 0x20,  // mov al, 20h
    0xe6, 0xa0,  // out 0a0h, al
    0xe6, 0x20,  // out 20h, al
    0x58,        // pop ax
    0xcf,        // iret
});

constexpr auto kReturnCode = std::to_array<std::uint8_t>({0xcf});  // iret

static_assert(kTimer + kTimerCode.size() <= kMasterIrq);
static_assert(kMasterIrq + kMasterIrqCode.size() <= kSlaveIrq);
static_assert(kSlaveIrq + kSlaveIrqCode.size() <= kReturn);

std::uint16_t handler_of(unsigned vector) {
  if (vector == kMasterVectors) return kTimer;
  if (vector - kMasterVectors < kLinesPerChip) return kMasterIrq;
  if (vector - kSlaveVectors < kLinesPerChip) return kSlaveIrq;
  return kReturn;
}

void put_handlers(memory::GuestMemory& memory) {
  const auto put = [&](std::uint16_t offset, std::span<const std::uint8_t> code) {
    memory.write(PhysAddr{(std::uint64_t{kSegment} << 4) + offset}, std::as_bytes(code));
  };
  put(kTimer, kTimerCode);
  put(kMasterIrq, kMasterIrqCode);
  put(kSlaveIrq, kSlaveIrqCode);
  put(kReturn, kReturnCode);
}

// Both 8259As: edge triggered, cascaded at input 2, each with a manual end of interrupt; the timer
// and the cascade unmasked. Intel 8259A data sheet, "Initialization Command Words". And channel 0
// of the 8254 in mode 3 with its longest period.
constexpr auto kDeviceSetUp = std::to_array<std::pair<std::uint16_t, std::uint8_t>>({
    {0x20, 0x11},            // ICW1: four words follow
    {0xa0, 0x11},            //
    {0x21, kMasterVectors},  // ICW2
    {0xa1, kSlaveVectors},   //
    {0x21, 0x04},            // ICW3: the slave is at input 2
    {0xa1, 0x02},            // ICW3: its identity
    {0x21, 0x01},            // ICW4: 8086 mode
    {0xa1, 0x01},            //
    {0x21, 0xfa},            // OCW1
    {0xa1, 0xff},            //
    {0x43, 0x36},            // channel 0, low then high byte, mode 3, binary
    {0x40, 0x00},            //
    {0x40, 0x00},            //
});

}  // namespace

void put_bios_environment(memory::GuestMemory& memory, const PortWrite& port_write) {
  put_handlers(memory);
  std::array<std::uint16_t, 512> vectors{};  // offset and segment of each
  for (unsigned vector = 0; vector < 256; ++vector) {
    vectors.at(vector * 2) = handler_of(vector);
    vectors.at(vector * 2 + 1) = kSegment;
  }
  memory.write(PhysAddr{0}, std::as_bytes(std::span(vectors)));
  memory.write_value(PhysAddr{kBiosTicks}, std::uint32_t{0});
  for (const auto& [port, value] : kDeviceSetUp) port_write(port, value);
}

}  // namespace vireo::machine
