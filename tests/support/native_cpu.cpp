#include "support/native_cpu.h"

#include <asm/prctl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "support/guest_layout.h"

namespace vireo::test {

/// The page through which parent and child talk.
struct NativeCpu::Shared {
  std::atomic<std::uint32_t> turn{0};  ///< a futex: 0 the parent's, 1 the child's
  std::uint32_t code_selector = 0;
  std::uint64_t gs_base = 0;
  NativeOutcome outcome;  ///< `state` goes in and comes out
};

namespace {

struct Window {
  std::uint64_t base, size;
  int protection;
};
constexpr int kReadWrite = PROT_READ | PROT_WRITE;
constexpr std::array<Window, 6> kWindows{{
    {layout::kCode, layout::kSegmentSize, kReadWrite | PROT_EXEC},
    {layout::kData, layout::kSegmentSize, kReadWrite},
    {layout::kStack, layout::kSegmentSize, kReadWrite},
    {layout::kExtra, layout::kSegmentSize, kReadWrite},
    {layout::kReadOnly, 0x1000, PROT_READ},
    {layout::kNoExecute, 0x1000, kReadWrite},
}};
constexpr std::uint64_t kMemorySize = 0x100000;
constexpr std::size_t kSharedSize = (sizeof(NativeOutcome) + 4096 + 4095) & ~std::size_t{4095};

constexpr std::array<int, 16> kRegisters{REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                         REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                         REG_R12, REG_R13, REG_R14, REG_R15};
/// CF PF AF ZF SF TF DF OF RF AC: what a signal frame can set.
constexpr std::uint64_t kUserFlags = 0x50dd5;

constexpr std::uint64_t kUser64Cs = 0x33, kUser32Cs = 0x23, kUserSs = 0x2b;
constexpr std::size_t kFxsaveSize = 416, kXsaveHeader = 512, kYmmHigh = 576;

// The child's own: set before the first signal.
NativeOutcome* g_outcome = nullptr;
std::uint32_t g_code_selector = 0;
gregset_t g_host_registers;
volatile sig_atomic_t g_in_guest = 0;

void load_fpu(std::uint8_t* frame, const x86::FpuState& fpu) {
  // SAFETY: FpuState has the layout of the FXSAVE64 image; the kernel's frame is an XSAVE area.
  std::memcpy(frame, &fpu, kFxsaveSize);
  std::memcpy(frame + kYmmHigh, fpu.ymm_high.data(), sizeof(fpu.ymm_high));
  std::uint64_t components;
  std::memcpy(&components, frame + kXsaveHeader, 8);
  components |= 7;
  std::memcpy(frame + kXsaveHeader, &components, 8);
}

void store_fpu(const std::uint8_t* frame, x86::FpuState& fpu) {
  std::memcpy(&fpu, frame, kFxsaveSize);
  std::uint64_t components;
  std::memcpy(&components, frame + kXsaveHeader, 8);
  if ((components & 4) != 0)
    std::memcpy(fpu.ymm_high.data(), frame + kYmmHigh, sizeof(fpu.ymm_high));
  else
    fpu.ymm_high = {};
}

void enter_guest(ucontext_t& context) {
  auto& registers = context.uc_mcontext.gregs;
  std::memcpy(g_host_registers, registers, sizeof(gregset_t));
  const x86::CpuState& state = g_outcome->state;
  for (std::size_t i = 0; i < 16; ++i) registers[kRegisters[i]] = static_cast<greg_t>(state.gpr[i]);
  registers[REG_RIP] = static_cast<greg_t>(state.rip);
  registers[REG_EFL] = static_cast<greg_t>((state.rflags & kUserFlags) | 0x202);
  registers[REG_CSGSFS] = static_cast<greg_t>(kUserSs << 48 | g_code_selector);
  load_fpu(reinterpret_cast<std::uint8_t*>(context.uc_mcontext.fpregs), state.fpu);
}

void leave_guest(ucontext_t& context, int signal) {
  g_outcome->timeout = signal == SIGALRM;
  auto& registers = context.uc_mcontext.gregs;
  x86::CpuState& state = g_outcome->state;
  for (std::size_t i = 0; i < 16; ++i)
    state.gpr[i] = static_cast<std::uint64_t>(registers[kRegisters[i]]);
  state.rip = static_cast<std::uint64_t>(registers[REG_RIP]);
  state.rflags = static_cast<std::uint64_t>(registers[REG_EFL]);
  state.cr2 = static_cast<std::uint64_t>(registers[REG_CR2]);
  g_outcome->vector = static_cast<unsigned>(registers[REG_TRAPNO]);
  g_outcome->error_code = static_cast<std::uint32_t>(registers[REG_ERR]);
  auto* frame = reinterpret_cast<std::uint8_t*>(context.uc_mcontext.fpregs);
  store_fpu(frame, state.fpu);
  load_fpu(frame, x86::FpuState{});
  std::memcpy(registers, g_host_registers, sizeof(gregset_t));
}

void on_signal(int signal, siginfo_t*, void* opaque) {
  // The kernel leaves AC as the guest's code had it.
  asm volatile("pushfq\n\tandl $0xfffbffff, (%%rsp)\n\tpopfq" : : : "cc", "memory");
  auto& context = *static_cast<ucontext_t*>(opaque);
  if (signal == SIGUSR1) {
    enter_guest(context);
    g_in_guest = 1;
  } else if (g_in_guest != 0) {
    g_in_guest = 0;
    leave_guest(context, signal);
  } else if (signal != SIGALRM) {
    // Our own mistake: let it end us where it happened. (The alarm may just have come too late.)
    ::signal(signal, SIG_DFL);
  }
}

void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, const timespec* limit) {
  syscall(SYS_futex, &word, FUTEX_WAIT, expected, limit, nullptr, 0);
}
void futex_wake(std::atomic<std::uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

constexpr std::array<int, 7> kSignals{SIGUSR1, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS, SIGALRM};
using Actions = std::array<struct sigaction, kSignals.size()>;

void give_signals_a_stack() {
  constexpr std::size_t kStackSize = 256 * 1024;
  stack_t stack{};
  stack.ss_sp = mmap(nullptr, kStackSize, kReadWrite, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack.ss_size = kStackSize;
  sigaltstack(&stack, nullptr);
}

void take_signals(Actions& old) {
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &old[i]);
}

void give_signals_back(const Actions& old) {
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &old[i], nullptr);
}

bool map_windows(int memory_fd) {
  for (const Window& window : kWindows) {
    void* const where = reinterpret_cast<void*>(window.base);
    if (mmap(where, window.size, window.protection, MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE,
             memory_fd, static_cast<off_t>(window.base)) != where)
      return false;
  }
  return true;
}

void unmap_windows() {
  for (const Window& window : kWindows) munmap(reinterpret_cast<void*>(window.base), window.size);
}

void set_flags(std::uint64_t flags) {
  asm volatile("lea -128(%%rsp), %%rsp\n\tpush %0\n\tpopfq\n\tlea 128(%%rsp), %%rsp"
               :
               : "r"(flags)
               : "cc", "memory");
}

/// Enters the guest through the signal and comes back when it is signalled itself.
void run_once(NativeOutcome& outcome, std::uint32_t code_selector, std::uint64_t gs_base) {
  // Compatibility-mode code needs data segments; 64-bit code does not look at them.
  asm volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"(static_cast<std::uint32_t>(kUserSs)));
  g_outcome = &outcome;
  g_code_selector = code_selector;
  syscall(SYS_arch_prctl, ARCH_SET_GS, gs_base);
  // A signal frame cannot set NT and ID: they stay as they are when the signal is raised.
  constexpr std::uint64_t kSticky = x86::rflags::kNt | x86::rflags::kId;
  set_flags((outcome.state.rflags & kSticky) | 0x202);
  raise(SIGUSR1);
  set_flags(0x202);
}

}  // namespace

void NativeCpu::child_main(Shared* shared, int memory_fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (!map_windows(memory_fd)) _exit(1);
  give_signals_a_stack();
  Actions old;
  take_signals(old);
  for (;;) {
    while (shared->turn.load() == 0) futex_wait(shared->turn, 0, nullptr);
    run_once(shared->outcome, shared->code_selector, shared->gs_base);
    shared->turn.store(0);
    futex_wake(shared->turn);
  }
}

Result<std::unique_ptr<NativeCpu>> NativeCpu::create(Where where) {
  std::unique_ptr<NativeCpu> cpu(new NativeCpu(where));
  cpu->memory_fd_ = UniqueFd(memfd_create("native-cpu", MFD_CLOEXEC));
  if (!cpu->memory_fd_ || ftruncate(cpu->memory_fd_.get(), kMemorySize) != 0)
    return host_error("memfd: {}", std::strerror(errno));
  void* memory = mmap(nullptr, kMemorySize, kReadWrite, MAP_SHARED, cpu->memory_fd_.get(), 0);
  void* shared = mmap(nullptr, kSharedSize, kReadWrite, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || shared == MAP_FAILED)
    return host_error("mmap: {}", std::strerror(errno));
  cpu->memory_ = static_cast<std::uint8_t*>(memory);
  cpu->shared_ = new (shared) Shared;
  if (where == Where::kChildProcess) {
    TRY(cpu->start_child());
  } else {
    if (!map_windows(cpu->memory_fd_.get())) return host_error("mmap: {}", std::strerror(errno));
    give_signals_a_stack();
  }
  return cpu;
}

Result<> NativeCpu::start_child() {
  shared_->turn.store(0);
  child_ = fork();
  if (child_ < 0) return host_error("fork: {}", std::strerror(errno));
  if (child_ == 0) child_main(shared_, memory_fd_.get());
  return Unit{};
}

void NativeCpu::stop_child() {
  if (child_ <= 0) return;
  kill(child_, SIGKILL);
  waitpid(child_, nullptr, 0);
  child_ = -1;
}

NativeCpu::~NativeCpu() {
  stop_child();
  if (where_ == Where::kThisProcess) unmap_windows();
  if (memory_ != nullptr) munmap(memory_, kMemorySize);
  if (shared_ != nullptr) munmap(shared_, kSharedSize);
}

std::uint8_t* NativeCpu::host(std::uint64_t address, std::size_t size) const {
  for (const Window& window : kWindows)
    if (address >= window.base && address - window.base < window.size &&
        size <= window.size - (address - window.base))
      return memory_ + address;
  return nullptr;
}

void NativeCpu::poke(const Poke& poke) {
  if (std::uint8_t* where = host(poke.address, poke.bytes.size()))
    std::copy(poke.bytes.begin(), poke.bytes.end(), where);
}

std::vector<std::uint8_t> NativeCpu::peek(std::uint64_t address, std::size_t size) const {
  std::vector<std::uint8_t> bytes(size);
  if (const std::uint8_t* where = host(address, size)) std::copy_n(where, size, bytes.begin());
  return bytes;
}

void NativeCpu::clear() {
  for (const Window& window : kWindows) std::fill_n(memory_ + window.base, window.size, 0);
}

Result<NativeOutcome> NativeCpu::run(Mode mode, const x86::CpuState& state,
                                     std::chrono::milliseconds limit) {
  shared_->code_selector =
      static_cast<std::uint32_t>(mode == Mode::kCompat ? kUser32Cs : kUser64Cs);
  shared_->gs_base = state.segment[x86::kGs].base;
  shared_->outcome = NativeOutcome{};
  shared_->outcome.state = state;
  return where_ == Where::kThisProcess ? run_here(limit) : run_in_child(limit);
}

NativeOutcome NativeCpu::run_here(std::chrono::milliseconds limit) {
  Actions old;
  take_signals(old);
  const auto microseconds = std::chrono::microseconds(limit).count();
  const itimerval alarm{{0, 50'000}, {microseconds / 1'000'000, microseconds % 1'000'000}};
  const itimerval none{};
  setitimer(ITIMER_REAL, &alarm, nullptr);
  run_once(shared_->outcome, shared_->code_selector, shared_->gs_base);
  setitimer(ITIMER_REAL, &none, nullptr);
  give_signals_back(old);
  return shared_->outcome;
}

Result<NativeOutcome> NativeCpu::run_in_child(std::chrono::milliseconds limit) {
  shared_->turn.store(1);
  futex_wake(shared_->turn);
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (shared_->turn.load() == 1) {
    const timespec pause{0, 20'000'000};
    futex_wait(shared_->turn, 1, &pause);
    if (shared_->turn.load() == 0) break;
    int status = 0;
    const bool died = waitpid(child_, &status, WNOHANG) == child_;
    if (died) child_ = -1;
    if (!died && std::chrono::steady_clock::now() < deadline) continue;
    stop_child();
    TRY(start_child());
    NativeOutcome outcome;
    outcome.timeout = true;
    return outcome;
  }
  return shared_->outcome;
}

}  // namespace vireo::test
