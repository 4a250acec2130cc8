#pragma once
#include <Zydis/Zydis.h>

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/address.h"
#include "x86/feature.h"

namespace vireo::engine::direct {

/// Finds user-mode instructions in a page of 64-bit code that the host's CPU would execute
/// otherwise than the guest's must: sensitive but not privileged ones (Popek and Goldberg), and
/// those of ISA extensions that the guest's model lacks while the host has them. Those that trap
/// into the host (privileged ones, SYSCALL, INT3, INT 0x80) are not meant; neither are those of
/// extensions that no model has and FeatureSet cannot name.
///
/// Immutable once made; shared by all threads.
class SensitiveCode {
 public:
  struct Rules {
    x86::FeatureSet guest, host;  ///< the model's, and what the host's own CPUID reports
    bool same_xcr0 = true;  ///< guest XCR0 is the host's: the XSAVE family and XGETBV give the same
    bool fsgsbase = true;   ///< CR4.FSGSBASE of the guest
    bool same_tsc = false;  ///< RDTSC gives the guest's user code what it gives ours
  };
  explicit SensitiveCode(const Rules& rules);

  /// What lies before and behind a page where it is executed, as far as it is known. 128 bytes in
  /// front and 15 behind are enough; more are not looked at.
  struct Neighbours {
    std::span<const std::byte> before = {}, after = {};
  };

  /// Whether none is in the page, as far as instructions can be told from its bytes: where they
  /// begin is not known, so that in data among the code either answer is possible. One across two
  /// pages is in that where its opcode begins, behind the prefixes.
  ///
  /// Without what is behind it, an instruction that the page's end cuts off counts if any with the
  /// opcode bytes that are there does: 3 to 4 % of the pages of compiled code end in a lone 0F.
  /// Without what is in front, where the first instruction begins is guessed: those in the first
  /// few bytes may be missed, and another 1 % of pages has one that is none.
  bool clean(std::span<const std::byte, kPageSize> page, const Neighbours& neighbours) const;
  bool clean(std::span<const std::byte, kPageSize> page) const { return clean(page, {}); }

  /// Where in the page those begin that make it unclean, in ascending order: at their prefixes, and
  /// behind each of them, where code may jump to. Empty: there are more than `most`, or one begins
  /// in front of the page.
  std::optional<std::vector<std::size_t>> places(std::span<const std::byte, kPageSize> page,
                                                 const Neighbours& neighbours,
                                                 std::size_t most) const;
  /// The same, but empty too if one of them may as well be data.
  std::optional<std::vector<std::size_t>> sure_places(std::span<const std::byte, kPageSize> page,
                                                      const Neighbours& neighbours,
                                                      std::size_t most) const;

  /// The opcode maps; of VEX, 0F is kVex1 and so on. SDM vol. 2D, appendix A.
  enum Map : std::uint8_t { kOneByte, kTwoByte, k0f38, k0f3a, kVex1, kVex2, kVex3, kMapCount };

 private:
  struct Opcode {
    Map map;
    std::size_t at;  ///< where the opcode byte itself is
  };
  struct Page;

  void learn(Map map);
  std::uint16_t forms(Map map, unsigned opcode) const;
  static Opcode opcode_at(const std::uint8_t* bytes, std::size_t at);
  bool may_be_sensitive(const Page& page, std::size_t at) const;
  bool is_sensitive(const std::uint8_t* bytes) const;
  bool lands_on(Page& page, std::size_t start, std::size_t at) const;
  bool is_instruction(Page& page, std::size_t at) const;
  bool is_among_first(Page& page, std::size_t at) const;
  bool is_surely_instruction(Page& page, std::size_t at) const;
  std::size_t first_byte(Page& page, std::size_t at) const;
  template <class Found>
  void search(Page& page, Found found) const;
  template <class Good>
  std::optional<std::vector<std::size_t>> places_if(Page& page, std::size_t most, Good good) const;
  bool masked(const ZydisDecodedInstruction& insn) const;
  bool sensitive_by_rules(ZydisMnemonic mnemonic) const;

  Rules rules_;
  ZydisDecoder decoder_;
  /// By opcode: in which of 16 forms of ModRM (memory or register, times the reg field) there is a
  /// sensitive instruction under some prefix.
  std::array<std::array<std::uint16_t, 256>, kMapCount> forms_{};
  std::array<bool, kMapCount> any_{};  ///< whether a map has any
  std::bitset<0x10000>
      begins_;  ///< by the first two bytes, the first one lowest: whether one may begin so
};

}  // namespace vireo::engine::direct
