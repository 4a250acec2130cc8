#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/translator/glue.h"
#include "engine/translator/translation.h"

namespace vireo::test {

/// What a displacement from GS names in the translator's CPU: "state.r10", "tlb.user.read_tag", ...
std::string name_of_field(std::int64_t offset);

/// A place in host code that has a name.
struct HostPlace {
  const std::uint8_t* address;
  std::string name;
};

/// The places that generated code jumps to outside of itself.
std::vector<HostPlace> places_of(const engine::translator::Glue& glue);
/// The entries of a translation.
std::vector<HostPlace> places_of(const engine::translator::Translation& translation);

/// Host code, a line per instruction, with names for fields of the CPU and labels for places, so
/// that the listing does not depend on addresses. `places` may lie outside of the parts.
std::vector<std::string> list_host_code(const std::vector<std::span<const std::uint8_t>>& parts,
                                        const std::vector<HostPlace>& places);
/// All code of a translation, what runs seldom included.
std::vector<std::string> list_translation(const engine::translator::Translation& translation,
                                          const engine::translator::Glue& glue);

/// Guest code, a line per instruction; with addresses if asked.
std::vector<std::string> list_guest_code(std::span<const std::uint8_t> code, std::uint64_t rip,
                                         bool addresses, x86::CodeSize size = x86::CodeSize::k64);

}  // namespace vireo::test
