#pragma once
#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace vireo::app {

/// As people and programs like it: indented, keys in the order in which they were put in.
using Json = nlohmann::ordered_json;

inline std::string to_text(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}
inline void print_json(const Json& json) { fmt::print("{}", to_text(json)); }

}  // namespace vireo::app
