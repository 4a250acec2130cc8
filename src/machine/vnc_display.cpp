#include "machine/vnc_display.h"

#include <utility>

#include "backends/display/keysyms.h"

namespace vireo::machine {

Result<std::unique_ptr<VncDisplay>> VncDisplay::create(std::string_view address,
                                                       const devices::Vga& vga,
                                                       devices::I8042& keyboard) {
  std::unique_ptr<VncDisplay> display(new VncDisplay(vga, keyboard));
  VncDisplay& it = *display;
  backends::VncServer::Callbacks callbacks;
  callbacks.frame = [&it] {
    devices::Picture picture = it.vga_.picture();
    return backends::Frame{picture.width, picture.height, std::move(picture.rgb)};
  };
  callbacks.key = [&it](std::uint32_t keysym, bool pressed) {
    if (const auto code = backends::key_of_keysym(keysym)) it.keyboard_.key(*code, pressed);
  };
  callbacks.pointer = [&it](int x, int y, unsigned buttons) { it.on_pointer(x, y, buttons); };
  it.server_ = TRY(backends::VncServer::create(address, std::move(callbacks)));
  return display;
}

/// A PS/2 mouse tells how far it went; a notch of the wheel is a press of one of two buttons here.
void VncDisplay::on_pointer(int x, int y, unsigned buttons) {
  constexpr unsigned kLeft = 1, kMiddle = 2, kRight = 4, kWheelUp = 8, kWheelDown = 16;
  const unsigned pressed = buttons & ~std::exchange(buttons_, buttons);
  const int wheel = ((pressed & kWheelDown) != 0 ? 1 : 0) - ((pressed & kWheelUp) != 0 ? 1 : 0);
  const auto held = static_cast<std::uint8_t>(((buttons & kLeft) != 0 ? 1 : 0) |
                                              ((buttons & kRight) != 0 ? 2 : 0) |
                                              ((buttons & kMiddle) != 0 ? 4 : 0));
  keyboard_.move_mouse(x - std::exchange(x_, x), y - std::exchange(y_, y), wheel, held);
}

}  // namespace vireo::machine
