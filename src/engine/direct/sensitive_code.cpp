#include "engine/direct/sensitive_code.h"

#include <algorithm>
#include <cstring>

#include "engine/direct/insn_length.h"
#include "x86/cpuid/isa_feature.h"

namespace vireo::engine::direct {
namespace {

constexpr std::size_t kMaxInsnLength = 15;
constexpr std::uint8_t kEscape = 0x0f, kVexTwoBytes = 0xc5, kVexThreeBytes = 0xc4;
constexpr std::uint8_t kMandatoryPrefixes[] = {0x00, 0x66, 0xf3, 0xf2};  // in the order of VEX.pp

/// How far in front of a candidate chains of instructions begin: x86 code is in step with itself
/// after a few of them, wherever one begins. Not so zeros, which are instructions of two bytes:
/// half of these are odd.
constexpr std::size_t kLeads[] = {64, 83, 102, 127};
/// Of the chains, how many must agree.
constexpr unsigned kQuorum = 2;
/// With fewer bytes than this in front there may be too few instructions for that.
constexpr std::size_t kUnsettled = 16;

constexpr unsigned form_of(std::uint8_t modrm) {
  return (modrm >= 0xc0 ? 8u : 0u) + ((modrm >> 3) & 7u);
}

constexpr std::uint16_t kAllForms = 0xffff;

/// What silicon answers from the host's state, or does, at any privilege.
bool always_sensitive(const ZydisDecodedInstruction& insn) {
  switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_CPUID:
    case ZYDIS_MNEMONIC_RDTSCP:
    case ZYDIS_MNEMONIC_RDPID:
    case ZYDIS_MNEMONIC_RDPRU:
    case ZYDIS_MNEMONIC_RDPKRU:
    case ZYDIS_MNEMONIC_WRPKRU:
    case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT:
    case ZYDIS_MNEMONIC_SLDT:
    case ZYDIS_MNEMONIC_STR:
    case ZYDIS_MNEMONIC_SMSW:
    case ZYDIS_MNEMONIC_LAR:
    case ZYDIS_MNEMONIC_LSL:
    case ZYDIS_MNEMONIC_VERR:
    case ZYDIS_MNEMONIC_VERW:
    case ZYDIS_MNEMONIC_VMCALL:
    case ZYDIS_MNEMONIC_VMMCALL:
    case ZYDIS_MNEMONIC_VMFUNC:
    case ZYDIS_MNEMONIC_INT1:      // of which some hypervisors below us lose the length
    case ZYDIS_MNEMONIC_SYSENTER:  // enters the host, which does not learn where from
    case ZYDIS_MNEMONIC_LSS:
    case ZYDIS_MNEMONIC_LFS:
    case ZYDIS_MNEMONIC_LGS:
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
      return true;
    case ZYDIS_MNEMONIC_INT:  // the gates and their privilege levels are the host's
      return insn.raw.imm[0].value.u != 0x80;
    case ZYDIS_MNEMONIC_JMP:
    case ZYDIS_MNEMONIC_CALL:
    case ZYDIS_MNEMONIC_RET:
      return insn.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
    default:
      return false;
  }
}

/// MOV from and to segment registers, PUSH and POP of them.
bool names_segment_register(const ZydisDecodedInstruction& insn) {
  if (insn.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY) return false;
  if (insn.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT)
    return insn.opcode == 0x8c || insn.opcode == 0x8e;
  if (insn.opcode_map != ZYDIS_OPCODE_MAP_0F) return false;
  return insn.opcode == 0xa0 || insn.opcode == 0xa1 || insn.opcode == 0xa8 || insn.opcode == 0xa9;
}

/// How many encodings of an opcode there are to try.
constexpr unsigned variants(SensitiveCode::Map map) {
  return map == SensitiveCode::kOneByte ? 1 : map < SensitiveCode::kVex1 ? 4 : 16;
}

/// An instruction with this opcode, under one of the mandatory prefixes or, with VEX, one of the
/// values of pp, L and W.
std::array<std::uint8_t, kMaxInsnLength> encode(SensitiveCode::Map map, unsigned variant,
                                                unsigned opcode, unsigned modrm) {
  std::array<std::uint8_t, kMaxInsnLength> bytes{};
  std::size_t at = 0;
  const auto put = [&](unsigned byte) { bytes[at++] = static_cast<std::uint8_t>(byte); };
  if (map >= SensitiveCode::kVex1) {
    put(kVexThreeBytes);
    put(0xe1u + (map - SensitiveCode::kVex1));
    put((variant & 8) << 4 | 0x78 | (variant & 7));
  } else {
    if (variant != 0) put(kMandatoryPrefixes[variant]);
    if (map != SensitiveCode::kOneByte) put(kEscape);
    if (map == SensitiveCode::k0f38) put(0x38);
    if (map == SensitiveCode::k0f3a) put(0x3a);
  }
  put(opcode);
  put(modrm);
  put(0x08);  // SIB with an index register that is no operand besides: VSIB wants it
  return bytes;
}

}  // namespace

/// A page's bytes and those around it, zeros where they are not known, and the lengths of those of
/// its instructions that were asked for.
struct SensitiveCode::Page {
  Page(std::span<const std::byte, kPageSize> page, const Neighbours& neighbours)
      : begin(kFirst - std::min(neighbours.before.size(), kFirst)),
        end(kLast + std::min(neighbours.after.size(), kInsnLookahead)) {
    std::fill(bytes.begin() + kLast, bytes.end(), std::uint8_t{0});
    copy(neighbours.before.last(kFirst - begin), begin);
    copy(page, kFirst);
    copy(neighbours.after.first(end - kLast), kLast);
  }
  void copy(std::span<const std::byte> from, std::size_t at) {
    if (!from.empty()) std::memcpy(&bytes[at], from.data(), from.size());
  }
  std::size_t length(std::size_t at) {
    if (lengths[at] == 0) lengths[at] = static_cast<std::uint8_t>(insn_length(&bytes[at]));
    return lengths[at];
  }

  static constexpr std::size_t kFirst = 128, kLast = kFirst + kPageSize;  ///< of the page itself
  std::size_t begin, end;                                                 ///< of what is known
  std::array<std::uint8_t, kLast + kInsnLookahead> bytes;
  std::array<std::uint8_t, kLast> lengths{};
};

SensitiveCode::SensitiveCode(const Rules& rules) : rules_(rules) {
  ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  learn(kOneByte);
  learn(kTwoByte);
  // Only extensions are in the others.
  if ((rules.guest & rules.host) != rules.host)
    for (const Map map : {k0f38, k0f3a, kVex1, kVex2, kVex3}) learn(map);
  for (unsigned first = 0; first < 256; ++first)
    for (unsigned second = 0; second < 256; ++second) {
      // Of more bytes than two, any may follow.
      const std::array<std::uint8_t, 4> bytes = {static_cast<std::uint8_t>(first),
                                                 static_cast<std::uint8_t>(second), 0, 0};
      const Opcode opcode = opcode_at(bytes.data(), 0);
      begins_[first | second << 8] = opcode.at == 0
                                         ? forms_[kOneByte][first] >> form_of(bytes[1]) & 1
                                     : opcode.at == 1 ? forms_[kTwoByte][second] != 0
                                                      : any_[opcode.map];
    }
}

void SensitiveCode::learn(Map map) {
  for (unsigned opcode = 0; opcode < 256; ++opcode) {
    forms_[map][opcode] = forms(map, opcode);
    any_[map] |= forms_[map][opcode] != 0;
  }
}

/// Tries the opcode under every prefix that may make an instruction of its own of it.
std::uint16_t SensitiveCode::forms(Map map, unsigned opcode) const {
  if (map == kOneByte && (opcode == kEscape || is_insn_prefix(static_cast<std::uint8_t>(opcode))))
    return 0;
  if (map == kTwoByte && (opcode == 0x38 || opcode == 0x3a)) return 0;
  // Register forms of 0F 01 are told apart by all of ModRM, others by its reg field at most; in the
  // later maps, where all of an opcode's instructions come with one extension, 2 is always there.
  const bool later = map > kTwoByte;
  const unsigned step = map == kTwoByte && opcode == 0x01 ? 1 : 8;
  unsigned found = 0;
  for (unsigned variant = 0; variant < variants(map); ++variant)
    for (unsigned modrm = later ? 0x14 : 4; modrm < 0x100; ++modrm) {
      const bool memory = modrm < 0xc0;
      if (memory ? (modrm & 0xc7) != 4 : modrm % step != 0) continue;
      if (later && (modrm & 0x38) != 0x10) continue;
      if (!is_sensitive(encode(map, variant, opcode, modrm).data())) continue;
      if (later) return kAllForms;
      found |= 1u << form_of(static_cast<std::uint8_t>(modrm));
    }
  return static_cast<std::uint16_t>(found);
}

SensitiveCode::Opcode SensitiveCode::opcode_at(const std::uint8_t* bytes, std::size_t at) {
  switch (bytes[at]) {
    case kEscape:
      if (bytes[at + 1] == 0x38) return {k0f38, at + 2};
      if (bytes[at + 1] == 0x3a) return {k0f3a, at + 2};
      return {kTwoByte, at + 1};
    case kVexTwoBytes:
      return {kVex1, at + 2};
    case kVexThreeBytes: {
      const unsigned map = bytes[at + 1] & 0x1f;
      return {map == 1 ? kVex1 : map == 2 ? kVex2 : kVex3, at + 3};
    }
    default:
      return {kOneByte, at};
  }
}

/// Whether a sensitive instruction's opcode may begin there, as far as it is known.
bool SensitiveCode::may_be_sensitive(const Page& page, std::size_t at) const {
  const Opcode opcode = opcode_at(page.bytes.data(), at);
  if (opcode.at >= page.end) return any_[opcode.map];
  const std::uint16_t forms = forms_[opcode.map][page.bytes[opcode.at]];
  if (opcode.at + 1 >= page.end) return forms != 0;
  return (forms >> form_of(page.bytes[opcode.at + 1])) & 1;
}

bool SensitiveCode::masked(const ZydisDecodedInstruction& insn) const {
  const x86::IsaRule rule = x86::isa_rule(insn.meta.isa_set, insn.mnemonic);
  const bool guest = rule.exists(rules_.guest, true), host = rule.exists(rules_.host, true);
  // Where the prefix is ignored without the extension, the one executes what the other does not.
  return rule.kind == x86::IsaRule::Kind::kLegacy ? guest != host : host && !guest;
}

bool SensitiveCode::sensitive_by_rules(ZydisMnemonic mnemonic) const {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_XGETBV:
    case ZYDIS_MNEMONIC_XSAVE:
    case ZYDIS_MNEMONIC_XSAVE64:
    case ZYDIS_MNEMONIC_XSAVEC:
    case ZYDIS_MNEMONIC_XSAVEC64:
    case ZYDIS_MNEMONIC_XSAVEOPT:
    case ZYDIS_MNEMONIC_XSAVEOPT64:
    case ZYDIS_MNEMONIC_XRSTOR:
    case ZYDIS_MNEMONIC_XRSTOR64:
      return !rules_.same_xcr0;
    case ZYDIS_MNEMONIC_RDFSBASE:
    case ZYDIS_MNEMONIC_RDGSBASE:
    case ZYDIS_MNEMONIC_WRFSBASE:
    case ZYDIS_MNEMONIC_WRGSBASE:
      return !rules_.fsgsbase;
    case ZYDIS_MNEMONIC_RDTSC:
      return !rules_.same_tsc;
    default:
      return false;
  }
}

bool SensitiveCode::is_sensitive(const std::uint8_t* bytes) const {
  ZydisDecodedInstruction insn;
  if (!ZYAN_SUCCESS(
          ZydisDecoderDecodeInstruction(&decoder_, nullptr, bytes, kMaxInsnLength, &insn)))
    return false;
  return always_sensitive(insn) || names_segment_register(insn) ||
         sensitive_by_rules(insn.mnemonic) || masked(insn);
}

/// Whether the chain of instructions from `start` has a sensitive one whose opcode begins at `at`.
bool SensitiveCode::lands_on(Page& page, std::size_t start, std::size_t at) const {
  while (start + page.length(start) <= at) start += page.length(start);
  for (std::size_t prefix = start; prefix < at; ++prefix)
    if (!is_insn_prefix(page.bytes[prefix])) return false;
  const Opcode opcode = opcode_at(page.bytes.data(), at);
  // Cut off before what tells it apart: may_be_sensitive() has said yes.
  if (opcode.at + 1 >= page.end && start + page.length(start) > page.end) return true;
  return is_sensitive(&page.bytes[start]);
}

bool SensitiveCode::is_instruction(Page& page, std::size_t at) const {
  if (at - page.begin < kUnsettled) return is_among_first(page, at);
  unsigned votes = 0, against = 0;
  for (std::size_t chain = 0; chain < std::size(kLeads); ++chain) {
    const bool room = at - page.begin >= kLeads[chain];
    const bool lands = lands_on(page, room ? at - kLeads[chain] : page.begin + chain, at);
    ++(lands ? votes : against);
    if (votes == kQuorum) return true;
    if (against == kQuorum && room) return false;
  }
  return false;
}

/// For candidates before which there are but few bytes. Where there is nothing in front of the
/// page, code begins with it. Elsewhere the first byte is as good as any to begin with for opcodes
/// that are rare among other bytes; those of one byte are not, so that most chains must agree.
bool SensitiveCode::is_among_first(Page& page, std::size_t at) const {
  const bool rare = opcode_at(page.bytes.data(), at).map != kOneByte;
  const bool first = page.begin == Page::kFirst;
  if ((rare || first) && lands_on(page, page.begin, at)) return true;
  const std::size_t chains = std::min<std::size_t>(at - page.begin, 8);
  std::size_t votes = 0;
  for (std::size_t chain = 0; chain < chains; ++chain)
    if (lands_on(page, page.begin + chain, at)) ++votes;
  return votes >= kQuorum && (rare || 2 * votes > chains);
}

/// All chains agree, on two bytes that are rare among others.
bool SensitiveCode::is_surely_instruction(Page& page, std::size_t at) const {
  if (opcode_at(page.bytes.data(), at).map != kTwoByte) return false;
  return std::ranges::all_of(kLeads, [&](std::size_t lead) {
    return at - page.begin >= lead && lands_on(page, at - lead, at);
  });
}

/// Where the instruction begins whose opcode is there: at its prefixes, as far as a chain says that
/// they are.
std::size_t SensitiveCode::first_byte(Page& page, std::size_t at) const {
  std::size_t first = at;
  for (const std::size_t lead : kLeads) {
    std::size_t start = at - page.begin >= lead ? at - lead : page.begin;
    while (start + page.length(start) <= at) start += page.length(start);
    if (lands_on(page, start, at)) first = std::min(first, start);
  }
  return first;
}

/// Tells `found` of the opcode of each, until it wants no more.
template <class Found>
void SensitiveCode::search(Page& page, Found found) const {
  const auto is_one = [&](std::size_t at) {
    return may_be_sensitive(page, at) && is_instruction(page, at);
  };
  for (std::size_t at = Page::kFirst; at < Page::kLast; ++at) {
    std::uint16_t pair;
    std::memcpy(&pair, &page.bytes[at], sizeof pair);
    if (begins_[pair] && is_one(at) && !found(at)) return;
  }
  const bool last_is_alone = page.end == Page::kLast;
  if (last_is_alone && is_one(Page::kLast - 1)) found(Page::kLast - 1);
}

bool SensitiveCode::clean(std::span<const std::byte, kPageSize> bytes,
                          const Neighbours& neighbours) const {
  Page page(bytes, neighbours);
  bool any = false;
  search(page, [&](std::size_t) { return !(any = true); });
  return !any;
}

/// Empty too if one of them is not good.
template <class Good>
std::optional<std::vector<std::size_t>> SensitiveCode::places_if(Page& page, std::size_t most,
                                                                 Good good) const {
  std::vector<std::size_t> result;
  bool refused = false;
  search(page, [&](std::size_t at) {
    std::size_t place = first_byte(page, at);
    refused |= place < Page::kFirst || !good(at);
    if (refused) return false;
    for (; place <= at; ++place)
      if (result.empty() || result.back() < place - Page::kFirst)
        result.push_back(place - Page::kFirst);
    return result.size() <= most;
  });
  if (refused || result.size() > most) return {};
  return result;
}

std::optional<std::vector<std::size_t>> SensitiveCode::places(
    std::span<const std::byte, kPageSize> bytes, const Neighbours& neighbours,
    std::size_t most) const {
  Page page(bytes, neighbours);
  return places_if(page, most, [](std::size_t) { return true; });
}

std::optional<std::vector<std::size_t>> SensitiveCode::sure_places(
    std::span<const std::byte, kPageSize> bytes, const Neighbours& neighbours,
    std::size_t most) const {
  Page page(bytes, neighbours);
  return places_if(page, most, [&](std::size_t at) { return is_surely_instruction(page, at); });
}

}  // namespace vireo::engine::direct
