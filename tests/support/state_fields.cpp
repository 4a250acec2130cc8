#include "support/state_fields.h"

#include <fmt/format.h>

#include <charconv>
#include <concepts>

namespace vireo::test {
namespace {

/// Walks the field list to one path and reads or writes what is there.
class Finder {
 public:
  Finder(std::string_view path, std::uint64_t value, bool write)
      : path_(path), value_(value), write_(write) {}

  template <std::unsigned_integral T>
  void operator()(std::string_view name, T& field) {
    if (path_ != name) return;
    found_ = true;
    if (write_)
      field = static_cast<T>(value_);
    else
      value_ = field;
  }
  template <class T, std::size_t N>
  void operator()(std::string_view name, std::array<T, N>& fields) {
    const std::string_view whole = path_;
    if (!descend(name)) return;
    const std::string_view rest = path_;
    for (std::size_t i = 0; i < N; ++i) {
      path_ = rest;
      (*this)(fmt::format("{}", i), fields[i]);
    }
    path_ = whole;
  }
  template <class T>
  requires requires(T& component, Finder& finder) { T::fields(component, finder); }
  void operator()(std::string_view name, T& component) {
    const std::string_view whole = path_;
    if (!descend(name)) return;
    T::fields(component, *this);
    path_ = whole;
  }

  bool found() const { return found_; }
  std::uint64_t number() const { return value_; }

 private:
  bool descend(std::string_view name) {
    if (!path_.starts_with(name) || path_.size() <= name.size() || path_[name.size()] != '.')
      return false;
    path_.remove_prefix(name.size() + 1);
    return true;
  }

  std::string_view path_;
  std::uint64_t value_;
  bool write_;
  bool found_ = false;
};

struct Bits {
  std::string_view name;
  std::uint64_t mask;
};
constexpr std::array<Bits, 18> kFlags{{
    {"cf", x86::rflags::kCf},
    {"pf", x86::rflags::kPf},
    {"af", x86::rflags::kAf},
    {"zf", x86::rflags::kZf},
    {"sf", x86::rflags::kSf},
    {"tf", x86::rflags::kTf},
    {"if", x86::rflags::kIf},
    {"df", x86::rflags::kDf},
    {"of", x86::rflags::kOf},
    {"iopl", x86::rflags::kIopl},
    {"nt", x86::rflags::kNt},
    {"rf", x86::rflags::kRf},
    {"vm", x86::rflags::kVm},
    {"ac", x86::rflags::kAc},
    {"vif", x86::rflags::kVif},
    {"vip", x86::rflags::kVip},
    {"id", x86::rflags::kId},
    {"flags", x86::rflags::kArithmetic},
}};
constexpr std::array<std::string_view, 16> kGprs{"rax", "rcx", "rdx", "rbx", "rsp", "rbp",
                                                 "rsi", "rdi", "r8",  "r9",  "r10", "r11",
                                                 "r12", "r13", "r14", "r15"};
constexpr std::array<std::string_view, 6> kSegments{"es", "cs", "ss", "ds", "fs", "gs"};
constexpr std::array<std::string_view, 6> kMsrs{"efer",  "star",  "lstar",
                                                "cstar", "fmask", "kernel_gs_base"};

/// The path in the field list that a short name stands for.
std::string path_of(std::string_view name) {
  for (std::size_t i = 0; i < kGprs.size(); ++i)
    if (kGprs[i] == name) return fmt::format("gpr.{}", i);
  for (std::size_t i = 0; i < kSegments.size(); ++i) {
    if (kSegments[i] == name) return fmt::format("segment.{}.selector", i);
    if (name.starts_with(kSegments[i]) && name.substr(2).starts_with("."))
      return fmt::format("segment.{}{}", i, name.substr(2));
  }
  for (std::string_view msr : kMsrs)
    if (msr == name) return fmt::format("msr.{}", name);
  if (name == "ldtr" || name == "tr") return fmt::format("{}.selector", name);
  if (name == "mxcsr") return "fpu.mxcsr";
  if (name.size() == 3 && name.starts_with("dr") && name[2] < '4')
    return fmt::format("dr.{}", name[2]);
  return std::string(name);
}

std::optional<unsigned> numbered(std::string_view name, std::string_view prefix, unsigned limit) {
  if (!name.starts_with(prefix)) return std::nullopt;
  unsigned number = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + prefix.size(), end, number);
  if (error != std::errc{} || stop != end || number >= limit) return std::nullopt;
  return number;
}

/// Vector and x87 registers, as the words they are made of.
std::array<std::uint64_t*, 4> words_of(x86::CpuState& state, std::string_view name) {
  auto& fpu = state.fpu;
  if (const auto n = numbered(name, "xmm", 16)) return {&fpu.xmm[*n][0], &fpu.xmm[*n][1]};
  if (const auto n = numbered(name, "ymm", 16))
    return {&fpu.xmm[*n][0], &fpu.xmm[*n][1], &fpu.ymm_high[*n][0], &fpu.ymm_high[*n][1]};
  if (const auto n = numbered(name, "st", 8)) return {&fpu.st[*n][0], &fpu.st[*n][1]};
  if (const auto n = numbered(name, "mm", 8))
    return {&fpu.st[(*n - (fpu.status >> 11 & 7)) & 7][0]};
  return {};
}

}  // namespace

std::optional<WideNumber> get_field(const x86::CpuState& state, std::string_view name) {
  for (const Bits& flag : kFlags)
    if (flag.name == name) {
      const std::uint64_t bits = state.rflags & flag.mask;
      return WideNumber{name == "flags" ? bits : bits / (flag.mask & (~flag.mask + 1))};
    }
  x86::CpuState copy = state;
  if (const auto words = words_of(copy, name); words[0] != nullptr) {
    WideNumber result{};
    for (std::size_t i = 0; i < 4; ++i)
      if (words[i] != nullptr) result[i] = *words[i];
    if (name.starts_with("st")) result[1] &= 0xffff;
    return result;
  }
  const std::string path = path_of(name);
  Finder finder(path, 0, false);
  x86::CpuState::fields(copy, finder);
  if (!finder.found()) return std::nullopt;
  return WideNumber{finder.number()};
}

bool set_field(x86::CpuState& state, std::string_view name, const WideNumber& number) {
  for (const Bits& flag : kFlags)
    if (flag.name == name) {
      const std::uint64_t lowest = name == "flags" ? 1 : flag.mask & (~flag.mask + 1);
      state.rflags = (state.rflags & ~flag.mask) | ((number[0] * lowest) & flag.mask);
      return true;
    }
  if (const auto words = words_of(state, name); words[0] != nullptr) {
    for (std::size_t i = 0; i < 4; ++i)
      if (words[i] != nullptr) *words[i] = number[i];
    return true;
  }
  const std::string path = path_of(name);
  Finder finder(path, number[0], true);
  x86::CpuState::fields(state, finder);
  return finder.found();
}

}  // namespace vireo::test
