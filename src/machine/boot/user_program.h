#pragma once
#include "machine/boot/elf_file.h"

namespace vireo::machine {

/// Whether an ELF file without the marks of a kernel is a program that only an operating system can
/// run. It is if it says so itself; if it is position-independent from address 0 on, where no
/// kernel can be; or if its code calls a system and never becomes one: SYSCALL works only after
/// WRMSR, and INT only after LIDT. What is in doubt is a kernel.
bool is_user_program(const ElfFile& elf);

}  // namespace vireo::machine
