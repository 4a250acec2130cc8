#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "x86/cpuid/cpuid_model.h"

namespace vireo::x86 {

/// A feature that makes no sense, or cannot be enumerated, without another.
struct FeatureDependency {
  Feature feature, needs;
};
std::span<const FeatureDependency> feature_dependencies();

const FeatureInfo& feature_info(Feature feature);
/// By the table's name or a usual other one (sse4.1, lzcnt), in any case, '-' and '.' as '_'.
std::optional<Feature> find_feature(std::string_view name);

/// The candidate that is the fewest edits away, if few enough that it may be meant; else empty.
std::string_view nearest_name(std::string_view name, std::span<const std::string_view> candidates);
/// The same among the names of features.
std::string_view nearest_feature_name(std::string_view name);

}  // namespace vireo::x86
