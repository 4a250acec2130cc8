#include "devices/firmware/aml.h"

#include <span>
#include <string>

#include "base/assert.h"

namespace vireo::devices::aml {
namespace {

constexpr std::uint8_t kExtended = 0x5b;

Bytes little_endian(std::uint64_t value, unsigned size) {
  Bytes bytes;
  for (unsigned i = 0; i < size; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  return bytes;
}
Bytes word(std::uint64_t value) { return little_endian(value, 2); }
Bytes dword(std::uint64_t value) { return little_endian(value, 4); }

/// A length in one to four bytes: two bits of the first say how many follow.
Bytes encoded_length(std::size_t value) {
  if (value < 0x40) return {static_cast<std::uint8_t>(value)};
  unsigned following = 1;
  while (value >> (4 + 8 * following)) ++following;
  VIREO_ASSERT(following <= 3);
  Bytes bytes{static_cast<std::uint8_t>(following << 6 | (value & 0x0f))};
  for (unsigned i = 0; i < following; ++i)
    bytes.push_back(static_cast<std::uint8_t>(value >> (4 + 8 * i)));
  return bytes;
}

/// The length counts itself.
Bytes with_length(const Bytes& body) {
  std::size_t size = body.size() + 1;
  while (encoded_length(size).size() + body.size() != size)
    size = encoded_length(size).size() + body.size();
  return join({encoded_length(size), body});
}

Bytes segment(std::string_view text) {
  VIREO_ASSERT(!text.empty() && text.size() <= 4);
  Bytes bytes(text.begin(), text.end());
  bytes.resize(4, '_');
  return bytes;
}

/// An address space descriptor: type 0 memory, 1 I/O, 2 bus numbers, in fields of `size` bytes.
Bytes address_space(std::uint8_t tag, unsigned size, std::uint8_t type, std::uint8_t type_flags,
                    std::uint64_t first, std::uint64_t last) {
  constexpr std::uint8_t kFixedProducer = 0x0c;
  return join({{tag},
               word(3 + 5 * size),
               {type, kFixedProducer, type_flags},
               little_endian(0, size),  // granularity
               little_endian(first, size),
               little_endian(last, size),
               little_endian(0, size),
               little_endian(last - first + 1, size)});
}

}  // namespace

Bytes join(std::initializer_list<Bytes> parts) {
  Bytes result;
  for (const Bytes& part : parts) result.insert(result.end(), part.begin(), part.end());
  return result;
}

Bytes path(std::string_view name) {
  Bytes prefix;
  while (name.starts_with('\\') || name.starts_with('^')) {
    prefix.push_back(static_cast<std::uint8_t>(name[0]));
    name.remove_prefix(1);
  }
  Bytes segments;
  std::uint8_t count = 0;
  for (; !name.empty(); ++count) {
    const auto end = std::min(name.find('.'), name.size());
    segments = join({segments, segment(name.substr(0, end))});
    name.remove_prefix(std::min(end + 1, name.size()));
  }
  if (count == 0) return join({prefix, {0x00}});
  if (count == 1) return join({prefix, segments});
  return join({prefix, count == 2 ? Bytes{0x2e} : Bytes{0x2f, count}, segments});
}

Bytes integer(std::uint64_t value) {
  if (value <= 1) return {static_cast<std::uint8_t>(value)};
  if (value <= 0xff) return {0x0a, static_cast<std::uint8_t>(value)};
  if (value <= 0xffff) return join({{0x0b}, word(value)});
  if (value <= 0xffffffff) return join({{0x0c}, dword(value)});
  return join({{0x0e}, little_endian(value, 8)});
}

Bytes string(std::string_view text) {
  return join({{0x0d}, Bytes(text.begin(), text.end()), {0x00}});
}

Bytes buffer(const Bytes& content) {
  return join({{0x11}, with_length(join({integer(content.size()), content}))});
}

Bytes package(const std::vector<Bytes>& elements) {
  VIREO_ASSERT(elements.size() <= 255);
  Bytes body{static_cast<std::uint8_t>(elements.size())};
  for (const Bytes& element : elements) body = join({body, element});
  return join({{0x12}, with_length(body)});
}

Bytes eisa_id(std::string_view id) {
  VIREO_ASSERT(id.size() == 7);
  unsigned letters = 0;
  for (const char c : id.substr(0, 3)) letters = letters << 5 | (static_cast<unsigned>(c) - 0x40);
  const auto product = static_cast<unsigned>(std::stoul(std::string(id.substr(3)), nullptr, 16));
  return {0x0c, static_cast<std::uint8_t>(letters >> 8), static_cast<std::uint8_t>(letters),
          static_cast<std::uint8_t>(product >> 8), static_cast<std::uint8_t>(product)};
}

Bytes name(std::string_view name, const Bytes& value) { return join({{0x08}, path(name), value}); }

Bytes scope(std::string_view name, const Bytes& body) {
  return join({{0x10}, with_length(join({path(name), body}))});
}

Bytes device(std::string_view name, const Bytes& body) {
  return join({{kExtended, 0x82}, with_length(join({path(name), body}))});
}

Bytes method(std::string_view name, unsigned arguments, bool serialized, const Bytes& body) {
  const auto flags = static_cast<std::uint8_t>((arguments & 7) | (serialized ? 8 : 0));
  return join({{0x14}, with_length(join({path(name), {flags}, body}))});
}

Bytes pci_config_region(std::string_view name, std::uint64_t offset, std::uint64_t length) {
  return join({{kExtended, 0x80}, path(name), {0x02}, integer(offset), integer(length)});
}

Bytes byte_fields(std::string_view region, const std::vector<std::string_view>& names) {
  constexpr std::uint8_t kByteAccess = 0x01;
  Bytes body = join({path(region), {kByteAccess}});
  for (const auto field : names) body = join({body, segment(field), encoded_length(8)});
  return join({{kExtended, 0x81}, with_length(body)});
}

Bytes argument(unsigned index) {
  VIREO_ASSERT(index < 7);
  return {static_cast<std::uint8_t>(0x68 + index)};
}
Bytes store(const Bytes& source, const Bytes& target) { return join({{0x70}, source, target}); }
Bytes bit_and(const Bytes& a, const Bytes& b) { return join({{0x7b}, a, b, {0x00}}); }
Bytes bit_or(const Bytes& a, const Bytes& b, const Bytes& target) {
  return join({{0x7d}, a, b, target});
}
Bytes if_then(const Bytes& condition, const Bytes& body) {
  return join({{0xa0}, with_length(join({condition, body}))});
}
Bytes return_value(const Bytes& value) { return join({{0xa4}, value}); }
Bytes create_dword_field(const Bytes& buffer, std::uint64_t byte_offset, std::string_view name) {
  return join({{0x8a}, buffer, integer(byte_offset), path(name)});
}

Bytes resource_template(std::initializer_list<Bytes> descriptors) {
  return buffer(join({join(descriptors), {0x79, 0x00}}));
}

Bytes io_ports(std::uint16_t first, std::uint8_t count) {
  return join({{0x47, 0x01}, word(first), word(first), {0x01, count}});
}

Bytes irq(unsigned number) { return join({{0x22}, word(std::uint64_t{1} << number)}); }

Bytes shared_interrupts(const std::vector<std::uint32_t>& numbers) {
  constexpr std::uint8_t kConsumerLevelHighShared = 0x09;
  Bytes body{kConsumerLevelHighShared, static_cast<std::uint8_t>(numbers.size())};
  for (const std::uint32_t number : numbers) body = join({body, dword(number)});
  return join({{0x89}, word(body.size()), body});
}

Bytes fixed_memory(std::uint32_t base, std::uint32_t size, bool writable) {
  return join({{0x86, 0x09, 0x00, static_cast<std::uint8_t>(writable)}, dword(base), dword(size)});
}

Bytes bus_numbers(std::uint16_t first, std::uint16_t last) {
  return address_space(0x88, 2, 2, 0x00, first, last);
}
Bytes io_window(std::uint16_t first, std::uint16_t last) {
  constexpr std::uint8_t kEntireRange = 0x03;
  return address_space(0x88, 2, 1, kEntireRange, first, last);
}
Bytes memory_window32(std::uint32_t first, std::uint32_t last, bool cacheable) {
  return address_space(0x87, 4, 0, cacheable ? 0x03 : 0x01, first, last);
}
Bytes memory_window64(std::uint64_t first, std::uint64_t last) {
  return address_space(0x8a, 8, 0, 0x03, first, last);
}

}  // namespace vireo::devices::aml
