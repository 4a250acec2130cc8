#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vireo::app {

/// The word that was probably meant, if one is close enough.
std::optional<std::string> closest(std::string_view word, const std::vector<std::string>& known);

/// The long options of a verb, or the verbs of a program.
std::vector<std::string> words_of(const CLI::App& verb, bool options);

std::string_view version();

}  // namespace vireo::app
