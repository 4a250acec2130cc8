#include "engine/translator/assembler.h"
#include "engine/translator/glue.h"
#include "engine/translator/system_offsets.h"

namespace vireo::engine::translator {
namespace {

/// A stack that goes to and fro between two pages has two windows: the one that was open before is
/// opened again without asking C++.
class WindowWriter : Assembler {
 public:
  WindowWriter(CodeMemory& memory, const std::uint8_t* slow)
      : Assembler(memory.writable(), memory.room()), memory_(memory), slow_(slow) {}

  void write(Glue& glue) {
    for (const bool user : {false, true}) {
      align(16);
      glue.window_64[user] = memory_.executable(getCurr());
      swap(user);
    }
    ready();
    memory_.commit(getSize());
  }

 private:
  void swap(bool user) {
    using Window = Shortcuts::Window;
    const auto last = [user](std::size_t member) { return at::window(user, member); };
    const auto earlier = [user](std::size_t member) { return at::earlier_window(user, member); };
    Label elsewhere;
    store(at::kScratch, r11);
    load(r11, earlier(offsetof(Window, epoch)));
    putSeg(gs);
    cmp(r11, qword_at(at::kWindowEpoch));
    jne(elsewhere);
    load(r11, at::kNegativeDelta);
    putSeg(gs);
    add(r10, qword_at(at::kWindow));
    add(r10, r11);
    and_(r10, imm(~std::int64_t{kPageMask}));
    putSeg(gs);
    add(r10, qword_at(earlier(offsetof(Window, delta))));
    putSeg(gs);
    cmp(r10, qword_at(earlier(offsetof(Window, window))));
    jne(elsewhere);

    lea(rsp, ptr[rsp + r11]);
    load(r11, earlier(offsetof(Window, delta)));
    lea(rsp, ptr[rsp + r11]);
    exchange(last(offsetof(Window, delta)), earlier(offsetof(Window, delta)));
    store(at::kStackDelta, r11);
    exchange(last(offsetof(Window, negative_delta)), earlier(offsetof(Window, negative_delta)));
    store(at::kNegativeDelta, r11);
    exchange(last(offsetof(Window, window)), earlier(offsetof(Window, window)));
    store(at::kWindow, r11);
    exchange(last(offsetof(Window, epoch)), earlier(offsetof(Window, epoch)));
    jump_to_field(at::kResume);

    L(elsewhere);
    load(r11, at::kScratch);
    jmp(memory_.writable(slow_), T_NEAR);
  }

  /// Spoils R10; R11 is what goes to `a`.
  void exchange(std::size_t a, std::size_t b) {
    load(r10, a);
    load(r11, b);
    store(a, r11);
    store(b, r10);
  }

  CodeMemory& memory_;
  const std::uint8_t* slow_;
};

}  // namespace

void write_window_glue(CodeMemory& memory, Glue& glue) {
  WindowWriter(memory, glue.window).write(glue);
}

}  // namespace vireo::engine::translator
