#include "engine/translator/access_plan.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "x86/cpu_state.h"

namespace vireo::engine::translator {
namespace {

constexpr std::int64_t kMaxSpan = 256;

/// What a register holds: an unknown number, the same for the same root, and a constant.
struct Value {
  unsigned root = 0;
  std::int64_t offset = 0;
};

/// Addresses with the same key are at a known distance.
struct Key {
  unsigned base = 0, index = 0;  ///< roots; 0: none
  std::uint8_t scale_shift = 0;
  bool relative = false;  ///< to RIP
  std::int64_t page = 0;  ///< of an address without registers
  bool operator==(const Key&) const = default;
};

struct Place {
  Key key;
  std::int64_t position = 0;
};

/// What is known of the registers between two instructions.
class Registers {
 public:
  Registers() { forget_all(); }

  void forget_all() {
    for (Value& each : values_) each = fresh();
  }
  void step(const Step& step);
  std::optional<Place> place(const Step& step) const;

 private:
  Value fresh() { return {next_root_++, 0}; }
  std::optional<Value> copied(const Step& step) const;

  std::array<Value, 16> values_;
  unsigned next_root_ = 1;
};

bool is_gpr64(const x86::Operand& operand) {
  return operand.kind == x86::OperandKind::kGpr && operand.width == 8;
}

/// What the first operand holds afterwards, if it is known from what another held.
std::optional<Value> Registers::copied(const Step& step) const {
  const x86::Insn& insn = step.insn;
  const auto &a = insn.operands[0], &b = insn.operands[1];
  if (!is_gpr64(a)) return {};
  Value value = values_[a.number];
  switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
      if (!is_gpr64(b)) return {};
      return values_[b.number];
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_SUB: {
      if (b.kind != x86::OperandKind::kImmediate) return {};
      const auto amount = static_cast<std::int32_t>(insn.immediate);
      value.offset += insn.mnemonic == ZYDIS_MNEMONIC_ADD ? amount : -std::int64_t{amount};
      return value;
    }
    case ZYDIS_MNEMONIC_INC:
    case ZYDIS_MNEMONIC_DEC:
      value.offset += insn.mnemonic == ZYDIS_MNEMONIC_INC ? 1 : -1;
      return value;
    case ZYDIS_MNEMONIC_LEA: {
      const x86::MemoryOperand& memory = insn.memory;
      if (memory.base >= 16 || memory.index != x86::kNoRegister || insn.address_width != 8)
        return {};
      value = values_[memory.base];
      value.offset += memory.displacement;
      return value;
    }
    default:
      return {};
  }
}

void Registers::step(const Step& step) {
  const std::optional<Value> copy = copied(step);
  const std::uint32_t written = step.insn.effects.gpr_written;
  for (unsigned gpr = 0; gpr < 16; ++gpr)
    if (written >> gpr & 1) values_[gpr] = fresh();
  if (copy) values_[step.insn.operands[0].number] = *copy;
}

std::optional<Place> Registers::place(const Step& step) const {
  const x86::MemoryOperand& memory = step.insn.memory;
  const bool with_index = memory.index != x86::kNoRegister;
  Place result;
  result.position = memory.displacement;
  if (memory.base == x86::kRipBase || (memory.base == x86::kNoRegister && !with_index)) {
    result.key.relative = memory.base == x86::kRipBase;
    if (result.key.relative) result.position += step.offset + step.insn.length;
    result.key.page = result.position >> kPageShift;
    const auto in_page = static_cast<std::uint64_t>(result.position) & kPageMask;
    const bool aligned = (in_page & (step.alignment - 1u)) == 0;
    if (in_page + step.memory_size > kPageSize || !aligned) return {};
    return result;
  }
  if (memory.base != x86::kNoRegister) {
    result.key.base = values_[memory.base].root;
    result.position += values_[memory.base].offset;
  }
  if (with_index) {
    result.key.index = values_[memory.index].root;
    result.key.scale_shift = memory.scale_shift;
    result.position += values_[memory.index].offset * (std::int64_t{1} << memory.scale_shift);
  }
  return result;
}

/// Accesses that share a look, from the first on.
struct Group {
  Key key;
  std::vector<std::size_t> members;  ///< steps
  std::int64_t first = 0;            ///< where the first one is
  std::int64_t low = 0, high = 0;    ///< the span
  bool written = false;
  unsigned branches = 0;  ///< how many were passed before the first
  std::uint16_t alignment = 1;
  std::int64_t aligned_at = 0;  ///< a place that has to be aligned so

  bool takes(const Step& step, const Place& place, unsigned branches_passed);
  void add(const Step& step, const Place& place);
  bool is_constant() const { return key.base == 0 && key.index == 0; }
};

bool congruent(std::int64_t a, std::int64_t b, std::uint16_t alignment) {
  return ((a - b) & (alignment - 1)) == 0;
}

bool Group::takes(const Step& step, const Place& place, unsigned branches_passed) {
  if (place.key != key) return false;
  if (step.memory_written && !written && branches != branches_passed) return false;
  if (is_constant()) return true;
  const auto from = std::min(low, place.position);
  const auto to = std::max(high, place.position + step.memory_size);
  const auto both = std::min(alignment, step.alignment);
  return to - from <= kMaxSpan && congruent(place.position, aligned_at, both);
}

void Group::add(const Step& step, const Place& place) {
  low = std::min(low, place.position);
  high = std::max(high, place.position + step.memory_size);
  written = written || step.memory_written;
  if (step.alignment <= alignment) return;
  alignment = step.alignment;
  aligned_at = place.position;
}

bool has_look(const Step& step, std::span<const std::uint16_t> alone) {
  if (!step.has_memory || step.memory_size == 0 || step.memory_size > 64) return false;
  if (step.insn.memory.segment >= x86::kFs || (step.on_stack && is_copied(step.kind))) return false;
  if (step.kind == Kind::kInterpret || step.kind == Kind::kSystem) return false;
  return std::ranges::find(alone, step.offset) == alone.end();
}

/// The steps learn what part they have.
void hand_out(Superblock& block, const Group& group, std::uint8_t number) {
  for (const std::size_t member : group.members) block.steps[member].look = number;
  Step& first = block.steps[group.members.front()];
  first.looks_for_others = true;
  first.look_written = group.written;
  if (group.is_constant()) {
    first.look_high = static_cast<std::int16_t>(first.memory_size);
    first.look_alignment = first.alignment;
    return;
  }
  const std::int64_t low =
      group.low - ((group.low - group.aligned_at) & (group.alignment - std::int64_t{1}));
  first.look_low = static_cast<std::int16_t>(low - group.first);
  first.look_high = static_cast<std::int16_t>(group.high - group.first);
  first.look_alignment = group.alignment;
}

}  // namespace

void plan_accesses(Superblock& block, std::span<const std::uint16_t> alone) {
  std::vector<Group> groups;
  std::size_t open = 0;  // those before it take no more
  Registers registers;
  unsigned branches = 0;
  bool behind_system = false;  // such as STI: nothing may come in between
  for (std::size_t i = 0; i < block.steps.size(); ++i) {
    const Step& step = block.steps[i];
    if (step.kind == Kind::kInterpret || step.kind == Kind::kSystem) {
      open = groups.size();
      registers.forget_all();
      behind_system = true;
      continue;
    }
    const bool looks = !std::exchange(behind_system, false) && has_look(step, alone);
    const auto place = looks ? registers.place(step) : std::nullopt;
    if (place) {
      Group* group = nullptr;
      for (std::size_t j = groups.size(); j-- > open && group == nullptr;)
        if (groups[j].takes(step, *place, branches)) group = &groups[j];
      if (group == nullptr) {
        group = &groups.emplace_back();
        *group = {place->key, {}, place->position, place->position, place->position, false,
                  branches,   1,  place->position};
      }
      group->members.push_back(i);
      group->add(step, *place);
    }
    if (step.kind == Kind::kBranch) ++branches;
    registers.step(step);
  }
  std::uint8_t number = 0;
  for (const Group& group : groups)
    if (group.members.size() > 1 && number < Superblock::kMaxLooks)
      hand_out(block, group, number++);
}

}  // namespace vireo::engine::translator
