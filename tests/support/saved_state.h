#pragma once
#include <gtest/gtest.h>

#include "state/archive.h"

namespace vireo::test {

/// What comes back when the state is saved and loaded.
template <class State>
State saved_and_loaded(const State& state) {
  state::Writer writer;
  State::fields(state, writer);
  State loaded;
  state::Reader reader(writer.bytes());
  State::fields(loaded, reader);
  EXPECT_TRUE(reader.ok());
  return loaded;
}

}  // namespace vireo::test
