#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

/// ACPI machine language, encoded by hand. ACPI 6.4, chapter 20. Each function gives the bytes of
/// one term; terms are put into one another. Names are as in ASL: up to four letters each, with
/// dots between and `\` in front of absolute ones.
namespace vireo::devices::aml {

using Bytes = std::vector<std::uint8_t>;

Bytes join(std::initializer_list<Bytes> parts);

// Names and data.
Bytes path(std::string_view name);
Bytes integer(std::uint64_t value);
Bytes string(std::string_view text);
Bytes buffer(const Bytes& content);
Bytes package(const std::vector<Bytes>& elements);
/// "PNP0A03" as the number that stands for it.
Bytes eisa_id(std::string_view id);

// Objects.
Bytes name(std::string_view name, const Bytes& value);
Bytes scope(std::string_view name, const Bytes& body);
Bytes device(std::string_view name, const Bytes& body);
Bytes method(std::string_view name, unsigned arguments, bool serialized, const Bytes& body);
/// A region of PCI configuration space of the device around it.
Bytes pci_config_region(std::string_view name, std::uint64_t offset, std::uint64_t length);
/// Consecutive fields of one byte each.
Bytes byte_fields(std::string_view region, const std::vector<std::string_view>& names);

// Statements and expressions.
Bytes argument(unsigned index);
Bytes store(const Bytes& source, const Bytes& target);
Bytes bit_and(const Bytes& a, const Bytes& b);
Bytes bit_or(const Bytes& a, const Bytes& b, const Bytes& target);
Bytes if_then(const Bytes& condition, const Bytes& body);
Bytes return_value(const Bytes& value);
Bytes create_dword_field(const Bytes& buffer, std::uint64_t byte_offset, std::string_view name);

// Resources. ACPI 6.4, 6.4. A template is a buffer that ends itself.
Bytes resource_template(std::initializer_list<Bytes> descriptors);
Bytes io_ports(std::uint16_t first, std::uint8_t count);
Bytes irq(unsigned number);
/// Level triggered, active high, shared.
Bytes shared_interrupts(const std::vector<std::uint32_t>& numbers);
Bytes fixed_memory(std::uint32_t base, std::uint32_t size, bool writable);
Bytes bus_numbers(std::uint16_t first, std::uint16_t last);
Bytes io_window(std::uint16_t first, std::uint16_t last);
Bytes memory_window32(std::uint32_t first, std::uint32_t last, bool cacheable);
Bytes memory_window64(std::uint64_t first, std::uint64_t last);

}  // namespace vireo::devices::aml
