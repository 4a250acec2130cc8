// Any driver for the display: registers, memory through its planes, and modes as the input has
// them. Whatever they say, what is drawn stays within memory and has a size that makes sense.
#include <array>
#include <vector>

#include "base/assert.h"
#include "devices/display/vga_planes.h"
#include "devices/display/vga_screen.h"
#include "fuzz/fuzz_input.h"

namespace vireo::test {
namespace {

using devices::VgaState;
namespace vbe = devices::vbe;

constexpr std::size_t kMemory = 0x40000;

template <class Array>
void fill(FuzzInput& input, Array& array) {
  for (auto& each : array) each = input.take<typename Array::value_type>();
}

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vireo;
  using namespace vireo::test;
  FuzzInput input({data, size});
  VgaState state;
  std::vector<std::uint8_t> memory(kMemory);
  fill(input, state.sequencer);
  fill(input, state.graphics);
  fill(input, state.crtc);
  fill(input, state.attribute);
  fill(input, state.vbe);
  state.attribute_index = input.take<std::uint8_t>();
  if (input.take<std::uint8_t>() % 2 == 0) state.vbe[vbe::kEnable] = 0;
  while (!input.rest().empty()) {
    const std::uint32_t offset = input.take<std::uint32_t>() % 0x20000;
    devices::write_vga_window(state, memory, offset, input.take<std::uint8_t>());
    devices::read_vga_window(state, memory, input.take<std::uint32_t>() % 0x20000);
  }
  const devices::Picture picture = devices::draw_screen(state, memory);
  VIREO_ASSERT(picture.rgb.size() == std::size_t{picture.width} * picture.height * 3);
  VIREO_ASSERT(picture.width <= 4096 && picture.height <= 4096);
  static_cast<void>(devices::screen_text(state, memory));
  return 0;
}
