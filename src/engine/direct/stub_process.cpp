#include "engine/direct/stub_process.h"

#include <fcntl.h>
#include <linux/elf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

#include "base/host_time.h"
#include "base/unique_fd.h"

// What the process itself executes: system calls from a list, RBX to RBP, up to the first that is
// refused; a single one; and POPFQ. INT3 says that it is done.
asm(R"(
  .pushsection .rodata
  .balign 16
  .globl vireo_stub_code, vireo_stub_done, vireo_stub_call, vireo_stub_flags, vireo_stub_end
vireo_stub_code:
1: cmpq %rbp, %rbx
  jae 2f
  movq 0(%rbx), %rax
  movq 8(%rbx), %rdi
  movq 16(%rbx), %rsi
  movq 24(%rbx), %rdx
  movq 32(%rbx), %r10
  movq 40(%rbx), %r9
  xorl %r8d, %r8d
  syscall
  cmpq $-4096, %rax
  ja 2f
  addq $48, %rbx
  jmp 1b
vireo_stub_done:
2: int3
vireo_stub_call:
  syscall
  int3
vireo_stub_flags:
  popfq
  int3
vireo_stub_end:
  .popsection
)");
extern "C" const char vireo_stub_code[], vireo_stub_done[], vireo_stub_call[], vireo_stub_flags[],
    vireo_stub_end[];

namespace vireo::engine::direct {
namespace {

/// A system call as the process's code reads it.
struct Call {
  std::uint64_t number, address, size, protection, flags, offset;
};
constexpr std::uint64_t kCalls = StubProcess::kBase + kPageSize;
constexpr std::size_t kMostCalls = (StubProcess::kSize - kPageSize) / sizeof(Call);
constexpr int kMemoryFd = 0;                 // of the process
constexpr std::uint64_t kId = 1u << 21;      // EFLAGS.ID, which tracers cannot set
constexpr std::uint64_t kResume = 1u << 16;  // EFLAGS.RF, with which the host marks a breakpoint
constexpr unsigned kTraceOptions = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK;
constexpr std::size_t kMostVectorBytes = 16384;

std::string reason() { return std::generic_category().message(errno); }

long trace(int request, pid_t pid, void* address = nullptr, const void* data = nullptr) {
  // SAFETY: ptrace() takes numbers and pointers in the same place.
  return ::ptrace(static_cast<__ptrace_request>(request), pid, address, const_cast<void*>(data));
}

/// The host emulates calls to its vsyscall page without a system call: they become signals.
bool filter_vsyscalls() {
  constexpr std::uint32_t kVsyscallHalf = 0xffffffff;
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, instruction_pointer) + 4),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kVsyscallHalf, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(code), code};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// The kernel writes there when it takes the CPU away, and what it writes to will be gone.
bool leave_rseq() {
  constexpr unsigned kGlibcSize = 32, kUnregister = 1, kSignature = 0x53053053;
#ifdef __x86_64__
  auto* area = static_cast<std::byte*>(__builtin_thread_pointer()) + __rseq_offset;
#endif
  if (__rseq_size == 0) return true;
  return ::syscall(SYS_rseq, area, kGlibcSize, kUnregister, kSignature) == 0;
}

/// In the new process, which has one thread and the monitor's memory until the tracer empties it.
[[noreturn]] void become_stub(int memory, int pages) {
  // Descriptors of the monitor must not live longer than it closes them.
  if (memory != kMemoryFd && ::dup2(memory, kMemoryFd) < 0) ::_exit(1);
  constexpr int kPagesFd = 1;
  if (pages == kMemoryFd || ::dup2(pages, kPagesFd) < 0) ::_exit(1);
  ::syscall(SYS_close_range, kPagesFd + 1, ~0u, 0);
  // SAFETY: an address that nothing of the monitor has.
  auto* base = reinterpret_cast<std::byte*>(StubProcess::kBase);
  constexpr int kFlags = MAP_SHARED | MAP_FIXED_NOREPLACE;
  if (::mmap(base, kPageSize, PROT_READ | PROT_EXEC, kFlags, kPagesFd, 0) != base ||
      ::mmap(base + kPageSize, StubProcess::kSize - kPageSize, PROT_READ, kFlags, kPagesFd,
             kPageSize) != base + kPageSize)
    ::_exit(1);
  ::close(kPagesFd);
  ::prctl(PR_SET_NAME, "vireo-direct");
  ::setsid();  // out of reach of the terminal's signals
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int signal = 1; signal < SIGRTMIN; ++signal) ::signal(signal, SIG_DFL);
  ::signal(SIGCHLD, SIG_IGN);  // whom it spawns nobody else waits for
  stack_t no_stack{};
  no_stack.ss_flags = SS_DISABLE;
  ::sigaltstack(&no_stack, nullptr);
  ::syscall(SYS_set_robust_list, nullptr, 24);
  ::syscall(SYS_set_tid_address, nullptr);
  if (!leave_rseq() || !filter_vsyscalls()) ::_exit(1);
  if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(2);
  ::raise(SIGSTOP);
  ::_exit(3);  // the tracer sets other registers
}

/// That of its processor time; empty: it is gone.
std::optional<clockid_t> clock_of(pid_t process) {
  clockid_t clock{};
  if (::clock_getcpuclockid(process, &clock) != 0) return {};
  return clock;
}

}  // namespace

/// The monitor's view of the pages at kBase, which a family shares: one of it runs at a time.
struct StubProcess::Pages {
  UniqueFd file;
  std::byte* base = nullptr;
  std::optional<bool> breakpoints_work;  ///< once they have been tried
  ~Pages() {
    if (base != nullptr) ::munmap(base, kSize);
  }
  std::span<Call> calls() const {
    // SAFETY: shared memory of that size, which holds nothing else.
    return {reinterpret_cast<Call*>(base + kPageSize), kMostCalls};
  }
};

Result<std::unique_ptr<StubProcess>> StubProcess::create(int memory) {
  auto pages = std::make_shared<Pages>();
  pages->file = UniqueFd(::memfd_create("vireo-direct", MFD_CLOEXEC));
  if (!pages->file || ::ftruncate(pages->file.get(), kSize) != 0)
    return host_error("cannot make memory for direct execution: {}", reason());
  void* const base =
      ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, pages->file.get(), 0);
  if (base == MAP_FAILED) return host_error("cannot map memory for direct execution: {}", reason());
  pages->base = static_cast<std::byte*>(base);
  std::memcpy(pages->base, vireo_stub_code,
              static_cast<std::size_t>(vireo_stub_end - vireo_stub_code));

  const pid_t pid = ::fork();
  if (pid < 0) return host_error("cannot make a process for direct execution: {}", reason());
  if (pid == 0) become_stub(memory, pages->file.get());
  std::unique_ptr<StubProcess> stub(new StubProcess(pid, std::move(pages)));
  const auto status = stub->wait();
  if (!status || !WIFSTOPPED(*status) || WSTOPSIG(*status) != SIGSTOP)
    return host_error(
        "this host does not let a process trace its child (ptrace), which direct execution needs");
  if (trace(PTRACE_SETOPTIONS, pid, nullptr,
            reinterpret_cast<void*>(std::uintptr_t{kTraceOptions})) != 0 ||
      !stub->prepare())
    return host_error("cannot trace a process for direct execution: {}", reason());
  // What is left of the monitor goes.
  if (!stub->map(nothing())) return host_error("cannot empty a process for direct execution");
  return stub;
}

/// Once it is traced and stopped.
bool StubProcess::prepare() {
  if (trace(PTRACE_GETREGS, pid_, nullptr, &template_) != 0) return false;
  std::vector<std::byte> image(kMostVectorBytes);
  iovec vector{image.data(), image.size()};
  if (trace(PTRACE_GETREGSET, pid_, reinterpret_cast<void*>(NT_X86_XSTATE), &vector) != 0)
    return false;
  vector_bytes_ = vector.iov_len;
  flags_ = template_.eflags;
  template_.orig_rax = ~0ull;  // no system call to be made again
  template_.fs_base = template_.gs_base = 0;
  template_.fs = template_.gs = template_.ds = template_.es = 0;
  return true;
}

StubProcess::StubProcess(pid_t pid, std::shared_ptr<Pages> pages)
    : pid_(pid),
      handle_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))),
      pages_(std::move(pages)),
      clock_(clock_of(pid)) {}

/// Where it cannot be killed, it is gone or ends with the thread.
StubProcess::~StubProcess() {
  if (!handle_ || ::syscall(SYS_pidfd_send_signal, handle_.get(), SIGKILL, nullptr, 0) != 0) return;
  while (const auto status = wait())
    if (WIFEXITED(*status) || WIFSIGNALED(*status)) break;
}

/// Empty: it is gone.
std::optional<int> StubProcess::wait() {
  int status = 0;
  pid_t got = 0;
  do {
    got = ::waitpid(pid_, &status, __WALL);
  } while (got < 0 && errno == EINTR);
  if (got != pid_) return {};
  return status;
}

/// Runs the process's own code up to its INT3.
bool StubProcess::finish(std::uint64_t entry, Registers& registers) {
  follow();
  registers.rip = entry;
  if (trace(PTRACE_SETREGS, pid_, nullptr, &registers) != 0) return false;
  for (;;) {
    if (trace(PTRACE_CONT, pid_) != 0) return false;
    const auto status = wait();
    if (!status || !WIFSTOPPED(*status)) return false;
    if (WSTOPSIG(*status) == kKickSignal) continue;  // PendingEvents knows
    if (*status >> 8 == (SIGTRAP | PTRACE_EVENT_FORK << 8)) continue;
    if (WSTOPSIG(*status) != SIGTRAP) return false;
    if (trace(PTRACE_GETREGS, pid_, nullptr, &registers) != 0) return false;
    flags_ = registers.eflags;
    return true;
  }
}

bool StubProcess::carry_out(std::size_t count) {
  Registers registers = template_;
  registers.rbx = kCalls;
  registers.rbp = kCalls + count * sizeof(Call);
  const bool done = finish(kBase, registers) && registers.rbx == registers.rbp;
  // What one address space has is not for the code of another to see.
  std::memset(pages_->calls().data(), 0, count * sizeof(Call));
  return done;
}

bool StubProcess::map(std::span<const Mapping> mappings) {
  const auto calls = pages_->calls();
  std::size_t count = 0;
  for (const Mapping& one : mappings) {
    Call& call = calls[count++];
    if (one.present) {
      const int protection =
          PROT_READ | (one.writable ? PROT_WRITE : 0) | (one.executable ? PROT_EXEC : 0);
      const unsigned sharing = one.traps.empty() ? MAP_SHARED : MAP_PRIVATE;
      call = {SYS_mmap,
              one.address,
              one.size,
              static_cast<std::uint64_t>(protection),
              sharing | MAP_FIXED | MAP_POPULATE,
              one.offset};
    } else {
      call = {SYS_munmap, one.address, one.size, 0, 0, 0};
    }
    if (count < calls.size()) continue;
    if (!carry_out(std::exchange(count, 0))) return false;
  }
  if (count != 0 && !carry_out(count)) return false;
  for (const Mapping& one : mappings)
    if (!std::ranges::all_of(one.traps, [&](std::uint64_t trap) { return set_trap(trap); }))
      return false;
  return true;
}

/// As a debugger does it: the host copies the page.
bool StubProcess::set_trap(std::uint64_t address) {
  constexpr std::uint64_t kInt3 = 0xcc, kWord = sizeof(std::uint64_t);
  const std::uint64_t shift = 8 * (address % kWord);
  // SAFETY: an address of the process.
  auto* const place = reinterpret_cast<void*>(address & ~(kWord - 1));
  errno = 0;
  const auto before = static_cast<std::uint64_t>(trace(PTRACE_PEEKDATA, pid_, place));
  if (errno != 0) return false;
  const std::uint64_t now = (before & ~(0xffull << shift)) | kInt3 << shift;
  return trace(PTRACE_POKEDATA, pid_, place, reinterpret_cast<void*>(now)) == 0;
}

Result<std::unique_ptr<StubProcess>> StubProcess::spawn() {
  const auto place = static_cast<std::uint64_t>(vireo_stub_call - vireo_stub_code);
  Registers registers = template_;
  registers.rax = SYS_fork;
  if (!finish(kBase + place, registers) || static_cast<std::int64_t>(registers.rax) <= 0)
    return host_error("cannot make another process for direct execution");
  std::unique_ptr<StubProcess> stub(new StubProcess(static_cast<pid_t>(registers.rax), pages_));
  const auto status = stub->wait();  // new ones begin with SIGSTOP
  if (!status || !WIFSTOPPED(*status) || !stub->prepare())
    return host_error("cannot trace another process for direct execution: {}", reason());
  return stub;
}

/// To the CPU of the calling thread: one of the two runs at a time, and to wake the other there
/// costs a fraction of what it costs elsewhere.
void StubProcess::follow() {
  const int cpu = ::sched_getcpu();
  if (cpu < 0 || cpu == cpu_) return;
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(static_cast<unsigned>(cpu), &only);
  if (::sched_setaffinity(pid_, sizeof(only), &only) == 0) cpu_ = cpu;
}

bool StubProcess::load_id(std::uint64_t flags) {
  Registers own = template_;
  own.rsp = kCalls;
  pages_->calls()[0].number = flags & kId;
  const auto place = static_cast<std::uint64_t>(vireo_stub_flags - vireo_stub_code);
  return finish(kBase + place, own);
}

StubProcess::Event StubProcess::run(Registers& registers) {
  follow();
  if (((registers.eflags ^ flags_) & kId) != 0 && !load_id(registers.eflags)) return {};
  registers.cs = template_.cs;
  registers.ss = template_.ss;
  registers.ds = registers.es = registers.fs = registers.gs = 0;
  registers.orig_rax = ~0ull;
  if (trace(PTRACE_SETREGS, pid_, nullptr, &registers) != 0) return {};
  if (trace(PTRACE_SYSEMU, pid_) != 0) return {};
  const auto status = wait();
  if (!status || !WIFSTOPPED(*status)) return {};
  if (trace(PTRACE_GETREGS, pid_, nullptr, &registers) != 0) return {};
  registers.eflags &= ~kResume;
  flags_ = registers.eflags;
  Event event;
  event.signal = WSTOPSIG(*status);
  if (event.signal == (SIGTRAP | 0x80)) {
    event.stop = Stop::kSystemCall;
    return event;
  }
  event.stop = Stop::kSignal;
  if (event.signal == kKickSignal) return event;
  siginfo_t info{};
  if (trace(PTRACE_GETSIGINFO, pid_, nullptr, &info) != 0) return {};
  event.code = info.si_code;
  // SAFETY: an address of the process, never used as one here.
  event.address = reinterpret_cast<std::uint64_t>(info.si_addr);
  return event;
}

std::uint64_t StubProcess::cpu_ns() const { return clock_ ? host_ns(*clock_) : 0; }

/// In the debug registers. SDM vol. 3B, 18.2.4.
bool StubProcess::load_breakpoints(std::span<const std::uint64_t> addresses) {
  const auto put = [this](std::size_t number, std::uint64_t value) {
    const std::size_t place = offsetof(user, u_debugreg) + number * sizeof(user::u_debugreg[0]);
    return trace(PTRACE_POKEUSER, pid_, reinterpret_cast<void*>(place),
                 reinterpret_cast<void*>(value)) == 0;
  };
  constexpr std::size_t kControl = 7;
  if (!put(kControl, 0)) return false;
  std::uint64_t enabled = 0;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    if (!put(i, addresses[i])) return false;
    enabled |= 1u << (2 * i);
  }
  return put(kControl, enabled);
}

/// Not every hypervisor below us hands the debug registers on. Stops at the INT3, but before it.
bool StubProcess::breakpoints_work() {
  const std::uint64_t done = kBase + static_cast<std::uint64_t>(vireo_stub_done - vireo_stub_code);
  if (!load_breakpoints({&done, 1})) return false;
  Registers registers = template_;
  registers.rbx = registers.rbp = kCalls;  // nothing to do
  const bool stopped = finish(kBase, registers);
  return load_breakpoints({}) && stopped && registers.rip == done;
}

bool StubProcess::set_breakpoints(std::span<const std::uint64_t> addresses) {
  if (std::ranges::equal(addresses, breakpoints_)) return true;
  if (!pages_->breakpoints_work) pages_->breakpoints_work = breakpoints_work();
  breakpoints_.clear();
  if (!*pages_->breakpoints_work) return false;
  if (!load_breakpoints(addresses)) {
    load_breakpoints({});
    return addresses.empty();
  }
  breakpoints_.assign(addresses.begin(), addresses.end());
  return true;
}

bool StubProcess::load_vectors(std::span<const std::byte> image) {
  const iovec vector{const_cast<std::byte*>(image.data()), image.size()};
  return trace(PTRACE_SETREGSET, pid_, reinterpret_cast<void*>(NT_X86_XSTATE), &vector) == 0;
}

bool StubProcess::store_vectors(std::span<std::byte> image) {
  const iovec vector{image.data(), image.size()};
  return trace(PTRACE_GETREGSET, pid_, reinterpret_cast<void*>(NT_X86_XSTATE), &vector) == 0;
}

}  // namespace vireo::engine::direct
