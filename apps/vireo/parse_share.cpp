#include "parse_share.h"

namespace vireo::app {

Result<machine::ShareConfig> parse_share(std::string_view text) {
  const std::size_t equals = text.rfind('=');
  if (equals == std::string_view::npos || equals == 0)
    return usage_error("--share needs a folder and a tag: --share HOSTDIR=TAG, not '{}'", text);
  machine::ShareConfig share;
  share.path = text.substr(0, equals);
  std::string_view rest = text.substr(equals + 1);
  const std::size_t comma = rest.find(',');
  share.tag = rest.substr(0, comma);
  if (share.tag.empty()) return usage_error("--share needs a tag: --share {}=TAG", share.path);
  if (comma == std::string_view::npos) return share;
  rest = rest.substr(comma + 1);
  if (rest != "readonly")
    return usage_error("--share does not know '{}'; behind the tag there may be readonly", rest);
  share.read_only = true;
  return share;
}

}  // namespace vireo::app
