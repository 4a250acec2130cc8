#include "differential/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "support/guest_layout.h"
#include "x86/fault.h"

namespace vireo::test {
namespace {

constexpr std::chrono::milliseconds kNativeLimit{500}, kEngineLimit{10000};
constexpr std::uint64_t kComparedFlags = x86::rflags::kArithmetic | x86::rflags::kTf |
                                         x86::rflags::kDf | x86::rflags::kNt | x86::rflags::kRf |
                                         x86::rflags::kAc | x86::rflags::kId;

bool windowed(std::uint64_t page) {
  return (page >= layout::kCode && page < layout::kExtra + layout::kSegmentSize) ||
         page == layout::kReadOnly || page == layout::kNoExecute;
}

/// The host maps nothing below the windows, and its kernel does not say whether its own half is
/// mapped: there only the address and the kind of access can be compared.
bool presence_unknown(std::uint64_t address) {
  return address < layout::kCode || address >= 0x7fff'ffff'f000;
}

void add(std::vector<std::string>& out, std::string_view name, std::uint64_t engine,
         std::uint64_t native) {
  if (engine != native)
    out.push_back(fmt::format("{}: engine {:#x}, silicon {:#x}", name, engine, native));
}

void compare_registers(const x86::CpuState& engine, const x86::CpuState& native,
                       std::vector<std::string>& out) {
  static constexpr std::array<std::string_view, 16> kNames{"rax", "rcx", "rdx", "rbx", "rsp", "rbp",
                                                           "rsi", "rdi", "r8",  "r9",  "r10", "r11",
                                                           "r12", "r13", "r14", "r15"};
  add(out, "rip", engine.rip, native.rip);
  for (std::size_t i = 0; i < 16; ++i) add(out, kNames[i], engine.gpr[i], native.gpr[i]);
  add(out, "rflags", engine.rflags & kComparedFlags, native.rflags & kComparedFlags);
}

void compare_fpu(const x86::FpuState& engine, const x86::FpuState& native,
                 std::vector<std::string>& out) {
  add(out, "x87 control", engine.control, native.control);
  add(out, "x87 status", engine.status, native.status);
  add(out, "x87 tag", engine.tag, native.tag);
  add(out, "mxcsr", engine.mxcsr, native.mxcsr);
  for (std::size_t i = 0; i < 8; ++i) {
    add(out, fmt::format("st{} significand", i), engine.st[i][0], native.st[i][0]);
    add(out, fmt::format("st{} exponent", i), engine.st[i][1] & 0xffff, native.st[i][1] & 0xffff);
  }
  for (std::size_t i = 0; i < 16; ++i)
    for (std::size_t word = 0; word < 2; ++word) {
      add(out, fmt::format("xmm{}[{}]", i, word), engine.xmm[i][word], native.xmm[i][word]);
      add(out, fmt::format("ymm{}[{}]", i, word + 2), engine.ymm_high[i][word],
          native.ymm_high[i][word]);
    }
}

void compare_faults(const Outcome& engine, const NativeOutcome& native,
                    std::vector<std::string>& out) {
  add(out, "vector", engine.vector, native.vector);
  if (engine.vector != native.vector ||
      !x86::has_error_code(static_cast<x86::Vector>(native.vector)))
    return;
  const bool page_fault = native.vector == 14;
  if (page_fault) add(out, "cr2", engine.state.cr2, native.state.cr2);
  const std::uint32_t mask = page_fault && presence_unknown(native.state.cr2) ? ~1u : ~0u;
  add(out, "error code", engine.error_code & mask, native.error_code & mask);
}

}  // namespace

Result<std::unique_ptr<TwinCpus>> TwinCpus::create(std::string_view engine, Mode mode) {
  std::unique_ptr<TwinCpus> twins(new TwinCpus(mode));
  twins->native_ = TRY(NativeCpu::create(NativeCpu::Where::kThisProcess));
  twins->engine_ = TRY(EngineFixture::create(engine, "host"));
  twins->engine_->port().keep_log(false);
  const GuestSetup setup = prepare(mode);
  for (const Poke& poke : setup.pokes) twins->engine_->poke(poke);
  twins->base_state_ = setup.state;
  twins->base_state_.cr4 |= x86::cr4::kOsxsave;
  twins->base_state_.xcr0 = 7;
  twins->share_mappings();
  Poke indices{kGatherIndices, {}};
  for (unsigned i = 0; i < 0x1000; ++i)
    indices.bytes.push_back(static_cast<std::uint8_t>(i % 4 == 0 ? i * 37 % 251 : 0));
  twins->engine_->poke(indices);
  twins->native_->poke(indices);
  return twins;
}

/// Takes away what user code of the guest could reach and user code of the host cannot.
void TwinCpus::share_mappings() {
  for (std::uint64_t page = layout::kCode; page < 0x200000; page += 0x1000)
    if (!windowed(page))
      engine_->poke({layout::kPageTable + (page >> 12) * 8, std::vector<std::uint8_t>(8, 0)});
  engine_->poke({layout::kPageDirectory + 8, std::vector<std::uint8_t>(0x1000 - 8, 0)});
}

void TwinCpus::compare_memory(std::uint64_t base, std::uint64_t size,
                              std::vector<std::string>& out) const {
  const std::vector<std::uint8_t> engine = engine_->peek(base, size);
  const std::uint8_t* native = native_->host(base, size);
  if (std::memcmp(engine.data(), native, size) == 0) return;
  unsigned shown = 0;
  for (std::size_t i = 0; i < size && shown < 4; ++i)
    if (engine[i] != native[i]) {
      add(out, fmt::format("memory {:#x}", base + i), engine[i], native[i]);
      ++shown;
    }
}

Result<Comparison> TwinCpus::compare(const Start& start, const std::vector<std::uint8_t>& code) {
  Poke stream{start.state.rip, code};
  stream.bytes.push_back(0xcc);
  for (const Poke& poke :
       {stream, Poke{kActiveData, start.data}, Poke{kActiveStack, start.stack}}) {
    engine_->poke(poke);
    native_->poke(poke);
  }
  Comparison result;
  const NativeOutcome native = TRY(native_->run(mode_, start.state, kNativeLimit));
  if (native.timeout) {
    result.usable = false;
    return result;
  }
  const Outcome engine = TRY(engine_->run(mode_, start.state, kEngineLimit));
  result.native = native.state;
  result.end_rip = native.state.rip;
  if (engine.stop != Stop::kVector) {
    result.differences.push_back(fmt::format("the engine stopped (reason {}) at {:#x}",
                                             static_cast<int>(engine.stop), engine.state.rip));
    return result;
  }
  compare_faults(engine, native, result.differences);
  compare_registers(engine.state, native.state, result.differences);
  compare_fpu(engine.state.fpu, native.state.fpu, result.differences);
  compare_memory(kActiveData, kActiveDataSize, result.differences);
  compare_memory(kActiveStack, kActiveStackSize, result.differences);
  return result;
}

}  // namespace vireo::test
