#include "backends/display/vnc_server.h"

#include <arpa/inet.h>
#include <rfb/rfb.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

namespace vireo::backends {
namespace {

constexpr unsigned kPixel = 4;

struct Address {
  in_addr_t host = 0;
  std::uint16_t port = 0;
};

Result<Address> parse_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  const std::string host(colon == std::string_view::npos ? "127.0.0.1" : text.substr(0, colon));
  const std::string_view port = colon == std::string_view::npos ? text : text.substr(colon + 1);
  Address address;
  in_addr parsed{};
  const auto [stop, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc() || stop != port.data() + port.size() || address.port == 0 ||
      ::inet_pton(AF_INET, host.c_str(), &parsed) != 1) {
    return usage_error("vnc= takes [HOST:]PORT, such as 127.0.0.1:5900, not '{}'", text);
  }
  address.host = parsed.s_addr;
  return address;
}

}  // namespace

/// What libvncserver keeps, and the pixels that it sends from.
struct VncServer::Screen {
  explicit Screen(Callbacks to) : callbacks(std::move(to)) {}
  ~Screen() {
    if (rfb == nullptr) return;
    ::rfbShutdownServer(rfb, TRUE);
    ::rfbScreenCleanup(rfb);
  }

  static Screen& of(rfbClientPtr client) {
    return *static_cast<Screen*>(client->screen->screenData);
  }
  static void on_key(rfbBool down, rfbKeySym key, rfbClientPtr client) {
    of(client).callbacks.key(key, down != 0);
  }
  static void on_pointer(int buttons, int x, int y, rfbClientPtr client) {
    of(client).callbacks.pointer(x, y, static_cast<unsigned>(buttons));
    ::rfbDefaultPtrAddEvent(buttons, x, y, client);
  }

  Result<> open(const Address& address) {
    constexpr int kBits = 8, kSamples = 3;
    resize(640, 400);
    rfb = ::rfbGetScreen(nullptr, nullptr, width(), height(), kBits, kSamples, kPixel);
    if (rfb == nullptr) return host_error("cannot make a VNC server: there is no memory for it");
    rfb->frameBuffer = pixels.data();
    rfb->screenData = this;
    rfb->desktopName = "vireo";
    rfb->autoPort = FALSE;
    rfb->port = address.port;
    rfb->listenInterface = address.host;
    rfb->ipv6port = 0;
    rfb->alwaysShared = TRUE;
    rfb->kbdAddEvent = on_key;
    rfb->ptrAddEvent = on_pointer;
    rfb->cursor = nullptr;  // the guest draws its own
    ::rfbInitServer(rfb);
    if (rfb->listenSock < 0)
      return host_error("cannot listen for VNC at port {}: it is taken, or not allowed",
                        address.port);
    return {};
  }

  int width() const { return static_cast<int>(columns); }
  int height() const { return static_cast<int>(lines); }
  void resize(unsigned new_columns, unsigned new_lines) {
    columns = new_columns;
    lines = new_lines;
    pixels.assign(std::size_t{columns} * lines * kPixel, 0);
  }

  /// Takes over a picture and tells the clients which lines have changed.
  void show(const Frame& frame) {
    if (frame.width == 0 || frame.height == 0) return;
    if (frame.width != columns || frame.height != lines) {
      std::vector<char> before;
      before.swap(pixels);  // read from until the server knows of the new ones
      resize(frame.width, frame.height);
      ::rfbNewFramebuffer(rfb, pixels.data(), width(), height(), 8, 3, kPixel);
    }
    std::vector<char> line(std::size_t{columns} * kPixel);
    for (unsigned y = 0; y < lines; ++y) {
      const std::uint8_t* from = frame.rgb.data() + std::size_t{y} * columns * 3;
      for (unsigned x = 0; x < columns; ++x) std::memcpy(&line[x * kPixel], from + x * 3, 3);
      char* const to = pixels.data() + y * line.size();
      if (std::equal(line.begin(), line.end(), to)) continue;
      std::ranges::copy(line, to);
      ::rfbMarkRectAsModified(rfb, 0, static_cast<int>(y), width(), static_cast<int>(y) + 1);
    }
  }

  const Callbacks callbacks;
  rfbScreenInfoPtr rfb = nullptr;
  unsigned columns = 0, lines = 0;
  std::vector<char> pixels;
};

VncServer::VncServer(std::unique_ptr<Screen> screen) : screen_(std::move(screen)) {
  thread_ = std::thread([this] { run(); });
}

VncServer::~VncServer() {
  stopping_ = true;
  thread_.join();
}

void VncServer::run() {
  constexpr long kWatchedUs = 40'000, kAloneUs = 200'000;
  while (!stopping_) {
    const bool watched = screen_->rfb->clientHead != nullptr;
    if (watched) screen_->show(screen_->callbacks.frame());
    ::rfbProcessEvents(screen_->rfb, watched ? kWatchedUs : kAloneUs);
  }
}

Result<std::unique_ptr<VncServer>> VncServer::create(std::string_view address,
                                                     Callbacks callbacks) {
  const Address parsed = TRY(parse_address(address));
  ::rfbLogEnable(0);
  auto screen = std::make_unique<Screen>(std::move(callbacks));
  TRY(screen->open(parsed));
  return std::unique_ptr<VncServer>(new VncServer(std::move(screen)));
}

}  // namespace vireo::backends
