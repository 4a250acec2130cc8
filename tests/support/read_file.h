#pragma once
#include <fstream>
#include <string>

namespace vireo::test {

/// All that is in a file, nothing if there is none. At once: tests are not optimized, and byte
/// after byte would take them longer than what they test.
template <class Bytes = std::string>
Bytes read_file(const std::string& path) {
  Bytes bytes;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return bytes;
  const std::streamoff size = file.tellg();
  bytes.resize(static_cast<std::size_t>(size));
  file.seekg(0).read(reinterpret_cast<char*>(bytes.data()), size);
  return bytes;
}

}  // namespace vireo::test
