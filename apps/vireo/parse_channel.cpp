#include "parse_channel.h"

namespace vireo::app {

Result<machine::ChannelConfig> parse_channel(std::string_view text) {
  constexpr std::size_t kLongestName = 255;
  const std::size_t equals = text.find('=');
  const std::string_view name = text.substr(0, equals);
  if (equals == std::string_view::npos || name.empty() || equals + 1 == text.size())
    return usage_error("--channel needs a name and a place: --channel NAME=unix:PATH, not '{}'",
                       text);
  if (name.size() > kLongestName || name.find('/') != std::string_view::npos)
    return usage_error("the name of a channel has up to {} characters, and no slash", kLongestName);
  return machine::ChannelConfig{std::string(name), std::string(text.substr(equals + 1))};
}

}  // namespace vireo::app
