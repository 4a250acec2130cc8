#pragma once
#include <memory>
#include <string_view>

#include "backends/display/vnc_server.h"
#include "base/result.h"
#include "devices/display/vga.h"
#include "devices/input/i8042.h"

namespace vireo::machine {

/// The screen, the keyboard and the mouse of a machine for whoever connects to a VNC server. The
/// devices outlive it. `address` as backends::VncServer takes it.
class VncDisplay {
 public:
  static Result<std::unique_ptr<VncDisplay>> create(std::string_view address,
                                                    const devices::Vga& vga,
                                                    devices::I8042& keyboard);

 private:
  VncDisplay(const devices::Vga& vga, devices::I8042& keyboard) : vga_(vga), keyboard_(keyboard) {}
  void on_pointer(int x, int y, unsigned buttons);

  const devices::Vga& vga_;
  devices::I8042& keyboard_;
  // The server's thread only.
  int x_ = 0, y_ = 0;
  unsigned buttons_ = 0;
  std::unique_ptr<backends::VncServer> server_;  // ends first
};

}  // namespace vireo::machine
