#pragma once
#include <cstdint>
#include <functional>
#include <vector>

namespace vireo::backends {

/// Takes the commands out of what is typed: Ctrl-A and a key. Ctrl-A twice, or Ctrl-A and a, is
/// Ctrl-A itself; an unknown key goes on together with its Ctrl-A. A command may be torn apart
/// between two calls.
class EscapeFilter {
 public:
  struct Actions {
    std::function<void()> quit;        ///< x
    std::function<void()> help;        ///< h, ?
    std::function<void()> send_break;  ///< b
  };
  explicit EscapeFilter(Actions actions) : actions_(std::move(actions)) {}

  void filter(std::vector<std::uint8_t>& bytes);

 private:
  Actions actions_;
  bool escaped_ = false;
};

}  // namespace vireo::backends
