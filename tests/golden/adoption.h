#pragma once

namespace vireo::test {

/// Whether the code that a vCPU takes over from another is what it would make itself, for all
/// golden cases: to the byte, with all that belongs to it. The number of the cases where it is not.
int compare_adopted_code();

}  // namespace vireo::test
