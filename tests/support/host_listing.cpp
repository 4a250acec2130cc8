#include "support/host_listing.h"

#include <Zydis/Zydis.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <utility>

#include "engine/translator/system_offsets.h"

namespace vireo::test {
namespace {

using engine::Tlb;
using engine::TlbEntry;
using engine::TlbIndex;
using engine::translator::Translation;
using engine::translator::TranslatorCpu;
namespace at = engine::translator::at;

constexpr std::array<std::string_view, 16> kGprs{"rax", "rcx", "rdx", "rbx", "rsp", "rbp",
                                                 "rsi", "rdi", "r8",  "r9",  "r10", "r11",
                                                 "r12", "r13", "r14", "r15"};
constexpr std::array<std::string_view, 6> kSegments{"es", "cs", "ss", "ds", "fs", "gs"};

struct Named {
  std::size_t offset;
  std::string_view name;
};
constexpr std::array kFields{Named{at::kRflags, "rflags"},
                             Named{at::kFlags, "flags"},
                             Named{at::kEvents, "events"},
                             Named{at::kHostRsp, "host_rsp"},
                             Named{at::kRsp, "rsp_in_host_form"},
                             Named{at::kStackDelta, "stack_delta"},
                             Named{at::kNegativeDelta, "negative_delta"},
                             Named{at::kWindow, "stack_window"},
                             Named{at::kCodeBase, "code_base"},
                             Named{at::kResume, "resume"},
                             Named{at::kMissAddress, "miss_address"},
                             Named{at::kTarget, "target"},
                             Named{at::kBranchSite, "branch_site"},
                             Named{at::kScratch, "scratch"},
                             Named{at::kExit, "exit"},
                             Named{at::kSelf, "self"},
                             Named{at::kVectorsLoaded, "vectors_loaded"},
                             Named{at::kVectorsWanted, "vectors_wanted"},
                             Named{at::kX87Loaded, "x87_loaded"},
                             Named{at::kX87Instruction, "fip"},
                             Named{at::kX87Operand, "fdp"},
                             Named{at::kMxcsr, "mxcsr"},
                             Named{at::kCr0, "cr0"},
                             Named{at::kCr2, "cr2"},
                             Named{at::kCr3, "cr3"},
                             Named{at::kCr4, "cr4"},
                             Named{at::kPkru, "pkru"},
                             Named{at::segment(x86::kEs), "es"},
                             Named{at::segment(x86::kFs), "fs"},
                             Named{at::kKernelGsBase, "kernel_gs_base"},
                             Named{at::kTscAux, "tsc_aux"},
                             Named{at::kTscOffset, "tsc_offset"},
                             Named{at::kTscDirect, "tsc_direct"},
                             Named{at::kTscBias, "tsc_bias"},
                             Named{at::kInterruptHint, "interrupt_hint"},
                             Named{at::kCurrentTlb, "current_tlb"},
                             Named{at::kTlbPointer, "tlb_pointer"}};

std::string name_of_tlb(std::size_t offset) {
  static constexpr std::array<std::string_view, 4> kWho{"supervisor", "smap_suspended", "user",
                                                        "alignment_checked"};
  const std::size_t in_tlb = offset % sizeof(Tlb), entry = in_tlb / sizeof(TlbEntry);
  const std::size_t member = in_tlb % sizeof(TlbEntry);
  const std::string place = entry == 0 ? "" : fmt::format("[{:#x}]", entry);
  const std::string_view name = member == offsetof(TlbEntry, read_tag)    ? "read_tag"
                                : member == offsetof(TlbEntry, write_tag) ? "write_tag"
                                : member == offsetof(TlbEntry, delta)     ? "delta"
                                                                          : "physical";
  return fmt::format("tlb.{}{}.{}", kWho[offset / sizeof(Tlb)], place, name);
}

std::string name_of_branch(std::string_view table, std::size_t offset) {
  const bool user = offset >= at::branch_half(true);
  const std::size_t index = (offset % at::branch_half(true)) / 8;
  return fmt::format("{}.{}{}", table, user ? "user" : "supervisor",
                     index == 0 ? "" : fmt::format("[{:#x}]", index));
}

bool within(std::size_t offset, std::size_t begin, std::size_t size) {
  return offset - begin < size;  // offsets of what lies before the origin wrap around
}

/// One decoded instruction, and where it leads or points to.
struct Line {
  ZydisDecodedInstruction instruction;
  std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands;
  const std::uint8_t* address = nullptr;
  const std::uint8_t* target = nullptr;  ///< of a branch or an address relative to RIP; or null
};

const std::uint8_t* target_of(const Line& line) {
  for (std::size_t i = 0; i < line.instruction.operand_count; ++i) {
    const ZydisDecodedOperand& operand = line.operands[i];
    const std::uint8_t* next = line.address + line.instruction.length;
    if (operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && operand.imm.is_relative)
      return next + operand.imm.value.s;
    if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY && operand.mem.base == ZYDIS_REGISTER_RIP)
      return next + operand.mem.disp.value;
  }
  return nullptr;
}

std::vector<Line> decode_all(std::span<const std::uint8_t> code,
                             x86::CodeSize size = x86::CodeSize::k64) {
  static constexpr std::array kModes{std::pair(ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16),
                                     std::pair(ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32),
                                     std::pair(ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)};
  const auto& [mode, stack] = kModes[static_cast<std::size_t>(size)];
  ZydisDecoder decoder;
  ZydisDecoderInit(&decoder, mode, stack);
  std::vector<Line> lines;
  for (std::size_t at = 0; at < code.size();) {
    Line line;
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code.data() + at, code.size() - at,
                                             &line.instruction, line.operands.data())))
      break;
    line.address = code.data() + at;
    line.target = target_of(line);
    at += line.instruction.length;
    lines.push_back(line);
  }
  return lines;
}

/// The instruction's text, addresses relative to RIP as numbers.
std::string text_of(const Line& line, std::uint64_t address) {
  ZydisFormatter formatter;
  ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
  ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_FORCE_SIZE, ZYAN_TRUE);
  std::array<char, 160> text{};
  ZydisFormatterFormatInstruction(&formatter, &line.instruction, line.operands.data(),
                                  line.instruction.operand_count_visible, text.data(), text.size(),
                                  address, nullptr);
  return text.data();
}

/// The memory operand behind GS as a name and the registers that are added to it.
void name_gs_operand(const Line& line, std::string& text) {
  const std::size_t begin = text.find("gs:[");
  if (begin == std::string::npos) return;
  for (std::size_t i = 0; i < line.instruction.operand_count; ++i) {
    const ZydisDecodedOperand& operand = line.operands[i];
    if (operand.type != ZYDIS_OPERAND_TYPE_MEMORY || operand.mem.segment != ZYDIS_REGISTER_GS)
      continue;
    std::string name = "gs:[" + name_of_field(operand.mem.disp.value);
    if (operand.mem.base != ZYDIS_REGISTER_NONE)
      name += fmt::format(" + {}", ZydisRegisterGetString(operand.mem.base));
    if (operand.mem.index != ZYDIS_REGISTER_NONE)
      name += fmt::format(" + {}*{}", ZydisRegisterGetString(operand.mem.index),
                          static_cast<unsigned>(operand.mem.scale));
    text.replace(begin, text.find(']', begin) - begin, name);
    return;
  }
}

void name_target(const Line& line, std::string_view name, std::string& text) {
  if (line.instruction.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE &&
      line.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
    text.replace(text.rfind(' ') + 1, std::string::npos, name);
    return;
  }
  const std::size_t begin = text.find("[0x");
  if (begin != std::string::npos) text.replace(begin + 1, text.find(']', begin) - begin - 1, name);
}

using PlaceNames = std::map<const std::uint8_t*, std::string>;

PlaceNames name_places(const std::vector<Line>& lines, const std::vector<HostPlace>& places) {
  PlaceNames names;
  for (const HostPlace& place : places) names.try_emplace(place.address, place.name);
  std::vector<const std::uint8_t*> targets;
  for (const Line& line : lines)
    if (line.target != nullptr && !names.contains(line.target)) targets.push_back(line.target);
  std::sort(targets.begin(), targets.end());
  targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
  for (std::size_t i = 0; i < targets.size(); ++i) names[targets[i]] = fmt::format("L{}", i + 1);
  return names;
}

}  // namespace

std::string name_of_field(std::int64_t offset) {
  const auto place = static_cast<std::size_t>(offset);
  for (const Named& field : kFields)
    if (field.offset == place) return std::string(field.name);
  if (within(place, at::kGpr, 16 * 8))
    return fmt::format("state.{}", kGprs[(place - at::kGpr) / 8]);
  for (unsigned i = 0; i < kSegments.size(); ++i) {
    if (place == at::segment_base(i)) return fmt::format("state.{}.base", kSegments[i]);
    if (place == at::segment(i) + offsetof(x86::Segment, limit))
      return fmt::format("state.{}.limit", kSegments[i]);
  }
  for (unsigned i = 0; i < 16; ++i) {
    if (place == at::xmm(i)) return fmt::format("state.xmm{}", i);
    if (place == at::ymm_high(i)) return fmt::format("state.ymm{}.high", i);
  }
  if (within(place, at::kLooks, 8 * engine::translator::Superblock::kMaxLooks))
    return fmt::format("look{}", (place - at::kLooks) / 8);
  if (within(place, at::kTlbs, 4 * sizeof(Tlb))) return name_of_tlb(place - at::kTlbs);
  constexpr std::size_t kTable = 2 * TranslatorCpu::kBranchEntries * 8;
  if (within(place, at::kBranchCode, kTable))
    return name_of_branch("branch_code", place - at::kBranchCode);
  if (within(place, at::kBranchCodeSaved, kTable))
    return name_of_branch("branch_code_saved", place - at::kBranchCodeSaved);
  if (within(place, at::kPageHome, 2 * TranslatorCpu::kHomes * 8))
    return fmt::format("page_home{}", place == at::page_home(true, 0) ? ".nobody" : "");
  if (within(place, at::kSegmentSlots, sizeof(engine::translator::SegmentSlots))) {
    using Slot = engine::translator::SegmentSlots::Slot;
    const std::size_t in_slots = place - at::kSegmentSlots;
    const bool linear = in_slots % sizeof(Slot) == offsetof(Slot, linear);
    return fmt::format("segment_slot[{}].{}", in_slots / sizeof(Slot), linear ? "linear" : "host");
  }
  return fmt::format("cpu+{:#x}", place + at::kOrigin);
}

std::vector<HostPlace> places_of(const engine::translator::Glue& glue) {
  return {{glue.miss, "glue.miss"},
          {glue.miss_saved, "glue.miss_saved"},
          {glue.call, "glue.call"},
          {glue.call_saved, "glue.call_saved"},
          {glue.window, "glue.window"},
          {glue.syscall, "glue.syscall"},
          {glue.syscall_saved, "glue.syscall_saved"},
          {glue.sysret, "glue.sysret"},
          {glue.sysret_saved, "glue.sysret_saved"},
          {glue.exit, "glue.exit"},
          {glue.indirect, "glue.indirect"},
          {glue.indirect_saved, "glue.indirect_saved"},
          {glue.load_vectors, "glue.load_vectors"}};
}

std::vector<HostPlace> places_of(const Translation& translation) {
  return {{translation.entry, "entry"},
          {translation.entry_polling, "entry_polling"},
          {translation.entry_indirect, "entry_indirect"},
          {translation.entry_indirect_saved, "entry_indirect_saved"}};
}

std::vector<std::string> list_host_code(const std::vector<std::span<const std::uint8_t>>& parts,
                                        const std::vector<HostPlace>& places) {
  std::vector<Line> lines;
  for (const auto& part : parts) std::ranges::move(decode_all(part), std::back_inserter(lines));
  const PlaceNames names = name_places(lines, places);
  std::vector<std::string> result;
  bool padding = false;
  for (const Line& line : lines) {
    if (const auto label = names.find(line.address); label != names.end())
      result.push_back(label->second + ":");
    std::string text = text_of(line, 0);
    // Its length depends on what stands before it.
    const bool filler = line.instruction.mnemonic == ZYDIS_MNEMONIC_NOP;
    if (filler && padding) continue;
    padding = filler;
    if (filler) text = "(alignment)";
    name_gs_operand(line, text);
    if (line.target != nullptr) name_target(line, names.at(line.target), text);
    result.push_back("  " + text);
  }
  return result;
}

std::vector<std::string> list_translation(const Translation& translation,
                                          const engine::translator::Glue& glue) {
  std::vector<HostPlace> places = places_of(glue);
  const auto entries = places_of(translation);
  places.insert(places.end(), entries.begin(), entries.end());
  return list_host_code({translation.often(), translation.seldom}, places);
}

std::vector<std::string> list_guest_code(std::span<const std::uint8_t> code, std::uint64_t rip,
                                         bool addresses, x86::CodeSize size) {
  std::vector<std::string> result;
  for (const Line& line : decode_all(code, size)) {
    const std::uint64_t address = rip + static_cast<std::uint64_t>(line.address - code.data());
    const std::string text = text_of(line, address);
    result.push_back(addresses ? fmt::format("{:#x}  {}", address, text) : text);
  }
  return result;
}

}  // namespace vireo::test
