#include "engine/perf_map.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace vireo::engine {

std::string PerfMap::default_path() { return fmt::format("/tmp/perf-{}.map", ::getpid()); }

Result<std::unique_ptr<PerfMap>> PerfMap::create(const std::string& path) {
  // A folder for everybody: a file that somebody else has put there is none of ours.
  ::unlink(path.c_str());
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file)
    return host_error("{} cannot be made: {}", path, std::generic_category().message(errno));
  return std::unique_ptr<PerfMap>(new PerfMap(std::move(file)));
}

void PerfMap::code_made(std::span<const std::uint8_t> code, std::uint64_t rip) {
  const std::string line = fmt::format(
      "{:x} {:x} guest:{:#x}\n", reinterpret_cast<std::uintptr_t>(code.data()), code.size(), rip);
  const std::lock_guard lock(mutex_);
  // A full disk costs names, not the guest.
  static_cast<void>(!::write(file_.get(), line.data(), line.size()));
}

}  // namespace vireo::engine
