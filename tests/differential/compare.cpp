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

std::uint64_t random_integer(std::mt19937_64& random) {
  static constexpr std::array<std::uint64_t, 12> kEdges{0,
                                                        1,
                                                        2,
                                                        0x7f,
                                                        0x80,
                                                        0xff,
                                                        0x7fff,
                                                        0x8000,
                                                        0x7fffffff,
                                                        0x80000000,
                                                        0x7fffffffffffffff,
                                                        0x8000000000000000};
  switch (random() % 4) {
    case 0:
      return kEdges[random() % kEdges.size()];
    case 1:
      return ~kEdges[random() % kEdges.size()];
    case 2:
      return random() >> (random() % 64);
    default:
      return random();
  }
}

/// Eight bytes that often look like floating-point numbers of one size or another.
std::uint64_t random_vector_word(std::mt19937_64& random) {
  static constexpr std::array<std::uint64_t, 12> kDoubles{0,
                                                          1ull << 63,
                                                          0x3ff0000000000000,
                                                          0xbff0000000000000,
                                                          0x7ff0000000000000,
                                                          0xfff0000000000000,
                                                          0x7ff8000000000000,
                                                          0x7ff4000000000001,
                                                          1,
                                                          0x000fffffffffffff,
                                                          0x7fefffffffffffff,
                                                          0x4008000000000000};
  static constexpr std::array<std::uint32_t, 10> kFloats{
      0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f800000,
      0x7fc00000, 0x7fa00001, 1,          0x7f7fffff, 0x40490fdb};
  switch (random() % 4) {
    case 0:
      return kDoubles[random() % kDoubles.size()];
    case 1:
      return kFloats[random() % kFloats.size()] | std::uint64_t{kFloats[random() % kFloats.size()]}
                                                      << 32;
    case 2:
      return random_integer(random);
    default:
      return random();
  }
}

void random_fpu(std::mt19937_64& random, x86::FpuState& fpu) {
  for (auto& lane : fpu.xmm)
    for (auto& word : lane) word = random_vector_word(random);
  for (auto& lane : fpu.ymm_high)
    for (auto& word : lane) word = random_vector_word(random);
  for (auto& st : fpu.st) {
    const bool odd = random() % 4 == 0;
    st[0] = random_vector_word(random) | (odd ? 0 : 1ull << 63);
    st[1] = (odd ? random() : 0x3ff0 + random() % 32) & 0xffff;
    if (random() % 2 == 0) st[1] ^= 0x8000;
  }
  fpu.tag = static_cast<std::uint8_t>(random() % 3 == 0 ? random() : 0xff);
  fpu.status = static_cast<std::uint16_t>((random() & 7) << 11 | (random() & 0x4700));
  if (random() % 4 == 0) fpu.control = static_cast<std::uint16_t>(0x7f | (random() & 0xf00));
  if (random() % 4 == 0) fpu.mxcsr = static_cast<std::uint32_t>(0x1f80 | (random() & 0xe07f));
  if (random() % 32 == 0)
    fpu.mxcsr =
        static_cast<std::uint32_t>((random() & 0xffc0) | (random() & 0x3f) * (random() & 1));
  // A pending unmasked SIMD flag does not fault by itself; a pending x87 one does and is rare.
  if (random() % 64 == 0) fpu.control = static_cast<std::uint16_t>(0x340 | (random() & 0x3f));
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

Start TwinCpus::random_start(std::mt19937_64& random, std::uint64_t address) const {
  Start start{base_state_, {}, {}};
  x86::CpuState& state = start.state;
  const bool wide = mode_ != Mode::kCompat;
  for (unsigned i = 0; i < (wide ? 16u : 8u); ++i)
    state.gpr[i] = random_integer(random) & (wide ? ~0ull : 0xffffffffull);
  state.gpr[x86::kRsp] = kActiveStack + 0x1000;
  state.rip = address;
  state.rflags = 0x202 | (random() & x86::rflags::kArithmetic);
  if (random() % 16 == 0) state.rflags |= x86::rflags::kDf;
  if (random() % 64 == 0) state.rflags |= random() & (x86::rflags::kNt | x86::rflags::kId);
  random_fpu(random, state.fpu);
  const auto fill = [&](std::vector<std::uint8_t>& bytes, std::uint64_t size) {
    bytes.resize(size);
    for (std::size_t i = 0; i < size; i += 8) {
      const std::uint64_t word = random_vector_word(random);
      std::memcpy(&bytes[i], &word, 8);
    }
  };
  fill(start.data, kActiveDataSize);
  fill(start.stack, kActiveStackSize);
  return start;
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
