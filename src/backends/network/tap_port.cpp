#include "backends/network/tap_port.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>
#include <utility>

#include "backends/network/frame_port.h"

namespace vireo::backends {
namespace {

std::string reason() { return std::generic_category().message(errno); }

class TapPort final : public FramePort {
 public:
  TapPort(std::string name, UniqueFd fd, WakeEvent wake, bool headers)
      : FramePort(std::move(fd), std::move(wake), headers), name_(std::move(name)) {}
  ~TapPort() override { stop(); }
  std::string name() const override { return "tap " + name_; }

 private:
  const std::string name_;
};

Result<UniqueFd> open_by_name(const std::string& name) {
  ifreq request{};
  if (name.empty() || name.size() >= sizeof(request.ifr_name))
    return usage_error("a tap has a name of 1 to {} letters, not '{}'",
                       sizeof(request.ifr_name) - 1, name);
  if (::if_nametoindex(name.c_str()) == 0)
    return host_error(
        "there is no network interface '{0}'; make it with: ip tuntap add dev {0} mode tap user "
        "$USER",
        name);
  UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return host_error("cannot open /dev/net/tun: {}", reason());
  std::memcpy(request.ifr_name, name.data(), name.size());
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(fd.get(), TUNSETIFF, &request) == 0) return fd;
  if (errno == EBUSY) return host_error("the tap '{}' is in use by another program", name);
  if (errno == EINVAL) return host_error("the network interface '{}' is no tap", name);
  return host_error("cannot use the tap '{}': {}; it must belong to you", name, reason());
}

Result<UniqueFd> take_over(const std::string& text) {
  int number = -1;
  const char* const end = text.data() + text.size();
  if (const auto [stop, error] = std::from_chars(text.data(), end, number);
      error != std::errc() || stop != end || number < 0)
    return usage_error("a tap is a name or fd:NUMBER, not 'fd:{}'", text);
  if (::fcntl(number, F_GETFD) < 0)
    return usage_error("there is no file descriptor {} for a tap", number);
  ifreq request{};
  if (::ioctl(number, TUNGETIFF, &request) != 0 || (request.ifr_flags & IFF_TAP) == 0 ||
      (request.ifr_flags & IFF_NO_PI) == 0)
    return usage_error("file descriptor {} is no tap without packet information", number);
  ::fcntl(number, F_SETFD, FD_CLOEXEC);
  ::fcntl(number, F_SETFL, ::fcntl(number, F_GETFL) | O_NONBLOCK);
  return UniqueFd(number);
}

}  // namespace

Result<std::unique_ptr<NetworkBackend>> open_tap(const std::string& name) {
  constexpr std::string_view kDescriptor = "fd:";
  UniqueFd fd = name.starts_with(kDescriptor) ? TRY(take_over(name.substr(kDescriptor.size())))
                                              : TRY(open_by_name(name));
  ifreq request{};
  ::ioctl(fd.get(), TUNGETIFF, &request);
  const bool headers = (request.ifr_flags & IFF_VNET_HDR) != 0;
  if (headers) {
    const int size = sizeof(FrameHeader);
    if (::ioctl(fd.get(), TUNSETVNETHDRSZ, &size) != 0)
      return host_error("the tap '{}' has no headers as of virtio 1.0: {}", name, reason());
    // Without it frames come finished, which is slower and nothing else.
    ::ioctl(fd.get(), TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN);
  }
  return std::make_unique<TapPort>(name, std::move(fd), TRY(WakeEvent::create()), headers);
}

}  // namespace vireo::backends
