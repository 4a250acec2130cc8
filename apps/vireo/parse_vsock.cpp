#include "parse_vsock.h"

#include <charconv>

namespace vireo::app {
namespace {

constexpr std::string_view kCid = "cid=", kFolder = "dir=";

/// 0 to 2 are the hypervisor's, the guest's itself and the host's; all ones is anybody.
Result<std::uint32_t> parse_cid(std::string_view text) {
  std::uint32_t cid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), cid);
  if (error != std::errc() || end != text.data() + text.size() || cid < 3 || cid == 0xffffffff)
    return usage_error("the cid of --vsock is a number from 3 to 4294967294, not '{}'", text);
  return cid;
}

}  // namespace

Result<machine::VsockConfig> parse_vsock(std::string_view text) {
  machine::VsockConfig vsock;
  std::string_view rest = text;
  if (rest.starts_with(kCid)) {
    const std::size_t comma = rest.find(',');
    vsock.cid = TRY(parse_cid(rest.substr(kCid.size(), comma - kCid.size())));
    rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
  } else if (const std::size_t at = rest.rfind(",cid="); at != std::string_view::npos) {
    vsock.cid = TRY(parse_cid(rest.substr(at + 1 + kCid.size())));
    rest = rest.substr(0, at);
  }
  if (!rest.starts_with(kFolder) || rest.size() == kFolder.size())
    return usage_error("--vsock needs a folder: --vsock [cid=N,]dir=PATH, not '{}'", text);
  vsock.folder = rest.substr(kFolder.size());
  return vsock;
}

}  // namespace vireo::app
