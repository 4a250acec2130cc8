#include <initializer_list>

#include "golden/cases.h"

// Code that is not 64-bit, as bytes.

namespace vireo::test {
namespace {

using Guest = Xbyak::CodeGenerator;
using engine::translator::Narrow;
using engine::translator::SegmentForm;
using x86::CodeSize;

void bytes(Guest& guest, std::initializer_list<int> code) {
  for (const int byte : code) guest.db(static_cast<std::uint8_t>(byte));
}

constexpr std::uint16_t forms(SegmentForm fs_and_gs, SegmentForm others) {
  const auto a = static_cast<unsigned>(others), b = static_cast<unsigned>(fs_and_gs);
  return static_cast<std::uint16_t>(a * 0x55 | b * 0x500);
}

constexpr Narrow kFlat{CodeSize::k32, true, forms(SegmentForm::kBased, SegmentForm::kFlat), 0,
                       0xffffffff};
constexpr Narrow kLimits{CodeSize::k32, true, forms(SegmentForm::kRefused, SegmentForm::kLimited),
                         0x3000, 0xffff};
constexpr Narrow kReal{CodeSize::k16, false, forms(SegmentForm::kLimited, SegmentForm::kLimited),
                       0x5000, 0xffff};

constexpr GoldenCase kNarrow32[] = {
    {.name = "the head, with a stack window",
     .write =
         [](Guest& g) {
           bytes(g, {0x31, 0xc0, 0x53});
         },  // xor eax, eax; push ebx
     .narrow = &kFlat,
     .whole = true},
    {.name = "load",
     .write =
         [](Guest& g) {
           bytes(g, {0x8b, 0x48, 0xf8});
         },
     .narrow = &kFlat},
    {.name = "load, scaled",
     .write =
         [](Guest& g) {
           bytes(g, {0x8b, 0x4c, 0x90, 0x10});
         },
     .narrow = &kFlat},
    {.name = "load with a 16-bit address",
     .write =
         [](Guest& g) {
           bytes(g, {0x67, 0x8b, 0x08});
         },
     .narrow = &kFlat},
    {.name = "load from a known address, without ModRM",
     .write =
         [](Guest& g) {
           bytes(g, {0xa1, 0x20, 0x40, 0, 0});
         },
     .narrow = &kFlat},
    {.name = "load from a known address in the upper half",
     .write =
         [](Guest& g) {
           bytes(g, {0x8b, 0x0d, 0x20, 0x40, 0, 0xc0});
         },
     .narrow = &kFlat},
    {.name = "thread-local",
     .write =
         [](Guest& g) {
           bytes(g, {0x65, 0xa1, 0x14, 0, 0, 0});
         },
     .narrow = &kFlat},
    {.name = "a segment with a limit",
     .write =
         [](Guest& g) {
           bytes(g, {0x89, 0x48, 0x08});
         },
     .narrow = &kLimits},
    {.name = "a segment that is refused",
     .write =
         [](Guest& g) {
           bytes(g, {0x64, 0x89, 0x48, 0x08});
         },
     .narrow = &kLimits},
    {.name = "inc and dec without ModRM",
     .write =
         [](Guest& g) {
           bytes(g, {0x43, 0x66, 0x4b});
         },
     .narrow = &kFlat},
    {.name = "push and pop",
     .write =
         [](Guest& g) {
           // xor eax, eax; push ebx; push 5; push dword [ebx]; push esp; pop ecx; pop esi
           bytes(g, {0x31, 0xc0, 0x53, 0x6a, 0x05, 0xff, 0x33, 0x54, 0x59, 0x5e});
         },
     .narrow = &kFlat},
    {.name = "push and pop, careful",
     .write =
         [](Guest& g) {
           bytes(g, {0x53, 0x66, 0x59});
         },
     .careful = true,
     .narrow = &kFlat},
    {.name = "push onto a stack with a limit",
     .write = [](Guest& g) { bytes(g, {0x53}); },
     .narrow = &kLimits},
    {.name = "a frame",
     .write =
         [](Guest& g) {
           // xor eax, eax; push ebp; mov ebp, esp; sub esp, 16; mov ecx, [esp+4]; leave; ret
           bytes(g, {0x31, 0xc0, 0x55, 0x89, 0xe5, 0x83, 0xec, 0x10, 0x8b, 0x4c, 0x24, 0x04, 0xc9,
                     0xc3});
         },
     .narrow = &kFlat},
    {.name = "esp moved far",
     .write =
         [](Guest& g) {
           bytes(g, {0x81, 0xec, 0, 0x20, 0, 0});
         },
     .narrow = &kFlat},
    {.name = "lea",
     .write =
         [](Guest& g) {
           bytes(g, {0x8d, 0x44, 0x88, 0x04});
         },
     .narrow = &kFlat},
    {.name = "call and return",
     .write =
         [](Guest& g) {
           bytes(g, {0x31, 0xc0, 0xe8, 0, 1, 0, 0});
         },
     .narrow = &kFlat},
    {.name = "call through memory",
     .write =
         [](Guest& g) {
           bytes(g, {0x31, 0xc0, 0xff, 0x13});
         },
     .narrow = &kFlat},
    {.name = "jump through a register where CS has a base and a limit",
     .write =
         [](Guest& g) {
           bytes(g, {0xff, 0xe0});
         },
     .narrow = &kLimits},
    {.name = "fill and move",
     .write =
         [](Guest& g) {
           bytes(g, {0xf3, 0xab, 0xa4});
         },
     .narrow = &kFlat},
    {.name = "loop",
     .write =
         [](Guest& g) {
           bytes(g, {0xe2, 0xfe});
         },
     .narrow = &kFlat},
    {.name = "jecxz",
     .write =
         [](Guest& g) {
           bytes(g, {0xe3, 0x05});
         },
     .narrow = &kFlat},
    {.name = "a segment register read",
     .write =
         [](Guest& g) {
           bytes(g, {0x8c, 0xd8});
         },
     .narrow = &kFlat},
    {.name = "x87",
     .write =
         [](Guest& g) {
           bytes(g, {0xdd, 0x03, 0xde, 0xc1});
         },
     .narrow = &kFlat},
    {.name = "sse",
     .write =
         [](Guest& g) {
           bytes(g, {0x0f, 0x58, 0x0b});
         },
     .narrow = &kFlat},
};

constexpr GoldenCase kNarrow16[] = {
    {.name = "load",
     .write =
         [](Guest& g) {
           bytes(g, {0x8b, 0x40, 0x02});
         },
     .narrow = &kReal},
    {.name = "32-bit operand",
     .write =
         [](Guest& g) {
           bytes(g, {0x66, 0x01, 0xd8});
         },
     .narrow = &kReal},
    {.name = "32-bit address",
     .write =
         [](Guest& g) {
           bytes(g, {0x67, 0x01, 0x03});
         },
     .narrow = &kReal},
    {.name = "push", .write = [](Guest& g) { bytes(g, {0x53}); }, .narrow = &kReal},
    {.name = "call",
     .write =
         [](Guest& g) {
           bytes(g, {0xe8, 0x00, 0x01});
         },
     .narrow = &kReal},
    {.name = "return",
     .write =
         [](Guest& g) {
           bytes(g, {0xc2, 0x04, 0x00});
         },
     .narrow = &kReal},
    {.name = "loop",
     .write =
         [](Guest& g) {
           bytes(g, {0xe2, 0xfe});
         },
     .narrow = &kReal},
    {.name = "jump through a register",
     .write =
         [](Guest& g) {
           bytes(g, {0xff, 0xe0});
         },
     .narrow = &kReal},
};

constexpr GoldenFile kFiles[] = {{"narrow32", kNarrow32}, {"narrow16", kNarrow16}};

}  // namespace

std::span<const GoldenFile> golden_files_of_narrow_code() { return kFiles; }

}  // namespace vireo::test
